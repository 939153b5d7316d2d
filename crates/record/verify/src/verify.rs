//! Checking a bundle: everything in it is a claim until a given key, through hashes, says otherwise.

mod leaves;
mod newest;
mod payloads;
pub(crate) mod receipt;
mod single;

use std::io::{self, Read, Seek};

use haris_merkle::{Checkpoint, Note, leaf_hash};

use crate::bundle::{LOGS, LogPart, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Place, README, README_TEXT, SCHEMA};
use crate::filter::Filter;
use crate::leaf::LeafView;
use crate::moment;
use crate::records::Records;
use crate::report::{Claims, NewestSeen, OPERATOR_ONLY, Report, Watch};
use crate::tiles::Tiles;
use crate::trust::{Trust, Vouched};
use crate::zip::{ZipError, ZipReader};
use leaves::Filters;
pub use newest::{Outside, Shown};
use payloads::Payloads;
pub use receipt::{Kept, verify_receipt};
pub use single::verify_proof;

/// The kind of the evidence log's entry that names the traffic log's checkpoint. Its data holds `origin`, `size` and
/// `root` (`sha256:` and hex).
pub const ANCHOR_KIND: &str = "traffic.anchored/1";

/// Checks an evidence bundle. What is wrong with it is in the report, by name.
///
/// # Errors
/// Only when the file cannot be read, or `watch` cannot be told.
pub fn verify<R: Read + Seek>(input: R, trust: &Trust, watch: &mut dyn Watch) -> io::Result<Report> {
    verify_with(input, trust, &(), watch)
}

/// As [`verify`], and asks `outside` what witnesses know of the logs today.
///
/// # Errors
/// As [`verify`].
pub fn verify_with<R: Read + Seek>(
    input: R,
    trust: &Trust,
    outside: &dyn Outside,
    watch: &mut dyn Watch,
) -> io::Result<Report> {
    let mut report = Report::new();
    let outcome = Run { trust, outside, report: &mut report, watch }.bundle(input);
    match outcome {
        Ok(()) => {}
        Err(ZipError::Io(error)) => return Err(error),
        Err(error) => report.problem(error.to_string()),
    }
    if report.begins.is_empty() {
        report.begins = "nothing is shown: the bundle cannot be read".to_owned();
        watch.begins(&report.begins)?;
    }
    report.proven = report.problems.is_empty();
    Ok(report)
}

struct Run<'a> {
    trust: &'a Trust,
    outside: &'a dyn Outside,
    report: &'a mut Report,
    watch: &'a mut dyn Watch,
}

/// A log whose checkpoint could be read.
struct OpenLog {
    at: usize,
    part: LogPart,
    checkpoint: Checkpoint,
    vouched: Vouched,
    tiles: Tiles,
    anchored_at: Option<u64>,
    newest: Vec<NewestSeen>,
}

impl OpenLog {
    fn name(&self) -> &'static str {
        LOGS[self.at]
    }

    fn believed(&self) -> bool {
        self.vouched.problems.is_empty() && !self.vouched.no_key
    }
}

