//! The command `haris-verify`, which `haris verify` runs as well.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use haris_merkle::receipt::RECEIPT_BYTES_MAX;
use haris_merkle::{Policy, VerifierKey};
use serde_json::{Value, json};

use crate::outside::{Named, Place};
use crate::report::{EventLine, Report, Watch, event_text};
use crate::trust::Trust;
use crate::verify::{Kept, verify_proof, verify_receipt, verify_with};

/// Exit status: everything the file claims is shown.
pub const PROVEN: i32 = 0;
/// Exit status: something is not shown, or was altered.
pub const NOT_PROVEN: i32 = 1;
/// Exit status: bad usage, or a file that cannot be read.
pub const UNREADABLE: i32 = 2;

/// Events that a person is shown without `--events`; those that are not proven come on top.
const LISTED: u64 = 20;
/// The same in JSON.
const LISTED_JSON: u64 = 100;
/// Most unproven events that are listed without `--events`.
const UNPROVEN_LISTED: u64 = 1000;
/// Longest key or policy file.
const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What `--help` prints.
pub const HELP: &str = "\
Checks an evidence bundle, a .tlog-proof or a receipt of Haris, offline.

Usage: haris-verify FILE --key KEY [--key KEY ...] [--policy FILE] [--witness URL ...]
                    [--in FILE] [--format table|json] [--events]

  --key KEY        public key of a log or of a witness, as `haris status` prints it, or a file
                   that holds it; get it from someone you trust, not from the bundle
  --policy FILE    tlog-policy: keys of logs and witnesses, and how many witnesses must have signed
  --witness URL    asks a witness (http://...) for its newest checkpoint, and checks that the
                   bundle's is a prefix of it; or a file with that checkpoint
  --tiles PLACE    folder or http URL where the logs' tiles lie (PLACE/evidence/tile/...), for
                   a witness that gives no proof; they are checked, not trusted
  --in FILE        with a receipt: the bundle or proof that should hold the event
  --format FORMAT  table (default) or json
  --events         list every event, not only the first few and those that are not proven
  --help, --version

Exit status: 0 proven, 1 not proven or altered, 2 bad usage or unreadable file.
";

struct Args {
    file: PathBuf,
    /// Where a receipt's event should be.
    within: Option<PathBuf>,
    trust: Trust,
    named: Named,
    json: bool,
    events: bool,
}

enum Asked {
    Help,
    Version,
    Verify(Box<Args>),
}

/// Runs the command with the arguments after its name. The answer goes to `stdout`, what prevents one to `stderr`.
/// Answers the exit status.
pub fn main_with(args: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write, stderr: &mut dyn Write) -> i32 {
    let outcome = parse(args).and_then(|asked| match asked {
        Asked::Help => stdout.write_all(HELP.as_bytes()).map(|()| PROVEN).map_err(|error| error.to_string()),
        Asked::Version => writeln!(stdout, "haris-verify {}", env!("CARGO_PKG_VERSION"))
            .map(|()| PROVEN)
            .map_err(|error| error.to_string()),
        Asked::Verify(args) => run(&args, stdout),
    });
    outcome.unwrap_or_else(|why| {
        // Nobody is left to tell if stderr is gone too.
        let _ = writeln!(stderr, "haris-verify: {why}");
        UNREADABLE
    })
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut args = args.into_iter();
    let (mut file, mut trust, mut json, mut events) = (None, Trust::default(), false, false);
    let (mut within, mut named) = (None, Named::default());
    let mut only_files = false;
    while let Some(arg) = args.next() {
        let text = arg.to_str().filter(|_| !only_files).unwrap_or("").to_owned();
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(OsString::from(value))),
            _ => (text, None),
        };
        let mut value =
            || inline.clone().or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value; see --help"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            "--key" => trust.keys.extend(keys(&value()?)?),
            "--policy" => trust.policy = Some(policy(&value()?)?),
            "--witness" => named.witnesses.push(Place::parse(&value()?)?),
            "--tiles" => named.tiles = Some(Place::parse(&value()?)?),
            "--in" => within = Some(PathBuf::from(value()?)),
            "--format" => match value()?.to_str() {
                Some("table") => json = false,
                Some("json") => json = true,
                _ => return Err("--format is `table` or `json`".to_owned()),
            },
            "--events" => events = true,
            "--" => only_files = true,
            other if other.starts_with('-') && other.len() > 1 => {
                return Err(format!("unknown option `{other}`; see --help"));
            }
            _ if file.is_none() => file = Some(PathBuf::from(arg)),
            _ => return Err("give one file at a time; see --help".to_owned()),
        }
    }
    let file = file.ok_or("give the bundle or proof to check; see --help")?;
    if trust.keys.is_empty() && trust.policy.is_none() {
        return Err(
            "give --key or --policy: keys inside a bundle prove nothing. `haris status` prints the log's key; \
                    get it from someone you trust"
                .to_owned(),
        );
    }
    Ok(Asked::Verify(Box::new(Args { file, within, trust, named, json, events })))
}

