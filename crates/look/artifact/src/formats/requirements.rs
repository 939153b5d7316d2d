//! Requirement files, `pyproject.toml`, `setup.cfg` and `Pipfile`: what installing beside the model would fetch.

use std::sync::LazyLock;

use haris_domain::Severity;
use regex::Regex;

use crate::code::shell::{self, Command};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::read::text::{self, shown};
use crate::refs;
use crate::unread::Unread;

use super::json::install::{DOUBTFUL, HOOK};

static UNSAFE_INDEX: Face = Face::new(
    "artifact.requirements-unsafe-source",
    Severity::High,
    Verdict::Blocked,
    "Packages from a place nobody vouches for",
    "A requirement comes from a bare address, over an unprotected connection, or from a service for anonymous data: \
     installing it runs whatever is there that day.",
    "Take the package from the bank's own index, pinned by hash.",
    refs!["CWE-494", "CWE-829", "MITRE-ATLAS:AML.T0010.001"],
);

/// Indexes that publishers of frameworks name.
const INDEXES: &[&str] = &[
    "https://pypi.org",
    "https://files.pythonhosted.org",
    "https://download.pytorch.org",
    "https://pypi.nvidia.com",
    "https://pypi.ngc.nvidia.com",
    "https://data.pyg.org",
    "https://storage.googleapis.com/jax-releases",
    "https://test.pypi.org",
];

static REQUIREMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[A-Za-z0-9,._ -]*\])?\s*((===|==|>=|<=|~=|!=|<|>|=)[^;#@]*)?(;.*)?(#.*)?(\s--hash=.*)?\\?$")
        .expect("the pattern is a constant, and a test compiles it")
});

/// Judges one requirement.
pub(super) fn line(place: &str, line: &str, context: &mut Context<'_>) {
    let line = line.split(" #").next().unwrap_or("").trim();
    if line.is_empty() || line.starts_with('#') || REQUIREMENT.is_match(line) {
        return;
    }
    let shown_line = shown(line, 200);
    let lower = line.to_ascii_lowercase();
    if let Command::Hostile(why) = shell::read(&format!("pip install {line}")) {
        context.find(&UNSAFE_INDEX, format!("{place}: `{shown_line}`: {why}"));
        return;
    }
    let address = lower.find("://").map(|at| &lower[at + 3..]);
    if let Some(rest) = address {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or("");
        let host = host.rsplit('@').next().unwrap_or(host);
        let numeric = host.split('.').count() == 4 && host.split('.').all(|part| part.parse::<u8>().is_ok());
        let plain = lower.contains("http://") && !host.starts_with("localhost");
        let drop = ["ngrok", "pastebin", "transfer.sh", "webhook", "discord", "onion", "oast", "burp"]
            .iter()
            .any(|name| host.contains(name));
        if numeric || plain || drop {
            context.find(&UNSAFE_INDEX, format!("{place}: `{shown_line}`"));
        } else if !INDEXES.iter().any(|index| lower.contains(index)) {
            context.find(&DOUBTFUL, format!("{place}: `{shown_line}`"));
        }
        return;
    }
    let option = lower.starts_with('-');
    let known_option = [
        "-r ",
        "-c ",
        "--requirement",
        "--constraint",
        "--pre",
        "--prefer-binary",
        "--only-binary",
        "--no-binary",
        "--hash",
        "--no-deps",
        "--require-hashes",
        "-f ",
        "--find-links",
        "--no-index",
    ]
    .iter()
    .any(|known| lower.starts_with(known));
    let path = lower.contains("file:")
        || lower.starts_with(['.', '/'])
        || lower.starts_with("-e")
        || lower.starts_with("--editable")
        || lower.contains(" @ ");
    if path || (option && !known_option) {
        context.find(&DOUBTFUL, format!("{place}: `{shown_line}`"));
    }
}

/// The format.
pub(crate) struct Requirements;

impl Format for Requirements {
    fn name(&self) -> &'static str {
        "requirements"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&UNSAFE_INDEX, &HOOK, &DOUBTFUL];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if !text::is_text(&part.head) {
            return Claim::No;
        }
        let head = text::decode(&part.head);
        // A list of YAML, whose tags are to be read.
        if head.contains("!!") {
            return Claim::No;
        }
        let mut lines = head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (mut named, mut others) = (0usize, 0usize);
        for line in lines.by_ref().take(200) {
            let option = line.starts_with('-') && line.len() > 1;
            let address =
                line.starts_with("git+") || line.contains(" @ ") || (line.contains("://") && !line.contains(' '));
            if REQUIREMENT.is_match(line) || option || address {
                named += 1;
            } else {
                others += 1;
            }
        }
        if named > 0 && others * 10 <= named { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        for (number, entry) in (1..).zip(text::read(&part.source)?.lines()) {
            context.budget().steps(10)?;
            line(&format!("line {number}"), entry, context);
        }
        Ok(())
    }
}

