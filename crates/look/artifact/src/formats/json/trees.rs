//! Models of trees in JSON: XGBoost, CatBoost, LightGBM dumps. Numbers and names; the names are read.

use crate::context::Context;
use crate::face::Face;
use crate::formats::safetensors::{free_text, metadata_face};
use crate::part::{Part, TextKind};
use crate::read::json::Json;
use crate::unread::Unread;

use super::Shape;

/// The shape.
pub(super) struct Trees;

impl Shape for Trees {
    fn name(&self) -> &'static str {
        "tree-model"
    }

    fn rules(&self) -> Vec<&'static Face> {
        vec![metadata_face()]
    }

    fn claim(&self, value: &Json) -> bool {
        value.has(&["learner", "version"])
            || value.has(&["oblivious_trees"])
            || value.has(&["trees", "features_info"])
            || value.has(&["tree_info", "feature_names"])
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let attributes = value.get("learner").and_then(|learner| learner.get("attributes"));
        let info = value.get("model_info");
        for (key, value) in attributes.into_iter().chain(info).flat_map(Json::pairs) {
            if let Json::Text(text) = value {
                free_text(key, text, TextKind::Metadata, context);
            }
        }
        Ok(())
    }
}