/// A key as text, or the keys in a file, one a line.
fn keys(value: &OsString) -> Result<Vec<VerifierKey>, String> {
    let shown = value.to_string_lossy();
    let parse = |text: &str| text.parse::<VerifierKey>().map_err(|error| format!("`{}`: {error}", shorten(text)));
    if let Some(text) = value.to_str().filter(|text| text.contains('+') && !PathBuf::from(text).exists()) {
        return Ok(vec![parse(text)?]);
    }
    let bytes = small_file(value)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{shown}` is not a file of keys"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(parse).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err(format!("`{shown}` holds no key")) } else { Ok(keys) }
}

fn shorten(text: &str) -> String {
    if text.chars().count() > 64 {
        format!("{}…", text.chars().take(64).collect::<String>())
    } else {
        text.to_owned()
    }
}

fn policy(path: &OsString) -> Result<Policy, String> {
    Policy::parse(&small_file(path)?).map_err(|error| format!("`{}`: {error}", path.to_string_lossy()))
}

fn small_file(path: &OsString) -> Result<Vec<u8>, String> {
    let name = path.to_string_lossy().into_owned();
    let file = File::open(path).map_err(|error| format!("could not open `{}`: {error}", shorten(&name)))?;
    let mut bytes = Vec::new();
    file.take(SMALL_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("could not read `{name}`: {error}"))?;
    if bytes.len() as u64 > SMALL_FILE_BYTES_MAX { Err(format!("`{name}` is too long")) } else { Ok(bytes) }
}

fn run(args: &Args, stdout: &mut dyn Write) -> Result<i32, String> {
    let mut out = BufWriter::new(stdout);
    let mut shown = Shown { out: &mut out, json: args.json, all: args.events, listed: 0, unproven: 0 };
    let report = match sort_of(&args.file)? {
        Sort::Receipt(bytes) => {
            let mut kept = Kept::of(&bytes);
            let evidence = args.within.as_deref().map(|file| evidence(file, args, &mut kept)).transpose()?;
            let report = verify_receipt(&bytes, &args.trust, evidence.map(|report| (report, &kept)));
            shown.begins(&report.begins).map_err(|error| format!("could not write the answer: {error}"))?;
            report
        }
        _ if args.within.is_some() => return Err("--in goes with a receipt; see --help".to_owned()),
        _ => evidence(&args.file, args, &mut shown)?,
    };
    shown.finish(&report).and_then(|()| out.flush()).map_err(|error| format!("could not write the answer: {error}"))?;
    Ok(if report.proven { PROVEN } else { NOT_PROVEN })
}

enum Sort {
    Bundle,
    Proof,
    Receipt(Vec<u8>),
}

fn sort_of(path: &Path) -> Result<Sort, String> {
    let name = path.display();
    let file = File::open(path).map_err(|error| format!("could not open `{name}`: {error}"))?;
    let mut start = Vec::new();
    file.take(RECEIPT_BYTES_MAX as u64)
        .read_to_end(&mut start)
        .map_err(|error| format!("could not read `{name}`: {error}"))?;
    if start.starts_with(b"c2sp.org/tlog-proof@v") {
        Ok(Sort::Proof)
    } else if start.starts_with(b"PK") {
        Ok(Sort::Bundle)
    } else if haris_merkle::Receipt::parse(&start).is_ok() {
        Ok(Sort::Receipt(start))
    } else {
        Err(format!("`{name}` is neither an evidence bundle nor a .tlog-proof nor a receipt"))
    }
}

/// Verifies a bundle or proof.
fn evidence(path: &Path, args: &Args, watch: &mut dyn Watch) -> Result<Report, String> {
    let name = path.display();
    let read = |error: io::Error| format!("could not read `{name}`: {error}");
    let sort = sort_of(path)?;
    let file = File::open(path).map_err(|error| format!("could not open `{name}`: {error}"))?;
    let report = match sort {
        Sort::Bundle => verify_with(file, &args.trust, &args.named, watch),
        Sort::Proof if !args.named.witnesses.is_empty() => {
            return Err("--witness goes with a bundle: a single proof has no tiles to hold against it".to_owned());
        }
        Sort::Proof => {
            let mut bytes = Vec::new();
            file.take(SMALL_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
            verify_proof(&bytes, &args.trust, watch)
        }
        Sort::Receipt(_) => return Err(format!("`{name}` is a receipt; --in takes a bundle or a .tlog-proof")),
    };
    report.map_err(read)
}

/// Writes events as they come; a million of them need no memory.
struct Shown<'a> {
    out: &'a mut dyn Write,
    json: bool,
    all: bool,
    listed: u64,
    unproven: u64,
}

impl Shown<'_> {
    fn finish(&mut self, report: &Report) -> io::Result<()> {
        if !self.json {
            let more: u64 = report.logs.iter().map(|log| log.leaves).sum::<u64>().saturating_sub(self.listed);
            if more > 0 {
                writeln!(self.out, "… and {more} more; --events lists them")?;
            }
            if self.listed > 0 {
                writeln!(self.out)?;
            }
            return self.out.write_all(report.to_text().as_bytes());
        }
        let Value::Object(mut rest) = json!(report) else { return Ok(()) };
        // Both went out before the events.
        rest.remove("schema");
        rest.remove("begins");
        rest.insert("events_listed".to_owned(), self.listed.into());
        let rest = serde_json::to_string(&rest)?;
        writeln!(self.out, "],{}", &rest[1..])
    }
}

impl Watch for Shown<'_> {
    fn begins(&mut self, sentence: &str) -> io::Result<()> {
        if self.json {
            write!(self.out, "{{\"schema\":\"haris.verify/1\",\"begins\":{},\"events\":[", json!(sentence))
        } else {
            writeln!(self.out, "{sentence}\n")
        }
    }

    fn event(&mut self, line: &EventLine) -> io::Result<()> {
        if self.json {
            let comma = if self.listed > 0 { "," } else { "" };
            write!(self.out, "{comma}{}", json!(line))?;
        } else {
            self.out.write_all(event_text(line).as_bytes())?;
        }
        self.listed += 1;
        self.unproven += u64::from(!line.proven);
        Ok(())
    }

    fn wants(&self, proven: bool) -> bool {
        self.all
            || if proven {
                self.listed < if self.json { LISTED_JSON } else { LISTED }
            } else {
                self.unproven < UNPROVEN_LISTED
            }
    }
}
