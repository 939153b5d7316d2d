//! The walker: paths to artifacts. A file is an artifact; so is a folder that is one model.
//!
//! Each artifact is scanned while another thread hashes it, over the same cached pages. If the file
//! changes meanwhile, what was scanned is not what was hashed, and the artifact is `incomplete`.

mod digest;
mod folder;
mod texts;
mod waiver;

pub use waiver::{BadWaivers, Waiver, Waivers};

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use haris_artifact::{Budget, Face, Finding, Limits, Members, Scan, Scanner, Source, Verdict};
use haris_domain::Digest;

use crate::digest::Stamp;
use crate::folder::Folder;

/// Every rule that a scan may speak: of the engine of model files, and of texts in them.
pub fn rules() -> impl Iterator<Item = &'static Face> {
    haris_artifact::RULES.iter().chain(texts::RULES.iter()).copied()
}

/// How to scan.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to hash (SHA-256). Without a digest no waiver applies.
    pub digest: bool,
    /// How long one artifact may take; what is not done by then is `incomplete`.
    pub time_max: Duration,
    /// Bounds of one artifact.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { digest: true, time_max: Duration::from_secs(600), limits: Limits::default() }
    }
}

/// One artifact as scanned.
#[derive(Debug)]
pub struct Artifact {
    /// As it was reached from the given path.
    pub path: PathBuf,
    /// What it is.
    pub format: &'static str,
    /// Bytes, of all members together for a folder.
    pub size: u64,
    /// SHA-256 of the file; of a folder, of the lines `HEX  NAME\n` sorted by name, as `sha256sum` prints them.
    pub sha256: Option<Digest>,
    /// After waivers.
    pub verdict: Verdict,
    /// What was found, and the waiver that covers it.
    pub findings: Vec<(Finding, Option<Waiver>)>,
}

/// A path that could not be opened at all.
#[derive(Debug, thiserror::Error)]
#[error("could not read `{path}`")]
pub struct BadPath {
    /// The path.
    pub path: PathBuf,
    source: std::io::Error,
}

/// Scans everything under `path`; calls `each` for every artifact as it is done.
///
/// # Errors
/// When `path` itself cannot be read. What cannot be read below it is an `incomplete` artifact.
pub fn scan(
    path: &Path,
    scanner: &Scanner,
    options: &Options,
    waivers: &Waivers,
    each: &mut dyn FnMut(Artifact),
) -> Result<(), BadPath> {
    let bad = |source| BadPath { path: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(bad)?;
    let mut open = vec![path.to_owned()];
    let root = fs::canonicalize(path).map_err(bad)?;
    let mut first = true;
    while let Some(path) = open.pop() {
        let is_top = std::mem::take(&mut first);
        let is_folder =
            if is_top { kind.is_dir() } else { fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_dir()) };
        if !is_folder {
            each(file(&path, (!is_top).then_some(&*root), scanner, options, waivers));
            continue;
        }
        if let Ok(folder) = Folder::read(&path)
            && Scanner::layout(&folder).is_some()
        {
            each(whole(&path, folder, scanner, options, waivers));
            continue;
        }
        let Ok(entries) = fs::read_dir(&path) else {
            each(unreadable(&path, "the folder could not be listed"));
            continue;
        };
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        below.sort();
        open.extend(below.into_iter().rev());
    }
    Ok(())
}