impl Run<'_> {
    fn bundle<R: Read + Seek>(&mut self, input: R) -> Result<(), ZipError> {
        let mut zip = ZipReader::open(input)?;
        self.order(&zip);
        match zip.read(README, README_TEXT.len() * 4)? {
            Some(text) if text == README_TEXT.as_bytes() => {}
            Some(_) => {
                self.report.problem(format!("`{README}` is not the text of this form; do not follow what it says"))
            }
            None => self.report.problem(format!("`{README}` is missing")),
        }
        let Some(manifest) = self.manifest(&mut zip)? else { return Ok(()) };
        let filters = self.filters(&manifest);
        let mut logs = Vec::new();
        for part in &manifest.logs {
            if let Some(log) = self.open_log(&mut zip, part)? {
                logs.push(log);
            }
        }
        let order_is_fixed = logs.is_sorted_by(|a, b| a.at < b.at) && logs.len() == manifest.logs.len();
        if !order_is_fixed || logs.is_empty() {
            self.report.problem(format!("`{MANIFEST}` does not name one or both logs, evidence before traffic"));
            logs.dedup_by_key(|log| log.at);
        }
        for name in LOGS.iter().filter(|name| logs.iter().all(|log| log.name() != **name)) {
            self.report.notice(format!("nothing of the {name} log is in here: of its events nothing is shown"));
        }
        self.anchor(&mut zip, &mut logs)?;
        self.newest(&mut zip, &mut logs)?;
        lend(&mut logs);
        self.begin(&mut logs)?;
        let mut payloads = Payloads::of(&zip);
        if payloads.names.len() as u64 != manifest.payloads.saturating_mul(2) {
            let (have, claimed) = (payloads.names.len() / 2, manifest.payloads);
            self.report.problem(format!("`{MANIFEST}` says {claimed} opened payloads, the bundle has {have}"));
        }
        for log in &mut logs {
            self.leaves(&mut zip, log, &manifest, &filters, &mut payloads)?;
            self.other_tiles(&mut zip, log)?;
        }
        while let Some(name) = payloads.names.get(payloads.next) {
            self.report.problem(format!("`{name}` belongs to no event of this bundle, or stands in the wrong place"));
            payloads.next += 1;
        }
        Ok(())
    }

    /// Members that belong to no bundle, or stand where they do not belong.
    fn order<R: Read + Seek>(&mut self, zip: &ZipReader<R>) {
        let mut last: Option<Place> = None;
        for name in zip.names() {
            match Place::of(name) {
                None => self.report.problem(format!(
                    "`{name}` does not belong in a {SCHEMA}; was it added, or is the bundle newer than this verifier?"
                )),
                Some(place) => {
                    if last.is_some_and(|last| !last.precedes(place)) {
                        self.report.problem(format!("`{name}` is not in its place"));
                    }
                    last = Some(place);
                }
            }
        }
    }

    fn manifest<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>) -> Result<Option<Manifest>, ZipError> {
        let Some(bytes) = zip.read(MANIFEST, MANIFEST_BYTES_MAX)? else {
            self.report.problem(format!("`{MANIFEST}` is missing"));
            return Ok(None);
        };
        let manifest: Manifest = match serde_json::from_slice(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.report.problem(format!("`{MANIFEST}` is not what it should be: {error}"));
                return Ok(None);
            }
        };
        if manifest.schema != SCHEMA {
            let other = manifest.schema.chars().take(64).collect::<String>();
            self.report.problem(format!("`{MANIFEST}` is of form `{other}`; this verifier reads {SCHEMA}"));
            return Ok(None);
        }
        self.report.claims = Some(Claims {
            made_at: manifest.made_at.clone(),
            made_by: manifest.made_by.clone(),
            window: manifest.window.clone(),
            filter: manifest.filter.clone(),
        });
        Ok(Some(manifest))
    }

    fn filters(&mut self, manifest: &Manifest) -> Filters {
        let mut all = Vec::new();
        for text in &manifest.filter {
            match text.parse::<Filter>() {
                Ok(filter) => all.push(filter),
                Err(error) => self.report.problem(format!("`{MANIFEST}`: {error}")),
            }
        }
        let mut edge = |text: Option<&String>| {
            let text = text?;
            let at = moment::parse(text);
            if at.is_none() {
                self.report.problem(format!("`{MANIFEST}`: the window has a time that is none"));
            }
            at
        };
        let window = manifest.window.as_ref();
        let (from, to) = (edge(window.and_then(|w| w.from.as_ref())), edge(window.and_then(|w| w.to.as_ref())));
        Filters { all, from, to }
    }

    fn open_log<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        part: &LogPart,
    ) -> Result<Option<OpenLog>, ZipError> {
        let Some(at) = LOGS.iter().position(|log| *log == part.log) else {
            let other = part.log.chars().take(64).collect::<String>();
            self.report.problem(format!("`{MANIFEST}` names a log `{other}` that there is none of"));
            return Ok(None);
        };
        let name = format!("{}/checkpoint", LOGS[at]);
        let Some(bytes) = zip.read(&name, haris_merkle::note::NOTE_BYTES_MAX)? else {
            self.report.problem(format!("`{name}` is missing"));
            return Ok(None);
        };
        let (checkpoint, note): (Checkpoint, Note) = match Checkpoint::parse(&bytes) {
            Ok(read) => read,
            Err(error) => {
                self.report.problem(format!("`{name}` is not a checkpoint: {error}"));
                return Ok(None);
            }
        };
        let root = format!("sha256:{}", hex::encode(checkpoint.root));
        if (&part.origin, part.size, &part.root) != (&checkpoint.origin, checkpoint.size, &root) {
            self.report.problem(format!("`{MANIFEST}` names another checkpoint than `{name}` is"));
        }
        let vouched = self.trust.vouch(&checkpoint, &note);
        for why in &vouched.problems {
            self.report.problem(format!("`{name}`: {why}"));
        }
        let tiles = Tiles::open(zip, LOGS[at], &checkpoint)?;
        if let Some(why) = tiles.problem() {
            self.report.problem(why.as_ref());
        }
        Ok(Some(OpenLog { at, part: part.clone(), checkpoint, vouched, tiles, anchored_at: None, newest: Vec::new() }))
    }

    /// Ties the traffic log's checkpoint to the evidence log: what is believed and witnessed there holds for it too.
    fn anchor<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>, logs: &mut [OpenLog]) -> Result<(), ZipError> {
        if zip.contains("evidence/anchor") {
            self.report.problem("`evidence/anchor` does not belong: only the traffic log is anchored");
        }
        let [evidence, traffic] = logs else {
            if zip.contains("traffic/anchor") {
                self.report.problem("`traffic/anchor` is there without both logs");
            }
            return Ok(());
        };
        if traffic.checkpoint.size == 0 {
            return Ok(());
        }
        let Some(mut records) = Records::open(zip, "traffic/anchor") else {
            self.report.notice(
                "the traffic log's checkpoint is not tied to the evidence log: nothing says when it was sealed",
            );
            return Ok(());
        };
        let record = records.next(zip)?.map(|(index, bytes)| (index, bytes.to_vec()));
        let single = records.next(zip)?.is_none();
        let Some((index, bytes)) = record.filter(|_| single) else {
            self.report.problem("`traffic/anchor` does not hold one entry");
            return Ok(());
        };
        let why = match evidence.tiles.leaf(zip, index)? {
            Err(why) => Some(why.to_string()),
            Ok(hash) if hash != leaf_hash(&bytes) => {
                Some("it is not the entry that the evidence log has there".to_owned())
            }
            Ok(_) => not_anchor(&bytes, &traffic.checkpoint),
        };
        match why {
            Some(why) => self.report.problem(format!("`traffic/anchor` (entry {index} of the evidence log): {why}")),
            None => traffic.anchored_at = Some(index),
        }
        Ok(())
    }

    /// Says who vouches, before any event is shown.
    fn begin(&mut self, logs: &mut [OpenLog]) -> Result<(), ZipError> {
        for log in logs.iter_mut().filter(|log| log.vouched.quorum_missing) {
            let why = "the policy's quorum of witnesses has not signed it".to_owned();
            self.report.problem(format!("`{}/checkpoint`: {why}", log.name()));
            log.vouched.problems.push(why);
        }
        for log in logs.iter().filter(|log| log.vouched.no_key) {
            let (name, origin) = (log.name(), crate::report::plain(&log.checkpoint.origin));
            self.report.problem(format!(
                "`{name}/checkpoint`: no key for `{origin}` was given; get it from someone you trust and pass it with --key"
            ));
        }
        let unsigned = logs.is_empty() || logs.iter().any(|log| !log.believed() && !log.vouched.quorum_missing);
        self.report.begins = if unsigned {
            "nothing is shown: no key that you gave vouches for this".to_owned()
        } else if logs.iter().all(|log| !log.vouched.witnesses.is_empty() && !log.vouched.quorum_missing) {
            let mut names: Vec<&str> =
                logs.iter().flat_map(|log| &log.vouched.witnesses).map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            format!("signed by the operator and witnessed by {}", crate::report::plain(&names.join(", ")))
        } else {
            OPERATOR_ONLY.to_owned()
        };
        Ok(self.watch.begins(&self.report.begins)?)
    }
}

