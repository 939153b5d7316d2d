//! Models of boosted trees in formats of their own: CatBoost's binary, LightGBM's text. They hold numbers and names, and nothing in them runs.

use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::part::{Part, TextKind};
use crate::read::text;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{free_text, metadata_face};

/// CatBoost's `.cbm`: magic, length, a FlatBuffer.
pub(crate) struct CatBoost;

impl Format for CatBoost {
    fn name(&self) -> &'static str {
        "catboost"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> = std::sync::LazyLock::new(|| vec![metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"CBM1") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let size = part.source.exactly("length of the CatBoost model", 4, 4)?;
        let size = u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
        if size > part.source.len() - 8 {
            return Err(Unread::Truncated { what: "CatBoost model", at: 8, wanted: size, left: part.source.len() - 8 });
        }
        // Names and parameters stand in the FlatBuffer as text.
        let bytes = part.source.some(8, usize::try_from(size).unwrap_or(usize::MAX).min(text::BYTES_MAX))?;
        for run in
            bytes.split(|byte| !(byte.is_ascii_graphic() || *byte == b' ')).filter(|run| run.len() > 24).take(2000)
        {
            context.budget().steps(run.len() as u64)?;
            let value = String::from_utf8_lossy(run);
            if let Some(why) = super::safetensors::payload(&value) {
                context.find(metadata_face(), why);
            }
        }
        Ok(())
    }
}

/// LightGBM's text.
pub(crate) struct LightGbm;

impl Format for LightGbm {
    fn name(&self) -> &'static str {
        "lightgbm"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"tree\nversion=") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        // Line by line: the whole may be hundreds of megabytes.
        let mut tape = crate::source::Tape::new(part.source.clone());
        let mut behind = false;
        loop {
            let held = tape.fill(1 << 16)?;
            if held == 0 {
                return Ok(());
            }
            let end = tape.buffered().iter().position(|byte| *byte == b'\n');
            let length = end.map_or(held, |end| end + 1);
            let at = tape.offset();
            let line = String::from_utf8_lossy(&tape.buffered()[..length.min(1 << 16)]).into_owned();
            tape.advance(length);
            context.budget().steps(length as u64 / 16 + 1)?;
            let (key, value) = line.trim_end().split_once([':', '=']).unwrap_or((line.trim_end(), ""));
            if behind && !line.trim().is_empty() {
                context.find_at(trailing_face(), at, "text behind the model's last line");
                context.embed("trailing", part.source.from(at), crate::part::Kind::Any);
                return Ok(());
            }
            behind |= key == "pandas_categorical" && end.is_some();
            let words = value.bytes().filter(u8::is_ascii_alphabetic).count() * 2 > value.len() && value.len() > 16;
            if words || line.starts_with("[data") {
                free_text(key, value, TextKind::Metadata, context);
            }
        }
    }
}
