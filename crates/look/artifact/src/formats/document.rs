//! Text that is no program: model cards, licences, vocabularies, tables. Nothing in it runs; the text engine
//! reads it for secrets and for instructions to a model.

use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::text;
use crate::unread::Unread;

/// Beyond this a text is data, and its head is handed over.
const HANDED_BYTES_MAX: u64 = 4 << 20;

/// The format.
pub(crate) struct Document;

impl Format for Document {
    fn name(&self) -> &'static str {
        "text"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if text::is_text(&part.head) { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let kept = part.source.slice(0, HANDED_BYTES_MAX);
        context.embed("text", kept, Kind::Text(TextKind::Document));
        Ok(())
    }
}
