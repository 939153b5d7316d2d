//! Folders and archives that are one model, told by the files that their loaders look for. Each file in them is scanned by its content;
//! here they only get their name, and are taken as one artifact.
//!
//! Without this, numbers that only their neighbour explains (`variables.data-00000-of-00001`) would be bytes of no
//! known format.

use std::sync::Arc;

use crate::context::Context;
use crate::face::Face;
use crate::layout::Layout;
use crate::part::Members;
use crate::unread::Unread;

/// A folder known by its files.
pub(crate) struct Folder {
    name: &'static str,
    claim: fn(&dyn Members) -> bool,
}

/// Endings of what is a model or a program by itself: a folder that holds one besides is a collection.
const WHOLE: &[&str] = &[
    "7z",
    "bz2",
    "cbm",
    "dill",
    "dll",
    "engine",
    "exe",
    "gguf",
    "gz",
    "h5",
    "hdf5",
    "ipynb",
    "joblib",
    "keras",
    "llamafile",
    "mar",
    "mlmodel",
    "model",
    "msgpack",
    "nemo",
    "npy",
    "npz",
    "onnx",
    "pb",
    "pdmodel",
    "pdparams",
    "pickle",
    "pkl",
    "plan",
    "pmml",
    "pt",
    "pth",
    "py",
    "rar",
    "rda",
    "rdata",
    "rds",
    "safetensors",
    "ser",
    "sh",
    "skops",
    "so",
    "t7",
    "tar",
    "tflite",
    "ubj",
    "xml",
    "xz",
    "zip",
];

/// Keras' archive of version 3.
pub(crate) static KERAS: Folder = Folder {
    name: "keras",
    claim: |members| members.has("config.json") && members.has("metadata.json") && members.has("model.weights.h5"),
};

/// torch.package: modules with sources and pickles.
pub(crate) static TORCH_PACKAGE: Folder =
    Folder { name: "torch-package", claim: |members| within(members, ".data/extern_modules") };

/// TorchScript: a program and its data.
pub(crate) static TORCH_SCRIPT: Folder = Folder {
    name: "torchscript",
    claim: |members| within(members, "constants.pkl") && members.list().iter().any(|one| one.name.contains("/code/")),
};

/// What `torch.save` writes since 1.6.
pub(crate) static TORCH: Folder =
    Folder { name: "torch", claim: |members| within(members, "data.pkl") && within(members, "version") };

/// NumPy's archive of arrays. In a folder they are arrays each for itself.
pub(crate) static NPZ: Folder = Folder {
    name: "npz",
    claim: |members| {
        let list = members.list();
        !members.on_disk() && !list.is_empty() && list.iter().all(|one| one.name.ends_with(".npy"))
    },
};

/// TensorFlow's SavedModel.
pub(crate) static SAVED_MODEL: Folder = Folder {
    name: "savedmodel-folder",
    claim: |members| members.has("saved_model.pb") || members.has("saved_model.pbtxt"),
};

/// An MLflow model: every flavour has this file.
pub(crate) static MLFLOW: Folder = Folder { name: "mlflow", claim: |members| members.has("MLmodel") };

/// A repository of Hugging Face: a configuration and weights, a tokenizer, or the parts of a pipeline.
pub(crate) static HUGGING_FACE: Folder = Folder {
    name: "hugging-face",
    claim: |members| {
        let configured = ["config.json", "model_index.json", "adapter_config.json", "tokenizer_config.json"];
        let held = |name: &str| {
            ["safetensors", "bin", "gguf", "h5", "msgpack", "onnx", "pt", "pth", "ckpt"]
                .iter()
                .any(|ending| name.rsplit_once('.').is_some_and(|(_, last)| last == *ending))
                || name.starts_with("tokenizer")
                || name == "model_index.json"
                || name.ends_with(".py")
        };
        configured.iter().any(|name| members.has(name)) && members.list().iter().any(|member| held(&member.name))
    },
};

/// Core ML's package.
pub(crate) static CORE_ML: Folder = Folder {
    name: "coreml-package",
    claim: |members| members.has("Manifest.json") && members.list().iter().any(|one| one.name.ends_with(".mlmodel")),
};

/// OpenVINO's network and its weights.
pub(crate) static OPEN_VINO: Folder = Folder {
    name: "openvino-folder",
    claim: |members| alone(members, ".xml").is_some_and(|stem| members.has(&format!("{stem}.bin"))),
};

