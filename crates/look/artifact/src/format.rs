//! What a format is, and the list of all of them.

use crate::context::Context;
use crate::face::Face;
use crate::formats;
use crate::part::Part;
use crate::unread::Unread;

/// How sure a format is that a loader of its kind would open the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// No such loader would get anywhere.
    No,
    /// It looks like it, for want of anything better. Scanned only when nothing claims [`Claim::Yes`];
    /// the first in the list with this claim is taken.
    Perhaps,
    /// A loader would open it. Every format that says so scans the part.
    Yes,
}

/// A file format. One file under `formats/`, one line in [`FORMATS`].
pub trait Format: Send + Sync {
    /// Name in reports and for [`crate::Kind::As`]: `pickle`.
    fn name(&self) -> &'static str;

    /// All rules that it may speak.
    fn rules(&self) -> &'static [&'static Face];

    /// Whether the content is of this format. Cheap: it is asked of every part. May read beyond the
    /// head (`part.source`), but little.
    fn claim(&self, part: &Part) -> Claim;

    /// Whether it only packs one other file, as compressors do.
    fn wraps(&self) -> bool {
        false
    }

    /// Looks. What it finds goes to `context`; parts inside go to [`Context::embed`], never scanned
    /// by a call from here, so that nothing recurses.
    ///
    /// # Errors
    /// When the part could not be read to its end: the scanner makes an `incomplete` finding of it.
    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread>;
}

/// All formats, most specific first.
pub static FORMATS: &[&dyn Format] = &[
    &formats::torch_legacy::TorchLegacy,
    &formats::npy::Npy,
    &formats::zip::Zip,
    &formats::tar::Tar,
    &formats::compressed::GZIP,
    &formats::compressed::ZLIB,
    &formats::compressed::BZIP2,
    &formats::compressed::XZ,
    &formats::compressed::LZMA,
    &formats::compressed::LZ4,
    &formats::compressed::ZSTD,
    &formats::compressed::ZFILE,
    &formats::pickle::Pickle,
    &formats::safetensors::Safetensors,
    &formats::gguf::Gguf,
    &formats::hdf5::Hdf5,
    &formats::tflite::TfLite,
    &formats::onnx::Onnx,
    &formats::tensorflow::TensorFlow,
    &formats::msgpack::MsgPack,
    &formats::ubjson::UbJson,
    &formats::boosters::CatBoost,
    &formats::boosters::LightGbm,
    &formats::xgboost::XgBoostBinary,
    &formats::rds::Rds,
    &formats::executable::Executable,
    &formats::bytecode::PythonBytecode,
    &formats::tensorrt::TensorRt,
    &formats::sevenzip::SevenZip,
    &formats::rar::Rar,
    &formats::java::Java,
    &formats::torch7::Torch7,
    &formats::coreml::CoreMl,
    &formats::paddle::PaddleProgram,
    &formats::paddle::PaddleParameters,
    &formats::jinja::Jinja,
    &formats::json::JsonFormat,
    &formats::xml::Xml,
    &formats::shell::ShellScript,
    &formats::python::PythonSource,
    &formats::python::PythonModule,
    &formats::requirements::Requirements,
    &formats::requirements::Toml,
    &formats::yaml::Yaml,
    &formats::document::Document,
];
