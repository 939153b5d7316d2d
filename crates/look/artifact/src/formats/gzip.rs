//! gzip (RFC 1952): a compressed layer around anything.

use flate2::read::MultiGzDecoder;

use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::source::Source;
use crate::unread::Unread;

/// One or more gzip members, one after the other, as every reader takes them.
pub(crate) struct Gzip;

impl Format for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn rules(&self) -> &'static [&'static Face] {
        &[]
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(&[0x1f, 0x8b, 8]) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let packed = part.source.clone();
        let unpack = Box::new(move || Box::new(MultiGzDecoder::new(packed.reader())) as _);
        let (bytes, stop) = Source::unpacked(unpack, part.source.len(), context.budget());
        context.embed("gzip", bytes, Kind::Any);
        stop.map_or(Ok(()), Err)
    }
}
