//! Parts of an artifact: the file itself, members of containers, and what formats find inside.

use std::sync::Arc;

use crate::budget::Budget;
use crate::face::Face;
use crate::finding::Location;
use crate::knowledge::Knowledge;
use crate::source::Source;
use crate::unread::Unread;

/// Bytes that are scanned as a unit.
#[derive(Clone)]
pub struct Part {
    /// The bytes.
    pub source: Source,
    /// The first [`Part::HEAD_BYTES`] of them, for recognition.
    pub head: Arc<[u8]>,
    /// How to treat it.
    pub kind: Kind,
    /// Where it lies.
    pub location: Location,
    /// Its name among [`Part::members`], for references between members. Never a hint to its format.
    pub name: Option<Arc<str>>,
    /// What lies beside it: the directory, zip or tar that it is a member of.
    pub members: Option<Arc<dyn Members>>,
    /// What is known of callables.
    pub knowledge: Arc<Knowledge>,
    /// The budget of the whole scan.
    pub budget: Budget,
}

impl Part {
    /// How many bytes recognition looks at.
    pub const HEAD_BYTES: usize = 4096;

    pub(crate) fn new(embedded: Embedded, knowledge: &Arc<Knowledge>, budget: &Budget) -> Result<Self, Unread> {
        let head = embedded.bytes.head(Self::HEAD_BYTES)?;
        Ok(Self {
            head: head.into(),
            source: embedded.bytes,
            kind: embedded.kind,
            location: embedded.location,
            name: embedded.name,
            members: embedded.members,
            knowledge: knowledge.clone(),
            budget: budget.clone(),
        })
    }

    /// Whether the bytes begin so.
    #[must_use]
    pub fn starts_with(&self, magic: &[u8]) -> bool {
        self.head.starts_with(magic)
    }

    /// Whether the bytes read so at an offset within the head.
    #[must_use]
    pub fn has_at(&self, offset: usize, magic: &[u8]) -> bool {
        self.head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    }
}

/// A part that a format found and wants looked at.
#[derive(Clone)]
pub struct Embedded {
    /// The bytes; a slice of the outer source costs nothing.
    pub bytes: Source,
    /// Which engine, or which loader, it belongs to.
    pub kind: Kind,
    /// Where it lies.
    pub location: Location,
    /// Its name among `members`.
    pub name: Option<Arc<str>>,
    /// What lies beside it.
    pub members: Option<Arc<dyn Members>>,
}

impl Embedded {
    /// A part that stands alone.
    #[must_use]
    pub fn new(bytes: Source, kind: Kind, location: Location) -> Self {
        Self { bytes, kind, location, name: None, members: None }
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("kind", &self.kind)
            .field("location", &self.location)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// What a part is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whatever its content says.
    Any,
    /// The same, and nothing but a wrapper lies around it: what is of no known format here leaves the whole unknown.
    Content,
    /// The loader around it opens it as this [`crate::Format::name`], whatever it looks like.
    /// Other formats that recognise it are asked as well.
    As(&'static str),
    /// Text for another engine; not scanned here.
    Text(TextKind),
}

/// What a handed-over text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// A prompt or chat template.
    Template,
    /// Free text among metadata: names, descriptions, licences.
    Metadata,
    /// A document beside the model: a README, a model card.
    Document,
    /// Source code.
    Code,
}

/// One member of a container, as its readers see it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Path in the container, with `/`.
    pub name: Arc<str>,
    /// Bytes once unpacked, as far as the container says.
    pub size: u64,
}

/// What is odd about how a member is packed: a rule, and the detail.
pub type Oddity = (&'static Face, String);

/// A directory, or a container that is like one.
pub trait Members: Send + Sync {
    /// All members, sorted by name.
    fn list(&self) -> &[Member];

    /// Whether it is a folder of the file system rather than an archive.
    fn on_disk(&self) -> bool {
        false
    }

    /// Opens a member by its exact name.
    ///
    /// # Errors
    /// When it cannot be read, or is not there ([`Unread::Malformed`]).
    fn open(&self, name: &str) -> Result<Source, Unread>;

    /// Opens a member, and says what is odd about how it is packed.
    ///
    /// # Errors
    /// As [`Members::open`].
    fn open_noting(&self, name: &str) -> Result<(Source, Option<Oddity>), Unread> {
        self.open(name).map(|source| (source, None))
    }

    /// Whether a member of that name is there.
    fn has(&self, name: &str) -> bool {
        self.list().binary_search_by(|member| (*member.name).cmp(name)).is_ok()
    }
}
