//! TensorRT engines: compiled for one GPU, opaque by design, able to carry plug-ins as libraries.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::refs;
use crate::source::Tape;
use crate::unread::Unread;

static OPAQUE: Face = Face::new(
    "artifact.tensorrt-engine",
    Severity::Medium,
    Verdict::Review,
    "Compiled engine",
    "A TensorRT plan is native code for a GPU in a form that is not published. Only its maker can say what is in it.",
    "Build the engine from a scanned ONNX model on the bank's own machine.",
    refs!["CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);
static LIBRARY: Face = Face::new(
    "artifact.tensorrt-plugin",
    Severity::Critical,
    Verdict::Blocked,
    "Engine that carries a library",
    "Within the engine lies an executable, as plug-ins are embedded: deserialising with engine host code allowed \
     loads it.",
    "Reject the engine, and build it from a scanned ONNX model.",
    refs!["CWE-829", "CWE-506", "MITRE-ATLAS:AML.T0011.000"],
);

/// The format.
pub(crate) struct TensorRt;

impl Format for TensorRt {
    fn name(&self) -> &'static str {
        "tensorrt"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&OPAQUE, &LIBRARY];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"ftrt") || part.starts_with(b"ptrt") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        context.find(&OPAQUE, format!("{} bytes", part.source.len()));
        let mut tape = Tape::new(part.source.clone());
        while tape.fill(1 << 16)? >= 8 {
            let window = tape.buffered();
            context.budget().steps(window.len() as u64 / 16)?;
            let found = window
                .windows(7)
                .position(|bytes| bytes.starts_with(b"\x7fELF\x02\x01\x01") || bytes.starts_with(b"MZ\x90\0\x03\0\0"));
            if let Some(at) = found {
                let offset = tape.offset() + at as u64;
                context.find_at(&LIBRARY, offset, "an executable within the engine");
                context.embed("plugin", part.source.from(offset), Kind::Any);
                return Ok(());
            }
            let count = window.len() - 7;
            tape.advance(count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::verdict_of;

    #[test]
    fn engines_are_opaque_and_libraries_are_seen() {
        assert_eq!(verdict_of([&b"ftrt"[..], &[0; 500]].concat()), Verdict::Review);
        assert_eq!(
            verdict_of([&b"ftrt"[..], &[1; 100_000], b"\x7fELF\x02\x01\x01", &[0; 100]].concat()),
            Verdict::Blocked
        );
    }
}
