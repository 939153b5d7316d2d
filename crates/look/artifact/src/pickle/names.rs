//! The callables and modules that a pickle names, each once, with how it was used.

use std::collections::HashMap;

use crate::knowledge::{Knowledge, Standing};

/// Different names in one pickle; a genuine one has dozens.
const NAMES_MAX: usize = 50_000;

/// Callables whose result, or whose harm, depends on what they are called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// Nothing special.
    No,
    /// `getattr(object, name)`.
    GetAttr,
    /// `operator.attrgetter(name)`.
    AttrGetter,
    /// `operator.methodcaller(name, …)`.
    MethodCaller,
    /// `functools.partial(callable, …)`.
    Partial,
    /// `importlib.import_module(name)` and its kin.
    Import,
    /// `copyreg.__newobj__(class, …)`.
    NewObject,
    /// `copyreg._reconstructor(class, base, state)`.
    Reconstructor,
    /// `type(name, bases, members)`.
    Type,
    /// `cloudpickle._builtin_type(name)`: a type of `types`.
    TypeByName,
    /// Makes a function from code that the pickle carries.
    MakeFunction,
    /// Makes the code of a function.
    MakeCode,
    /// Makes strings or bytes.
    Compute,
    /// Loads a serialised object from its bytes argument, which the framework's own pickles do.
    LoadBytes,
    /// `f(function, …, arguments)` that calls the function: torch's subclasses of tensors.
    Apply,
    /// `copyreg.add_extension(module, name, code)`.
    AddExtension,
    /// `numpy.dtype(…)`.
    Dtype,
}

impl Special {
    fn of(module: &str, name: &str) -> Self {
        match (module, name) {
            ("builtins" | "__builtin__", "getattr") => Self::GetAttr,
            ("operator" | "_operator", "attrgetter") => Self::AttrGetter,
            ("operator" | "_operator", "methodcaller") => Self::MethodCaller,
            ("functools" | "_functools", "partial") => Self::Partial,
            ("importlib" | "importlib._bootstrap", "import_module" | "__import__" | "_gcd_import")
            | ("builtins" | "__builtin__", "__import__")
            | ("cloudpickle.cloudpickle" | "cloudpickle", "subimport" | "dynamic_subimport")
            | ("dill._dill" | "dill.dill", "_import_module") => Self::Import,
            ("copyreg" | "copy_reg", "__newobj__" | "__newobj_ex__") => Self::NewObject,
            ("copyreg" | "copy_reg", "_reconstructor") => Self::Reconstructor,
            ("builtins" | "__builtin__", "type") => Self::Type,
            ("types", "FunctionType" | "LambdaType")
            | ("cloudpickle.cloudpickle" | "cloudpickle", "_make_function" | "_make_skel_func" | "_fill_function")
            | ("dill._dill" | "dill.dill", "_create_function") => Self::MakeFunction,
            ("types", "CodeType") | ("dill._dill" | "dill.dill", "_create_code") => Self::MakeCode,
            ("cloudpickle.cloudpickle" | "cloudpickle", "_builtin_type")
            | ("dill._dill" | "dill.dill", "_load_type") => Self::TypeByName,
            (
                "_codecs" | "codecs",
                "encode" | "decode" | "escape_decode" | "latin_1_encode" | "latin_1_decode" | "utf_8_decode",
            )
            | ("builtins" | "__builtin__", "str" | "bytes" | "bytearray" | "chr" | "format" | "repr" | "ascii")
            | ("base64" | "binascii" | "zlib" | "gzip" | "bz2" | "lzma", _) => Self::Compute,
            ("torch.storage", "_load_from_bytes") => Self::LoadBytes,
            ("torch._tensor", "_rebuild_from_type_v2" | "_rebuild_from_type")
            | ("torch.tensor", "_rebuild_from_type") => Self::Apply,
            ("copyreg" | "copy_reg", "add_extension") => Self::AddExtension,
            ("numpy", "dtype") => Self::Dtype,
            _ => Self::No,
        }
    }
}

/// A callable, class or attribute that the pickle names.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) module: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) standing: Standing,
    /// Whether it is reached through Python's own library.
    pub(crate) of_python: bool,
    pub(crate) special: Special,
    /// Where it was first named.
    pub(crate) first: u64,
    /// Calls in all, and where and how the first one, or the first telling one, looked.
    pub(crate) calls: u64,
    pub(crate) call: Option<Call>,
    /// Where an instance was first made without a call.
    pub(crate) made: Option<u64>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) at: u64,
    pub(crate) shown: String,
    /// What among its arguments reads like code, a command, a path or an address.
    pub(crate) payload: Option<String>,
}

impl Name {
    /// `module.name`.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }

    /// Whether the last hop is spelt as a class, or as an exception is.
    pub(crate) fn is_class_like(&self) -> bool {
        let last = self.name.rsplit('.').next().unwrap_or_default().trim_start_matches('_');
        last.starts_with(|c: char| c.is_uppercase()) && last.contains(|c: char| c.is_lowercase())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Names {
    list: Vec<Name>,
    index: HashMap<(Box<str>, Box<str>), u32>,
    modules: Vec<Box<str>>,
    /// Whether there were too many.
    pub(crate) overflowed: bool,
}

impl Names {
    /// The number of `module.name`; nothing when there are too many.
    pub(crate) fn intern(&mut self, at: u64, module: &str, name: &str, knowledge: &Knowledge) -> Option<u32> {
        let key = (Box::from(module), Box::from(name));
        if let Some(index) = self.index.get(&key) {
            return Some(*index);
        }
        if self.list.len() >= NAMES_MAX {
            self.overflowed = true;
            return None;
        }
        let index = u32::try_from(self.list.len()).ok()?;
        self.list.push(Name {
            module: key.0.clone(),
            name: key.1.clone(),
            standing: knowledge.standing(module, name),
            of_python: knowledge.is_of_python(module, name),
            special: Special::of(module, name),
            first: at,
            calls: 0,
            call: None,
            made: None,
        });
        self.index.insert(key, index);
        Some(index)
    }

    /// The number of a module.
    pub(crate) fn module(&mut self, module: &str) -> u32 {
        let known = self.modules.iter().position(|known| &**known == module);
        let index = known.unwrap_or_else(|| {
            if self.modules.len() < NAMES_MAX {
                self.modules.push(module.into());
            }
            self.modules.len() - 1
        });
        u32::try_from(index).unwrap_or_default()
    }

    pub(crate) fn module_name(&self, index: u32) -> &str {
        self.modules.get(index as usize).map_or("?", AsRef::as_ref)
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Name> {
        self.list.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Name> {
        self.list.get_mut(index as usize)
    }

    pub(crate) fn all(&self) -> &[Name] {
        &self.list
    }
}