/// `pyproject.toml` and its kin.
pub(crate) struct Toml;

impl Format for Toml {
    fn name(&self) -> &'static str {
        "toml"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&UNSAFE_INDEX, &HOOK, &DOUBTFUL];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if !text::is_text(&part.head) {
            return Claim::No;
        }
        let head = text::decode(&part.head);
        let section = head.lines().any(|line| {
            let line = line.trim();
            line.starts_with('[') && line.ends_with(']') && !line.contains([',', ' ', '"']) && line.len() > 2
        });
        let first = head.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        let begins = first.is_some_and(|line| line.starts_with('[') || line.contains('='));
        if section && begins { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let source = text::read(&part.source)?;
        // The section decides whether a line names a package; INI and TOML agree on this much.
        let mut section = String::new();
        let mut list = false;
        // INI goes on with a value in lines that stand further in.
        let mut going_on = false;
        for (number, raw) in (1..).zip(source.lines()) {
            context.budget().steps(10)?;
            let entry = raw.trim();
            if entry.is_empty() || entry.starts_with(['#', ';']) {
                continue;
            }
            let place = format!("line {number}");
            if entry.starts_with('[') && entry.ends_with(']') && !entry.contains('"') && !list {
                section = entry.trim_matches(['[', ']']).to_owned();
                continue;
            }
            let key = entry.split('=').next().unwrap_or("").trim();
            match key {
                "backend-path" | "cmdclass" | "build-backend"
                    if !entry.contains("setuptools.build_meta")
                        && !entry.contains("hatchling")
                        && !entry.contains("poetry")
                        && !entry.contains("flit")
                        && !entry.contains("pdm")
                        && !entry.contains("maturin")
                        && !entry.contains("scikit_build")
                        && !entry.contains("mesonpy")
                        && !entry.contains("uv_build") =>
                {
                    context.find(&DOUBTFUL, format!("{place}: `{}`", shown(entry, 200)));
                }
                _ => {}
            }
            if let Command::Hostile(why) = shell::read(entry) {
                context.find(&HOOK, format!("{place}: {why}")).explain(&shown(entry, 600));
            }
            let opens = entry.ends_with('[');
            if going_on && raw.starts_with([' ', '\t']) && (entry.contains("://") || entry.contains(" @ ")) {
                line(&place, entry, context);
            }
            if !raw.starts_with([' ', '\t']) {
                going_on = matches!(key, "install_requires" | "setup_requires" | "tests_require" | "dependency_links");
            }
            let names = [
                "dependencies",
                "requires",
                "install_requires",
                "setup_requires",
                "packages",
                "dev-packages",
                "source",
            ]
            .iter()
            .any(|word| key == *word || section.ends_with(word));
            if names || list {
                for quoted in entry.split(['"', '\'']).skip(1).step_by(2) {
                    if quoted.contains("://")
                        || quoted.starts_with("git+")
                        || quoted.contains(" @ ")
                        || quoted.starts_with("file:")
                    {
                        line(&place, quoted, context);
                    }
                }
            }
            list = (list || (names && opens)) && !entry.ends_with(']');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    #[test]
    fn requirements() {
        for (source, verdict) in [
            (
                "torch==2.1.0\nnumpy>=1.2,<2\ntransformers[torch]~=4.30 ; python_version >= '3.8'\n# note\n-r base.txt\n",
                Verdict::Clean,
            ),
            ("--extra-index-url https://download.pytorch.org/whl/cu118\ntorch\n", Verdict::Clean),
            ("--index-url http://a.example/simple\ntorch\n", Verdict::Blocked),
            ("torch\nhttps://192.0.2.7/x.whl\n", Verdict::Blocked),
            ("torch\ngit+https://github.com/someone/thing@main\n", Verdict::Review),
            ("torch\n--extra-index-url https://packages.a.example/simple\n", Verdict::Review),
            (
                "[project]\nname = \"x\"\ndependencies = [\n  \"torch\",\n  \"y @ http://a.example/y.whl\",\n]\n",
                Verdict::Blocked,
            ),
            (
                "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\n[project]\nname = \"x\"\n",
                Verdict::Clean,
            ),
            ("[build-system]\nrequires = []\nbuild-backend = \"evil\"\nbackend-path = [\".\"]\n", Verdict::Review),
        ] {
            assert_eq!(
                verdict_of(source.as_bytes().to_vec()),
                verdict,
                "{source}: {:?}",
                rules_of(source.as_bytes().to_vec())
            );
        }
    }
}
