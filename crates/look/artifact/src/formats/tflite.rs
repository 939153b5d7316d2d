//! TensorFlow Lite (<https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs>):
//! a FlatBuffer of operators and buffers.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::flatbuffer::Table;
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::onnx::CUSTOM;
use super::safetensors::{free_text, metadata_face};
use super::tensorflow::judge_operator;

/// Vectors of tables; models have thousands at most.
const TABLES_MAX: u64 = 500_000;
/// `BuiltinOperator_CUSTOM`.
const CUSTOM_CODE: i32 = 32;
/// Slack that writers leave for alignment.
const SLACK_BYTES: u64 = 64;

static LIES: Face = Face::new(
    "artifact.tflite-structure",
    Severity::High,
    Verdict::Blocked,
    "Buffers or offsets that lie",
    "An offset or length points outside the file. Native interpreters that trusted it read or wrote beyond their \
     memory.",
    "Reject the file and get the model from where it was converted.",
    refs!["CWE-125", "CWE-787", "MITRE-ATLAS:AML.T0011"],
);

/// Custom operators that ship with TensorFlow Lite, MediaPipe or the Edge TPU runtime.
const KNOWN: &[&str] = &[
    "TFLite_Detection_PostProcess",
    "edgetpu-custom-op",
    "Convolution2DTransposeBias",
    "MaxPoolingWithArgmax2D",
    "MaxUnpooling2D",
    "Mfcc",
    "AudioSpectrogram",
    "NumericVerify",
    "TFSentencepieceTokenizeOp",
    "TFSentencepieceDetokenizeOp",
    "RandomStandardNormal",
    "RandomUniform",
    "Multinomial",
    "HashTable",
    "HashTableLookup",
    "NGrams",
    "TFLiteNgrams",
    "TFText>WhitespaceTokenizeWithOffsetsV2",
    "TFText>FastWordpieceTokenizeWithOffsets",
    "TFSSTableRaggedTensorToTensor",
    "RaggedTensorToTensor",
    "Aggregate",
    "TransformTensorBilinear",
    "TransformLandmarks",
    "Landmarks2TransformMatrix",
    "TFLite_Transpose_Conv",
    "Relu1",
    "L2Pool2D",
    "Perception_Audio_Decoder",
    "PerceptionPostProcess",
    "ethos-u",
    "SignalRfft",
    "SignalWindow",
    "SignalFilterBank",
    "SignalEnergy",
    "SignalFramer",
    "SignalStacker",
];

/// The format.
pub(crate) struct TfLite;

impl Format for TfLite {
    fn name(&self) -> &'static str {
        "tflite"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&LIES, &CUSTOM, trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.has_at(4, b"TFL3") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        match walk(part, context) {
            Err(why @ (Unread::Truncated { .. } | Unread::Malformed { .. })) => {
                context.find(&LIES, why.to_string());
                Err(why)
            }
            outcome => outcome,
        }
    }
}

fn walk(part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
    let source = &part.source;
    let model = Table::root(source)?;
    // The end of the last thing that the tables point at.
    let mut end = model.offset() + 4;
    let mut reach = |found: Option<(u64, u64)>, element: u64| {
        if let Some((at, count)) = found {
            end = end.max(at + count * element);
        }
    };
    if let Some(text) = model.text(3, 1 << 20)? {
        free_text("description", &text, TextKind::Metadata, context);
    }
    reach(model.vector(3, 1)?, 1);
    for code in model.tables(1, TABLES_MAX)? {
        context.budget().steps(20)?;
        reach(code.vector(1, 1)?, 1);
        let builtin = code.int(3)?.max(i32::from(code.byte(0)?));
        let name = code.text(1, 4096)?.unwrap_or_default();
        if builtin == CUSTOM_CODE || (!name.is_empty() && builtin == 0) {
            custom(&name, context);
        }
    }
    for graph in model.tables(2, TABLES_MAX)? {
        reach(graph.vector(4, 1)?, 1);
        reach(graph.vector(1, 4)?, 4);
        reach(graph.vector(2, 4)?, 4);
        for tensor in graph.tables(0, TABLES_MAX)? {
            context.budget().steps(20)?;
            reach(tensor.vector(0, 4)?, 4);
            reach(tensor.vector(3, 1)?, 1);
            reach(tensor.vector(7, 4)?, 4);
            reach(Some((tensor.offset(), 1)), 4);
        }
        for operator in graph.tables(3, TABLES_MAX)? {
            context.budget().steps(20)?;
            reach(operator.vector(1, 4)?, 4);
            reach(operator.vector(2, 4)?, 4);
            reach(operator.vector(5, 1)?, 1);
            reach(Some((operator.offset(), 1)), 4);
        }
    }
    for (index, buffer) in model.tables(4, TABLES_MAX)?.iter().enumerate() {
        context.budget().steps(20)?;
        reach(buffer.vector(0, 1)?, 1);
        let (offset, size) = (buffer.long(1)?, buffer.long(2)?);
        // Buffers beyond two gigabytes lie behind the FlatBuffer; 1 stands for none.
        if offset > 1 {
            if offset.checked_add(size).is_none_or(|end| end > source.len()) {
                context.find(&LIES, format!("buffer {index}: {size} bytes at {offset}"));
            } else {
                reach(Some((offset, size)), 1);
            }
        }
    }
    for entry in model.tables(6, TABLES_MAX)? {
        reach(entry.vector(0, 1)?, 1);
    }
    for signature in model.tables(7, TABLES_MAX)? {
        reach(signature.vector(2, 1)?, 1);
        for index in [0, 1] {
            for map in signature.tables(index, TABLES_MAX)? {
                reach(map.vector(0, 1)?, 1);
            }
        }
    }
    if source.len() > end + SLACK_BYTES {
        tail(part, end, context)?;
    }
    Ok(())
}

