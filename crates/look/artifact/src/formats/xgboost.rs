//! XGBoost's binary model of before 2.1 (`LearnerIO::Load`, `GBTreeModel::Load` and `RegTree::Load` of its sources): structures of
//! numbers, then texts. Newer releases write JSON or UBJSON.

use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::source::Tape;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{free_text, metadata_face};

/// Parameters of the learner, of the trees, of one tree, of a linear booster: numbers and room for more.
const LEARNER_BYTES: u64 = 136;
const TREES_BYTES: usize = 160;
const TREE_BYTES: usize = 148;
const LINEAR_BYTES: u64 = 136;
/// A node and its statistics.
const NODE_BYTES: u64 = 20 + 16;
/// Names, attributes and the configuration of the objective.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// The format.
pub(crate) struct XgBoostBinary;

impl Format for XgBoostBinary {
    fn name(&self) -> &'static str {
        "xgboost-binary"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"binf") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut walk = Walk { tape: Tape::new(part.source.clone()), context };
        walk.model()?;
        let end = walk.tape.offset();
        if end < part.source.len() {
            context.find_at(trailing_face(), end, format!("{} bytes behind the model", part.source.len() - end));
            context.embed("trailing", part.source.from(end), Kind::Any);
        }
        Ok(())
    }
}

struct Walk<'a, 'b> {
    tape: Tape,
    context: &'a mut Context<'b>,
}

impl Walk<'_, '_> {
    fn model(&mut self) -> Result<(), Unread> {
        self.tape.skip("XGBoost model", 4)?;
        let learner = self.tape.take("XGBoost model", LEARNER_BYTES as usize)?;
        let (has_attributes, has_metrics, release) = (int(learner, 3) != 0, int(learner, 4) != 0, int(learner, 5));
        let objective = self.text("objective")?;
        let booster = self.text("booster")?;
        match booster.as_str() {
            "gbtree" | "dart" => self.trees(booster == "dart")?,
            "gblinear" => {
                self.tape.skip("linear booster", LINEAR_BYTES)?;
                let weights = self.length()?;
                self.tape.skip("linear booster", weights.saturating_mul(4))?;
            }
            _ => return Err(Unread::malformed("name of the booster", self.tape.offset())),
        }
        if has_attributes {
            let count = self.length()?;
            for _ in 0..count {
                let name = self.text("attribute")?;
                let value = self.text("attribute")?;
                free_text(&name, &value, TextKind::Metadata, self.context);
            }
        }
        // Before 1.0 the step of a Poisson objective stood by itself.
        if objective == "count:poisson" && release == 0 {
            self.text("step")?;
        }
        if has_metrics {
            let count = self.length()?;
            for _ in 0..count {
                self.text("metric")?;
            }
        }
        Ok(())
    }

    fn trees(&mut self, is_dart: bool) -> Result<(), Unread> {
        let at = self.tape.offset();
        let model = self.tape.take("trees", TREES_BYTES)?;
        let count = int(model, 0);
        if model[16..24] != [0; 8] {
            return Err(Unread::Unsupported("an XGBoost model with a prediction buffer".to_owned()));
        }
        let count = u64::try_from(count).map_err(|_| Unread::malformed("number of trees", at))?;
        for _ in 0..count {
            self.context.budget().steps(20)?;
            let at = self.tape.offset();
            let tree = self.tape.take("tree", TREE_BYTES)?;
            let (nodes, leaves) = (int(tree, 1), int(tree, 5));
            if leaves != 0 {
                return Err(Unread::Unsupported("an XGBoost model with vectors in its leaves".to_owned()));
            }
            let nodes = u64::try_from(nodes).map_err(|_| Unread::malformed("number of nodes", at))?;
            self.tape.skip("nodes", nodes.saturating_mul(NODE_BYTES))?;
        }
        self.tape.skip("groups of trees", count.saturating_mul(4))?;
        if is_dart && count > 0 {
            let weights = self.length()?;
            self.tape.skip("weights of trees", weights.saturating_mul(4))?;
        }
        Ok(())
    }

    /// A count or a length: eight bytes. Each thing counted takes a byte at least.
    fn length(&mut self) -> Result<u64, Unread> {
        let at = self.tape.offset();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.tape.take("length", 8)?);
        let length = u64::from_le_bytes(bytes);
        if length > self.tape.left() { Err(Unread::malformed("length in an XGBoost model", at)) } else { Ok(length) }
    }

    fn text(&mut self, what: &'static str) -> Result<String, Unread> {
        self.context.budget().steps(10)?;
        let length = self.length()?;
        let at = self.tape.offset();
        self.tape.skip(what, length)?;
        let kept = self.tape.source().some(at, usize::try_from(length.min(TEXT_BYTES_MAX)).unwrap_or(0))?;
        Ok(String::from_utf8_lossy(&kept).into_owned())
    }
}

/// The four-byte integer at `index`.
fn int(bytes: &[u8], index: usize) -> i32 {
    let at = index * 4;
    bytes.get(at..at + 4).map_or(0, |four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    // Made by XGBoost 1.7.6, see `testdata/make.py`.
    const MODELS: [&[u8]; 4] = [
        include_bytes!("../../testdata/xgboost-1.7-tree.model"),
        include_bytes!("../../testdata/xgboost-1.7-linear.model"),
        include_bytes!("../../testdata/xgboost-1.7-dart.model"),
        include_bytes!("../../testdata/xgboost-1.7-poisson.model"),
    ];

    #[test]
    fn every_booster_is_read_to_its_end() {
        for model in MODELS {
            assert_eq!(verdict_of(model.to_vec()), Verdict::Clean, "{:?}", rules_of(model.to_vec()));
            for end in (4..model.len()).step_by(7) {
                assert_ne!(verdict_of(model[..end].to_vec()), Verdict::Clean, "cut at {end}");
            }
            let longer = [model, b"cos\nsystem\n(S'echo harmless'\ntR."].concat();
            assert_eq!(verdict_of(longer), Verdict::Blocked);
        }
    }

    #[test]
    fn counts_that_lie_are_not_believed() {
        let mut model = MODELS[0].to_vec();
        let trees = model.windows(6).position(|six| six == b"gbtree").unwrap_or(0) + 6;
        model[trees..trees + 4].copy_from_slice(&0x7fff_ffff_i32.to_le_bytes());
        assert_eq!(verdict_of(model), Verdict::Incomplete);
    }
}
