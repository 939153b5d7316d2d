//! Members that are stretches of sources already at hand: tar's, RAR's, and those of an unpacked 7z.

use crate::context::Context;
use crate::formats::tar::DUPLICATE;
use crate::part::{Member, Members};
use crate::source::Source;
use crate::unread::Unread;

/// What opening a member gives.
pub(crate) enum Held {
    /// Its bytes.
    Bytes(Source),
    /// Why this version cannot open it, as [`Unread::Unsupported`] takes it.
    Closed(String),
}

/// Members sorted by name.
pub(crate) struct Shelf {
    list: Vec<Member>,
    held: Vec<Held>,
}

impl Shelf {
    /// Puts members up; says of each name that stands twice that it does.
    pub(crate) fn new(mut files: Vec<(String, Held)>, context: &mut Context<'_>) -> Self {
        number_doubles(&mut files, context);
        let list = files
            .iter()
            .map(|(name, held)| {
                let size = if let Held::Bytes(bytes) = held { bytes.len() } else { 0 };
                Member { name: name.as_str().into(), size }
            })
            .collect();
        Self { list, held: files.into_iter().map(|(_, held)| held).collect() }
    }
}

/// Sorts members by name. Of equal names the later get a number, and that there are some is said.
pub(crate) fn number_doubles<T>(files: &mut [(String, T)], context: &mut Context<'_>) {
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut previous, mut copies) = (String::new(), 0);
    for (name, _) in files.iter_mut() {
        if *name == previous {
            copies += 1;
            if !name.is_empty() {
                context.find(&DUPLICATE, format!("`{name}`"));
            }
            *name = format!("{name} ({copies})");
        } else {
            copies = 0;
            previous.clone_from(name);
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
}

impl Members for Shelf {
    fn list(&self) -> &[Member] {
        &self.list
    }

    fn open(&self, name: &str) -> Result<Source, Unread> {
        let index = self.list.binary_search_by(|member| (*member.name).cmp(name));
        let index = index.map_err(|_| Unread::malformed(format!("member `{name}`"), 0))?;
        match &self.held[index] {
            Held::Bytes(bytes) => Ok(bytes.clone()),
            Held::Closed(why) => Err(Unread::Unsupported(why.clone())),
        }
    }
}
