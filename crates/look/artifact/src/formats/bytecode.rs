//! Compiled Python (`.pyc`): code without its source, judged by the names it uses.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::read::marshal;
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

static BYTECODE: Face = Face::new(
    "artifact.python-bytecode",
    Severity::High,
    Verdict::Blocked,
    "Compiled Python",
    "Bytecode runs on import and shows no source to a reviewer. Python prefers it over the source beside it.",
    "Reject it, and ask for the source.",
    refs!["CWE-506", "MITRE-ATLAS:AML.T0011.000"],
);

/// The format.
pub(crate) struct PythonBytecode;

/// Where the code object begins: 16 bytes since Python 3.7, 12 since 3.3, 8 before.
fn code_at(part: &Part) -> Option<usize> {
    // Two bytes of version, then a line end that breaks when the file is treated as text.
    if part.head.get(2..4) != Some(b"\r\n") {
        return None;
    }
    [16, 12, 8].into_iter().find(|at| matches!(part.head.get(*at), Some(b'c' | 0xe3)))
}

impl Format for PythonBytecode {
    fn name(&self) -> &'static str {
        "python-bytecode"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&BYTECODE];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        let bare = part.head.first() == Some(&0xe3) && part.head.get(1..5) == Some(&[0; 4]) && part.head.len() > 40;
        if code_at(part).is_some() || bare { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let bytes = part.source.some(code_at(part).unwrap_or(0) as u64, marshal::BYTES_MAX)?;
        let detail = match marshal::code(&bytes) {
            Some(code) => format!("names: {}", shown(&code.names.join(", "), 200)),
            None => "a version of Python that is not known".to_owned(),
        };
        context.find(&BYTECODE, detail);
        Ok(())
    }
}
