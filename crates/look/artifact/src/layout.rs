//! What several members amount to together, whether they lie in a directory, a zip or a tar.

use std::sync::Arc;

use crate::context::Context;
use crate::face::Face;
use crate::layouts::folder;
use crate::part::Members;
use crate::unread::Unread;

/// A model that consists of members: a torch zip, a SavedModel, a Hugging Face repository.
/// One file under `layouts/`, one line in [`LAYOUTS`].
///
/// Each member is scanned by content anyway; a layout adds what only shows when they are seen
/// together, and gives the artifact its name.
pub trait Layout: Send + Sync {
    /// Name in reports: `torch-zip`.
    fn name(&self) -> &'static str;

    /// All rules that it may speak.
    fn rules(&self) -> &'static [&'static Face];

    /// Whether these members are such a model.
    fn claim(&self, members: &dyn Members) -> bool;

    /// Looks at the members together.
    ///
    /// # Errors
    /// When something could not be read to its end.
    fn scan(&self, members: &Arc<dyn Members>, context: &mut Context<'_>) -> Result<(), Unread>;
}

/// All layouts, most specific first.
pub static LAYOUTS: &[&dyn Layout] = &[
    &folder::KERAS,
    &folder::TORCH_PACKAGE,
    &folder::TORCH_SCRIPT,
    &folder::TORCH,
    &folder::NPZ,
    &folder::SAVED_MODEL,
    &folder::MLFLOW,
    &folder::CORE_ML,
    &folder::HUGGING_FACE,
    &folder::OPEN_VINO,
    &folder::CHECKPOINT,
    &folder::ONNX,
];