/// A file.
fn file(path: &Path, root: Option<&Path>, scanner: &Scanner, options: &Options, waivers: &Waivers) -> Artifact {
    if let Some(root) = root
        && fs::symlink_metadata(path).is_ok_and(|kind| kind.is_symlink())
        && !fs::canonicalize(path).is_ok_and(|target| target.starts_with(root))
    {
        return unreadable(path, "a link that leads nowhere or out of the scanned folder");
    }
    let opened = folder::open(path).and_then(|file| {
        let stamp = Stamp::of(&file)?;
        let again = file.try_clone()?;
        Ok((Source::file(file)?, again, stamp))
    });
    let (source, again, stamp) = match opened {
        Ok(opened) => opened,
        Err(error) => return unreadable(path, &error.to_string()),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (scan, sha256) = std::thread::scope(|scope| {
        let hashing = options.digest.then(|| scope.spawn(|| digest::of(&source)));
        let scan = in_time(scanner, options, |budget| scanner.scan_within(&name, &source, budget));
        let sha256 = hashing.map(|hashing| hashing.join().ok().and_then(Result::ok));
        (scan, sha256)
    });
    let (format, mut worst, mut findings) = everything(scan);
    let unsound = match (Stamp::of(&again), &sha256) {
        (Ok(now), None | Some(Some(_))) if now == stamp => None,
        (Ok(now), _) if now == stamp => Some("it could not be read to be hashed"),
        _ => Some("it changed while it was scanned"),
    };
    if let Some(why) = unsound {
        findings.push(Finding::unreadable(why));
        worst = worst.max(Verdict::Incomplete);
    }
    conclude(path, format, source.len(), sha256.flatten(), worst, findings, waivers)
}

/// A folder that is one model.
fn whole(path: &Path, folder: Folder, scanner: &Scanner, options: &Options, waivers: &Waivers) -> Artifact {
    let size = folder.list().iter().map(|member| member.size).sum();
    let sha256 = if options.digest { folder.digest().ok() } else { None };
    let odd = folder.odd();
    let members: Arc<dyn Members> = Arc::new(folder);
    let scan = in_time(scanner, options, |budget| scanner.scan_members(&members, budget));
    let (format, unlisted, mut findings) = everything(scan);
    findings.extend(odd.iter().map(|why| Finding::unreadable(why)));
    if options.digest && sha256.is_none() {
        findings.push(Finding::unreadable("it could not be read to be hashed"));
    }
    let worst = findings.iter().map(|finding| finding.face.verdict).fold(unlisted, Verdict::max);
    conclude(path, format, size, sha256, worst, findings, waivers)
}

/// Runs a scan whose budget ends when its time does.
fn in_time(scanner: &Scanner, options: &Options, scan: impl FnOnce(&Budget) -> Scan) -> Scan {
    let budget = scanner.budget();
    std::thread::scope(|scope| {
        let (done, over) = mpsc::channel::<()>();
        let (watched, time_max) = (budget.clone(), options.time_max);
        scope.spawn(move || {
            if over.recv_timeout(time_max) == Err(mpsc::RecvTimeoutError::Timeout) {
                watched.expire();
            }
        });
        let scan = scan(&budget);
        drop(done);
        scan
    })
}

/// The format, the worst verdict of all findings, listed or not, and what both engines found.
fn everything(scan: Scan) -> (&'static str, Verdict, Vec<Finding>) {
    let worst = scan.verdict();
    let Scan { format, mut findings, handed_over, .. } = scan;
    findings.extend(texts::look(&handed_over));
    let worst = findings.iter().map(|finding| finding.face.verdict).fold(worst, Verdict::max);
    (format, worst, findings)
}

fn conclude(
    path: &Path,
    format: &'static str,
    size: u64,
    sha256: Option<Digest>,
    worst: Verdict,
    findings: Vec<Finding>,
    waivers: &Waivers,
) -> Artifact {
    let findings: Vec<(Finding, Option<Waiver>)> = findings
        .into_iter()
        .map(|finding| {
            let waiver = sha256.and_then(|digest| waivers.covering(&digest, &finding.face.rule.id));
            (finding, waiver.cloned())
        })
        .collect();
    let waived = findings.iter().any(|(_, waiver)| waiver.is_some());
    let left = findings.iter().filter(|(_, waiver)| waiver.is_none()).map(|(finding, _)| finding.face.verdict);
    let verdict = if waived { left.max().unwrap_or_default() } else { worst };
    Artifact { path: path.to_owned(), format, size, sha256, verdict, findings }
}

fn unreadable(path: &Path, why: &str) -> Artifact {
    let findings = vec![(Finding::unreadable(why), None)];
    Artifact { path: path.to_owned(), format: "unknown", size: 0, sha256: None, verdict: Verdict::Incomplete, findings }
}