/// Whoever believes the evidence log believes what its entry names, with the traffic log's key or without.
fn lend(logs: &mut [OpenLog]) {
    let [evidence, traffic] = logs else { return };
    if traffic.anchored_at.is_none() || !evidence.believed() {
        return;
    }
    traffic.vouched.no_key = false;
    traffic.vouched.sealed_by = evidence.vouched.sealed_by;
    if traffic.vouched.witnessed_by.is_none() {
        traffic.vouched.witnessed_by = evidence.vouched.witnessed_by;
        traffic.vouched.witnesses = evidence.vouched.witnesses.clone();
        traffic.vouched.quorum_missing = evidence.vouched.quorum_missing;
    }
}

/// Why an entry does not anchor a checkpoint, if it does not.
fn not_anchor(bytes: &[u8], checkpoint: &Checkpoint) -> Option<String> {
    let view = match LeafView::parse(bytes) {
        Ok(view) => view,
        Err(error) => return Some(error.to_string()),
    };
    if view.kind != ANCHOR_KIND {
        return Some(format!("it is not a `{ANCHOR_KIND}`"));
    }
    let data = view.data();
    let root = format!("sha256:{}", hex::encode(checkpoint.root));
    let fits = data["origin"] == checkpoint.origin.as_str()
        && data["size"] == checkpoint.size
        && data["root"] == root.as_str();
    (!fits).then(|| "it names another checkpoint of the traffic log".to_owned())
}
