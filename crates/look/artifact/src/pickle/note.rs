//! What the machine notices, and the faces of its rules.

use haris_domain::Severity;

use crate::face::Face;
use crate::finding::Verdict;
use crate::refs;

/// Something noticed at a byte of the pickle.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) face: &'static Face,
    pub(crate) at: u64,
    pub(crate) detail: String,
    pub(crate) explanation: Option<String>,
}

const KEEP_OUT: &str =
    "Do not load it. Find out who made it and how it got here; ask for the weights as safetensors or ONNX.";
const ASK: &str = "Ask who made it what this is for. If it is theirs and needed, waive it by digest; better, ask for the \
                   weights as safetensors or ONNX, which carry no callables.";

macro_rules! faces {
    ($($name:ident = $id:literal, $severity:ident, $verdict:ident, $remedy:expr, $refs:expr, $title:literal, $meaning:literal;)*) => {
        $(pub(crate) static $name: Face =
            Face::new($id, Severity::$severity, Verdict::$verdict, $title, $meaning, $remedy, $refs);)*
        /// All of them.
        pub(crate) static RULES: &[&Face] = &[$(&$name),*];
    };
}

faces! {
    DANGEROUS_CALL = "artifact.pickle-dangerous-call", Critical, Blocked, KEEP_OUT,
        refs!["CWE-502", "ATLAS-2025.10:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
        "Loading it calls something dangerous",
        "The pickle names a callable that runs programs or code, loads other objects, or touches files, the network \
         or the interpreter, and calls it as soon as it is loaded.";
    DANGEROUS_NAME = "artifact.pickle-dangerous-name", High, Blocked, KEEP_OUT,
        refs!["CWE-502", "ATLAS-2025.10:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
        "It holds something dangerous to be called",
        "The pickle names a callable that no model needs. Loading it does not call it here, but whatever uses the \
         object may.";
    FOREIGN_CALL = "artifact.pickle-foreign-call", Critical, Blocked, KEEP_OUT,
        refs!["CWE-502", "ATLAS-2025.10:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
        "Loading it calls a function that models do not use",
        "Genuine pickles rebuild objects with a small set of constructors, which are known. This one calls another \
         function of Python's own library; many of those run code or commands in the end.";
    PAYLOAD_CALL = "artifact.pickle-payload-call", Critical, Blocked, KEEP_OUT,
        refs!["CWE-502", "ATLAS-2025.10:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
        "Loading it hands code, a command, a path or an address to an unknown callable",
        "The callable is not known, but what it is called with reads like a payload.";
    COMPUTED_CALL = "artifact.pickle-computed-call", Critical, Blocked, KEEP_OUT,
        refs!["CWE-502", "CWE-913", "ATLAS-2025.10:AML.T0011.000"],
        "Loading it calls something that it computes first",
        "What is called, or its name, is itself the result of a call, or an object that the pickle has just made. No \
         pickler writes that; it hides a callable from scanners.";
    CARRIED_CODE_CALL = "artifact.pickle-carried-code-call", Critical, Blocked, KEEP_OUT,
        refs!["CWE-502", "CWE-94", "ATLAS-2025.10:AML.T0011.000"],
        "Loading it runs code that it carries",
        "The pickle makes a function from code of its own and calls it as soon as it is loaded.";
    CARRIED_CODE = "artifact.pickle-carried-code", Medium, Review, ASK,
        refs!["CWE-502", "CWE-94"],
        "It carries code",
        "cloudpickle and dill store functions as code. Loading makes the function without calling it; using the model \
         will. What the code does has to be read.";
    CARRIED_DANGER = "artifact.pickle-carried-danger", High, Blocked, KEEP_OUT,
        refs!["CWE-502", "CWE-94", "ATLAS-2025.10:AML.T0011.000"],
        "It carries code that runs programs or other code",
        "A function stored in the pickle refers to callables that no model needs.";
    OVERWRITES = "artifact.pickle-overwrites", Critical, Blocked, KEEP_OUT,
        refs!["CWE-502", "CWE-915"],
        "Loading it changes a class, a function or a module",
        "The pickle sets attributes or items of something that it did not make, so that later code runs differently.";
    UNKNOWN_CALL = "artifact.pickle-unknown-call", Medium, Review, ASK,
        refs!["CWE-502"],
        "Loading it calls something unknown",
        "No genuine model that is known calls it. Loading imports its package and calls it.";
    UNKNOWN_CLASS = "artifact.pickle-unknown-class", Medium, Review, ASK,
        refs!["CWE-502"],
        "It holds an object of an unknown class",
        "Loading imports the class's module and gives the object its state, which may run code of that class.";
    UNKNOWN_NAME = "artifact.pickle-unknown-name", Low, Review, ASK,
        refs!["CWE-502"],
        "It refers to something unknown",
        "Loading imports the module, which runs its top level; the thing itself is not called.";
    EXTENSION = "artifact.pickle-extension", Medium, Review, ASK,
        refs!["CWE-502"],
        "It names something by a number that only the loading program knows",
        "Extension codes stand for callables that the loader has registered. Which ones cannot be told from here.";
    PERSISTENT_ID = "artifact.pickle-persistent-id", Low, Review, ASK,
        refs!["CWE-502"],
        "It leaves an object for the loader to provide",
        "A persistent id means what the loading program makes of it. Only torch's storages are known.";
    TRAILING = "artifact.pickle-trailing-data", Medium, Review,
        "Ask what the bytes are for; a pickle ends where it stops.",
        refs!["CWE-436"],
        "Bytes follow after its end",
        "Unpicklers stop at the end of the pickle and never see what follows; another program may.";
    BROKEN = "artifact.pickle-broken", Medium, Incomplete,
        "Get it again from where it was made.",
        refs!["CWE-502"],
        "An unpickler would fail in the middle",
        "What was called before that point has run by then. What comes after may be read by a more tolerant loader.";
}
