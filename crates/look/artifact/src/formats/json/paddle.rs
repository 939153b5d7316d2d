//! Programs of Paddle 3: operators in regions and blocks, written as JSON.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::face::Face;
use crate::formats::onnx::CUSTOM;
use crate::formats::paddle::{judge_operator, program_rules};
use crate::part::Part;
use crate::read::json::Json;
use crate::read::text::shown;
use crate::unread::Unread;

use super::Shape;

/// The shape.
pub(super) struct Paddle;

impl Shape for Paddle {
    fn name(&self) -> &'static str {
        "paddle"
    }

    fn rules(&self) -> Vec<&'static Face> {
        program_rules().to_vec()
    }

    fn claim(&self, value: &Json) -> bool {
        value.get("base_code").and_then(|code| code.text_of("magic")) == Some("pir") && value.get("program").is_some()
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for (_, value) in value.walk() {
            context.budget().steps(2)?;
            for operator in value.get("ops").map_or(&[][..], Json::list) {
                if let Some(name) = operator.text_of("#") {
                    *found.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
        for (name, count) in found {
            // The dialect's number: 0 builtin, 1 Paddle's own, 2 control flow; what else there is brings a library.
            let face = match name.split_once('.') {
                None | Some(("0" | "2", _)) => continue,
                // The registries name operators of older programs; what is none of the dangerous is one of the new.
                Some(("1", operator)) => match judge_operator(operator) {
                    Some(face) if !std::ptr::eq(face, &raw const CUSTOM) => face,
                    _ => continue,
                },
                Some(_) => &CUSTOM,
            };
            context.find(face, format!("`{}`, {count} times", shown(&name, 80)));
        }
        Ok(())
    }
}
