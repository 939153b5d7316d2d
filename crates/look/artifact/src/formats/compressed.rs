//! Compressed streams around anything: gzip, zlib, bzip2, xz, LZMA, LZ4, Zstandard, and joblib's old ZF.
//!
//! Each is a codec with a way to recognise it and a way to unpack it; what is inside is looked at as a
//! part of its own. Bytes after the stream's end, which a decoder never asks for, are looked at as well.

use std::io::{self, Read};

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::refs;
use crate::source::{Reader, Source};
use crate::unread::Unread;

/// What a decoder may hold for its window. joblib's and xz's largest preset needs 64 MiB.
const WINDOW_BYTES_MAX: u32 = 96 << 20;
const WINDOW_KIB_MAX: u32 = WINDOW_BYTES_MAX >> 10;

static STREAM_TAIL: Face = Face::new(
    "artifact.compressed-trailing-data",
    Severity::Medium,
    Verdict::Review,
    "Bytes follow after the compressed stream",
    "Decoders stop at the end of the stream and never see what follows; another program may.",
    "Ask what the bytes are for.",
    refs!["CWE-436"],
);

/// One kind of compressed stream.
pub(crate) struct Codec {
    name: &'static str,
    claim: fn(&Part) -> bool,
    open: fn(Reader) -> io::Result<Box<dyn Read + Send>>,
    /// Bytes before the stream, given the head.
    skip: fn(&[u8]) -> u64,
}

pub(crate) static GZIP: Codec = Codec {
    name: "gzip",
    claim: |part| part.starts_with(&[0x1f, 0x8b, 8]),
    open: |reader| Ok(Box::new(flate2::read::MultiGzDecoder::new(reader))),
    skip: |_| 0,
};

pub(crate) static ZLIB: Codec = Codec {
    name: "zlib",
    claim: |part| {
        let header =
            matches!(part.head[..], [cmf @ 0x78, flags, ..] if (u16::from(cmf) << 8 | u16::from(flags)) % 31 == 0);
        // Two bytes that text may begin with: only a stream that unpacks is one.
        header && unpacks(flate2::read::ZlibDecoder::new(&part.head[..]))
    },
    open: |reader| Ok(Box::new(flate2::read::ZlibDecoder::new(reader))),
    skip: |_| 0,
};

pub(crate) static BZIP2: Codec = Codec {
    name: "bzip2",
    claim: |part| part.starts_with(b"BZh") && part.has_at(4, &[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]),
    open: |reader| Ok(Box::new(bzip2::read::MultiBzDecoder::new(reader))),
    skip: |_| 0,
};

pub(crate) static XZ: Codec = Codec {
    name: "xz",
    claim: |part| part.starts_with(b"\xfd7zXZ\0"),
    open: |reader| Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, WINDOW_KIB_MAX))),
    skip: |_| 0,
};

pub(crate) static LZMA: Codec = Codec {
    name: "lzma",
    claim: |part| {
        let dictionary =
            part.head.get(1..5).map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        let plausible = part.has_at(0, &[0x5d, 0, 0]) && (dictionary.is_power_of_two() || dictionary % (3 << 10) == 0);
        plausible && lzma_rust2::LzmaReader::new_mem_limit(&part.head[..], WINDOW_KIB_MAX, None).is_ok_and(unpacks)
    },
    open: |reader| Ok(Box::new(lzma_rust2::LzmaReader::new_mem_limit(reader, WINDOW_KIB_MAX, None)?)),
    skip: |_| 0,
};

pub(crate) static LZ4: Codec = Codec {
    name: "lz4",
    claim: |part| part.starts_with(&[0x04, 0x22, 0x4d, 0x18]),
    open: |reader| Ok(Box::new(lz4_flex::frame::FrameDecoder::new(reader))),
    skip: |_| 0,
};

pub(crate) static ZSTD: Codec = Codec {
    name: "zstd",
    claim: |part| part.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]),
    open: |reader| {
        let mut decoder = zstd::stream::read::Decoder::new(reader)?;
        decoder.window_log_max(26)?;
        Ok(Box::new(decoder))
    },
    skip: |_| 0,
};

/// joblib before 0.10: `ZF`, the length in hexadecimal padded to 19 characters, a zlib stream.
pub(crate) static ZFILE: Codec = Codec {
    name: "joblib-zfile",
    claim: |part| {
        let length = part.head.get(4..part.head.len().min(21));
        part.starts_with(b"ZF0x")
            && length.is_some_and(|text| text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b' '))
    },
    open: |reader| Ok(Box::new(flate2::read::ZlibDecoder::new(reader))),
    // Python 2 wrote one space more.
    skip: |head| if head.get(21) == Some(&b' ') { 22 } else { 21 },
};

/// Whether at least one byte comes out.
fn unpacks(mut reader: impl Read) -> bool {
    matches!(reader.read(&mut [0; 1]), Ok(1))
}

/// A reader that fails at once, for a stream that could not even be opened.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

impl Format for Codec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&STREAM_TAIL];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if (self.claim)(part) { Claim::Yes } else { Claim::No }
    }

    fn wraps(&self) -> bool {
        true
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let skip = (self.skip)(&part.head);
        let packed = part.source.from(skip);
        let open = self.open;
        let source = packed.clone();
        let unpack = Box::new(move || open(source.reader()).unwrap_or_else(|error| Box::new(Failing(Some(error)))));
        let (bytes, stop) = Source::unpacked(unpack, packed.len(), context.budget());
        context.embed(self.name, bytes, Kind::Content);
        if let Some(why) = stop {
            return Err(why);
        }
        if let Some(end) = self.end_of_stream(&packed) {
            let left = packed.len() - end;
            if left > 0 && packed.some(end, 4096)?.iter().any(|byte| *byte != 0) {
                context.find_at(&STREAM_TAIL, skip + end, format!("{left} bytes after the {} stream", self.name));
                context.embed("after the stream", packed.from(end), Kind::Any);
            }
        }
        Ok(())
    }
}

impl Codec {
    /// Where a zlib stream ends; the other codecs read on to the last byte and fail on what is no stream.
    fn end_of_stream(&self, packed: &Source) -> Option<u64> {
        if self.name != "zlib" && self.name != "joblib-zfile" {
            return None;
        }
        let mut decoder = flate2::read::ZlibDecoder::new(packed.reader());
        io::copy(&mut decoder, &mut io::sink()).ok()?;
        Some(decoder.total_in())
    }
}
