//! Looks at model files: bytes in, findings out. Nothing is ever executed, imported or unpacked to disk.
//!
//! A format is recognised by its content and never by a name, and a file is read as *each* loader
//! would read it: what is a pickle to one program and a zip to another is scanned as both. Four
//! verdicts come out. [`Verdict::Clean`] is said only of what was read to the end with every part
//! known; what is unknown is [`Verdict::Review`]; what cannot be read to the end is
//! [`Verdict::Incomplete`] and says why.
//!
//! Add a format: one file under `formats/`, one line in [`FORMATS`]. Add something that consists of
//! several members (a directory, or a zip of one): one file under `layouts/`, one line in [`LAYOUTS`].
//!
//! ```
//! use haris_artifact::{Limits, Scanner, Source, Verdict};
//!
//! let pickle = b"cos\nsystem\n(S'id'\ntR.".to_vec();
//! let scan = Scanner::new(Limits::default()).scan("model.pkl", &Source::memory(pickle));
//! assert_eq!(scan.verdict(), Verdict::Blocked);
//! ```

mod archive;
mod budget;
mod code;
mod context;
mod face;
mod finding;
mod format;
mod formats;
mod knowledge;
mod layout;
mod layouts;
mod part;
mod pickle;
mod read;
mod scanner;
mod source;
mod syntax;
#[cfg(test)]
mod testing;
mod unread;
mod weights;

pub use budget::{Budget, Limit, Limits};
pub use context::Context;
pub use face::{Face, RULES, rule};
pub use finding::{Finding, Location, Scan, Verdict};
pub use format::{Claim, FORMATS, Format};
pub use knowledge::{BadTable, Danger, Knowledge, Standing, Uses};
pub use layout::{LAYOUTS, Layout};
pub use part::{Embedded, Kind, Member, Members, Oddity, Part, TextKind};
pub use scanner::Scanner;
pub use source::{Reader, Source, Tape, Unpack};
pub use unread::Unread;