/// A TensorFlow checkpoint: an index and its data.
pub(crate) static CHECKPOINT: Folder = Folder {
    name: "tensorflow-checkpoint",
    claim: |members| {
        alone(members, ".index").is_some_and(|stem| {
            let data = format!("{stem}.data-");
            members.list().iter().any(|member| member.name.starts_with(&data))
        })
    },
};

/// An ONNX model with tensors in files beside it.
pub(crate) static ONNX: Folder =
    Folder { name: "onnx-folder", claim: |members| alone(members, ".onnx").is_some() && members.list().len() > 1 };

/// Whether a member has this path in the one folder that torch puts at the top of its archives.
fn within(members: &dyn Members, path: &str) -> bool {
    members.list().iter().any(|member| member.name.split_once('/').is_some_and(|(_, rest)| rest == path))
}

/// The stem of the only file at the top that ends so, if nothing else beside it is a model of its own.
fn alone(members: &dyn Members, ending: &str) -> Option<String> {
    let (mine, others): (Vec<_>, Vec<_>) =
        members.list().iter().partition(|one| !one.name.contains('/') && one.name.ends_with(ending));
    let [only] = mine[..] else { return None };
    let is_whole = |name: &str| {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
        WHOLE.contains(&ending.as_str())
    };
    let collection = others.iter().any(|one| is_whole(&one.name));
    (!collection).then(|| only.name.strip_suffix(ending).unwrap_or_default().to_owned())
}

impl Layout for Folder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn rules(&self) -> &'static [&'static Face] {
        &[]
    }

    fn claim(&self, members: &dyn Members) -> bool {
        (self.claim)(members)
    }

    fn scan(&self, _: &Arc<dyn Members>, _: &mut Context<'_>) -> Result<(), Unread> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Folder, scan_folder};
    use crate::{Scanner, Verdict};

    #[test]
    fn folders_are_told_by_their_files() {
        let layout = |names: &[&str]| {
            let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &b"x"[..])).collect();
            Scanner::layout(&*Folder::of(&files))
        };
        assert_eq!(layout(&["saved_model.pb", "variables/variables.index"]), Some("savedmodel-folder"));
        assert_eq!(layout(&["MLmodel", "model.pkl"]), Some("mlflow"));
        assert_eq!(layout(&["config.json", "model.safetensors"]), Some("hugging-face"));
        assert_eq!(layout(&["net.bin", "net.xml"]), Some("openvino-folder"));
        assert_eq!(layout(&["model.ckpt.data-00000-of-00001", "model.ckpt.index"]), Some("tensorflow-checkpoint"));
        assert_eq!(layout(&["model.onnx", "model.onnx.data"]), Some("onnx-folder"));
        assert_eq!(layout(&["config.json", "metadata.json", "model.weights.h5"]), Some("keras"));
        assert_eq!(layout(&["net/data.pkl", "net/data/0", "net/version"]), Some("torch"));
        assert_eq!(layout(&["net/code/a.py", "net/constants.pkl", "net/data.pkl", "net/version"]), Some("torchscript"));
        assert_eq!(layout(&["a.npy", "b.npy"]), Some("npz"), "as in an archive");
        // Many models side by side are many artifacts.
        assert_eq!(layout(&["a.onnx", "b.onnx", "c.pkl"]), None);
        assert_eq!(layout(&["a.onnx", "c.pkl"]), None);
        assert_eq!(layout(&["ckpt.data-00000-of-00001", "ckpt.index", "m.gguf"]), None);
        assert_eq!(layout(&["a/b/data.pkl", "a/b/version", "c.pkl"]), None);
        assert_eq!(layout(&["config.json", "readme.md"]), None);
    }

    #[test]
    fn numbers_that_a_neighbour_explains_are_no_question() {
        let graph: &[u8] = b"";
        let numbers: &[u8] = &[7; 200];
        let scan = scan_folder(&[
            ("model.ckpt.data-00000-of-00001", numbers),
            ("model.ckpt.index", numbers),
            ("checkpoint", graph),
        ]);
        assert_eq!((scan.format, scan.verdict()), ("tensorflow-checkpoint", Verdict::Clean));
        let hostile = scan_folder(&[
            ("model.ckpt.data-00000-of-00001", numbers),
            ("model.ckpt.index", b"cos\nsystem\n(S'echo'\ntR."),
        ]);
        assert_eq!(hostile.verdict(), Verdict::Blocked);
    }
}
