//! 7z and RAR archives: recognised, and not opened by this version. No framework loads a model from one.

use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::unread::Unread;

/// 7z.
pub(crate) struct SevenZip;

/// RAR, version 4 and 5.
pub(crate) struct Rar;

impl Format for SevenZip {
    fn name(&self) -> &'static str {
        "7z"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"7z\xbc\xaf\x27\x1c") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, _: &Part, _: &mut Context<'_>) -> Result<(), Unread> {
        Err(Unread::Unsupported("a 7z archive".to_owned()))
    }
}

impl Format for Rar {
    fn name(&self) -> &'static str {
        "rar"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"Rar!\x1a\x07") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, _: &Part, _: &mut Context<'_>) -> Result<(), Unread> {
        Err(Unread::Unsupported("a RAR archive".to_owned()))
    }
}