/// What lies behind the model. TensorFlow's metadata writer appends a zip of labels, which is read as one.
fn tail(part: &Part, end: u64, context: &mut Context<'_>) -> Result<(), Unread> {
    let rest = part.source.from(end);
    let head = rest.head(4096)?;
    let skipped = head.iter().take_while(|byte| **byte == 0).count();
    if head[skipped..].starts_with(b"PK\x03\x04") {
        context.embed("associated-files", rest.from(skipped as u64), Kind::Any);
        return Ok(());
    }
    // Tables that this version does not follow (quantisation, options) may lie last: a real payload is longer.
    if rest.len() > 4096 || head.windows(4).any(|w| matches!(w, b"\x7fELF" | b"#!/b" | b"MZ\x90\0")) {
        context.find_at(trailing_face(), end, format!("{} bytes behind the last table", rest.len()));
        context.embed("trailing", rest, Kind::Any);
    }
    Ok(())
}

fn custom(name: &str, context: &mut Context<'_>) {
    // Operators of full TensorFlow come in under this prefix.
    if let Some(operator) = name.strip_prefix("Flex") {
        if let Some(face) = judge_operator(operator) {
            context.find(face, format!("`{}`", shown(name, 80)));
        }
    } else if !KNOWN.contains(&name) {
        context.find(&CUSTOM, format!("`{}`", shown(name, 80)));
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    /// A model with one custom operator of that name: root table, its vtable, one operator code.
    fn model(name: &str) -> Vec<u8> {
        let mut out = vec![0u8; 8];
        out[4..8].copy_from_slice(b"TFL3");
        // vtable of the model: size 8, table 12, field 0 left out, field 1 at 4.
        out.extend([8u16, 12, 0, 4].iter().flat_map(|n| n.to_le_bytes()));
        let root = out.len() as u32;
        out[0..4].copy_from_slice(&root.to_le_bytes());
        out.extend(8i32.to_le_bytes());
        out.extend(8u32.to_le_bytes()); // vector at +8 from here
        out.extend([0; 4]);
        out.extend(1u32.to_le_bytes());
        out.extend(16u32.to_le_bytes()); // table at +16 from here
        // vtable of the code: size 12, table 12, fields: 0 none, 1 name at 4, 2 none, 3 builtin at 8.
        out.extend([12u16, 12, 0, 4, 0, 8].iter().flat_map(|n| n.to_le_bytes()));
        out.extend(12i32.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(32i32.to_le_bytes());
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
        out
    }

    #[test]
    fn operators_and_tails() {
        assert_eq!(
            verdict_of(model("TFLite_Detection_PostProcess")),
            Verdict::Clean,
            "{:?}",
            rules_of(model("TFLite_Detection_PostProcess"))
        );
        assert_eq!(verdict_of(model("FlexRelu")), Verdict::Clean);
        assert_eq!(verdict_of(model("FlexWriteFile")), Verdict::Blocked);
        assert_eq!(verdict_of(model("FlexPyFunc")), Verdict::Blocked);
        assert_eq!(verdict_of(model("Odd")), Verdict::Review);
        let tail = [model("Relu1"), vec![7; 10_000]].concat();
        assert!(rules_of(tail).contains(&"artifact.trailing-data".to_owned()));
        let elf = [model("Relu1"), b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 200]].concat();
        assert!(verdict_of(elf) >= Verdict::Review);
        let mut lying = model("Relu1");
        lying[0..4].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
        assert_eq!(verdict_of(lying), Verdict::Blocked);
    }
}
