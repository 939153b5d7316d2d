//! Checking a bundle: everything in it is a claim until a given key, through hashes, says otherwise.

use std::collections::HashSet;
use std::io::{self, Read, Seek};
use std::rc::Rc;

use aws_lc_rs::hmac;
use haris_merkle::{Checkpoint, Note, TlogProof, leaf_hash};

use crate::bundle::{
    LOGS, LogPart, MANIFEST, MANIFEST_BYTES_MAX, Manifest, PAYLOAD_BYTES_MAX, Place, README, README_TEXT, SCHEMA,
    Scope, commit_key_member, payload_member,
};
use crate::continuity::Continuity;
use crate::filter::Filter;
use crate::leaf::LeafView;
use crate::moment;
use crate::records::Records;
use crate::report::{Claims, EventLine, LogReport, OPERATOR_ONLY, Report, Watch, WitnessTime, seconds};
use crate::tiles::Tiles;
use crate::trust::{Trust, Vouched};
use crate::zip::{ZipError, ZipReader};

/// The kind of the evidence log's entry that names the traffic log's checkpoint. Its data holds `origin`, `size` and
/// `root` (`sha256:` and hex).
pub const ANCHOR_KIND: &str = "traffic.anchored/1";

/// Checks an evidence bundle. What is wrong with it is in the report, by name.
///
/// # Errors
/// Only when the file cannot be read, or `watch` cannot be told.
pub fn verify<R: Read + Seek>(input: R, trust: &Trust, watch: &mut dyn Watch) -> io::Result<Report> {
    let mut report = Report::new();
    let outcome = Run { trust, report: &mut report, watch }.bundle(input);
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

/// Checks a C2SP tlog-proof whose extra data is the event.
///
/// # Errors
/// Only when `watch` cannot be told.
pub fn verify_proof(bytes: &[u8], trust: &Trust, watch: &mut dyn Watch) -> io::Result<Report> {
    let mut report = Report::new();
    match TlogProof::parse(bytes) {
        Ok(proof) => Run { trust, report: &mut report, watch }.proof(&proof)?,
        Err(error) => {
            let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
            report.problem(format!("the proof file cannot be read: {error}{source}"));
            report.begins = "nothing is shown: the proof file cannot be read".to_owned();
            watch.begins(&report.begins)?;
        }
    }
    report.proven = report.problems.is_empty();
    Ok(report)
}

struct Run<'a> {
    trust: &'a Trust,
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
}

impl OpenLog {
    fn name(&self) -> &'static str {
        LOGS[self.at]
    }

    fn believed(&self) -> bool {
        self.vouched.problems.is_empty()
    }
}

/// Which of a bundle's payloads comes next.
struct Payloads {
    names: Vec<String>,
    next: usize,
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
        self.anchor(&mut zip, &mut logs)?;
        self.begin(&mut logs)?;
        let mut payloads = Payloads { names: payload_names(&zip), next: 0 };
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
        Ok(Some(OpenLog { at, part: part.clone(), checkpoint, vouched, tiles, anchored_at: None }))
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
        if traffic.anchored_at.is_some() && evidence.believed() {
            traffic.vouched.sealed_by = evidence.vouched.sealed_by;
            if traffic.vouched.witnessed_by.is_none() {
                traffic.vouched.witnessed_by = evidence.vouched.witnessed_by;
                traffic.vouched.witnesses = evidence.vouched.witnesses.clone();
                traffic.vouched.quorum_missing = evidence.vouched.quorum_missing;
            }
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
        let unsigned = logs.is_empty()
            || logs
                .iter()
                .any(|log| log.vouched.signed_by.is_empty() || (!log.believed() && !log.vouched.quorum_missing));
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

    fn leaves<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        log: &mut OpenLog,
        manifest: &Manifest,
        filters: &Filters,
        payloads: &mut Payloads,
    ) -> Result<(), ZipError> {
        let (name, part) = (log.name(), log.part.clone());
        if part.from > part.to || part.to > log.checkpoint.size {
            self.report.problem(format!("`{MANIFEST}`: the range of `{name}` lies beyond its checkpoint"));
        }
        let mut walk = Walk::new(&part);
        match Records::open(zip, &format!("{name}/leaves")) {
            None => self.report.problem(format!("`{name}/leaves` is missing")),
            Some(mut records) => loop {
                match records.next(zip) {
                    Ok(Some((index, bytes))) => self.leaf(zip, log, &mut walk, filters, payloads, index, bytes)?,
                    Ok(None) => break,
                    Err(error @ ZipError::Member { .. }) => {
                        self.report.problem(error.to_string());
                        break;
                    }
                    Err(error) => return Err(error),
                }
            },
        }
        if part.scope == Scope::Range && walk.expected < part.to {
            self.report.problem(missing(name, walk.expected, part.to));
        }
        if walk.leaves != part.leaves {
            let claimed = part.leaves;
            self.report
                .problem(format!("`{MANIFEST}` says {claimed} leaves of `{name}`, the bundle has {}", walk.leaves));
        }
        self.report.logs.push(walk.report(log, manifest));
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the whole state of one pass; a struct would be borrowed in pieces")]
    fn leaf<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        log: &mut OpenLog,
        walk: &mut Walk,
        filters: &Filters,
        payloads: &mut Payloads,
        index: u64,
        bytes: &[u8],
    ) -> Result<(), ZipError> {
        let name = log.name();
        let mut why: Option<Rc<str>> = None;
        if index < walk.expected || index >= log.part.to {
            why = Some("it is out of order, there twice, or outside the range".into());
            self.report
                .problem(format!("entry {index} of `{name}`: it is out of order, there twice, or outside the range"));
        } else {
            if log.part.scope == Scope::Range && index > walk.expected {
                self.report.problem(missing(name, walk.expected, index));
            }
            walk.expected = index.saturating_add(1);
        }
        walk.leaves += 1;
        match log.tiles.leaf(zip, index)? {
            Ok(hash) if hash == leaf_hash(bytes) => {}
            Ok(_) => {
                self.report
                    .problem(format!("entry {index} of `{name}` was altered: its hash is not the one in the log"));
                why = Some("it was altered: its hash is not the one in the log".into());
            }
            Err(because) => {
                // Once a tile, not once for each of its 256 entries.
                if walk.last_why.as_ref() != Some(&because) && log.tiles.problem().is_none() {
                    self.report.problem(format!("from entry {index} of `{name}` on: {because}"));
                }
                walk.last_why = Some(Rc::clone(&because));
                why = Some(because);
            }
        }
        if !log.believed() {
            why = why.or_else(|| Some("no key that you gave vouches for the checkpoint".into()));
        }
        let proven = why.is_none();
        walk.proven += u64::from(proven);
        let wanted = self.watch.wants(proven);
        let view = match LeafView::parse(bytes) {
            Ok(view) => view,
            Err(error) => {
                self.report.notice(format!("entry {index} of `{name}`: {error}"));
                if log.part.scope == Scope::Selection && !filters.are_empty() {
                    self.report
                        .problem(format!("entry {index} of `{name}` cannot meet the filter: it is not an event"));
                }
                if wanted {
                    self.watch.event(&log.line(index, None, why.as_deref(), Vec::new()))?;
                }
                return Ok(());
            }
        };
        if filters.match_all(&view) {
            walk.matching += 1;
        } else if log.part.scope == Scope::Selection {
            self.report.problem(format!("entry {index} of `{name}` does not meet the filter that the bundle claims"));
        }
        walk.time(view.at_micros());
        if let Some(continuity) = &mut walk.continuity {
            continuity.push(index, &view);
        }
        let opened = self.payloads(zip, &view, payloads)?;
        if wanted {
            self.watch.event(&log.line(index, Some(&view), why.as_deref(), opened))?;
        }
        Ok(())
    }

    /// Checks the opened payloads of one event against what it committed to.
    fn payloads<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        view: &LeafView<'_>,
        payloads: &mut Payloads,
    ) -> Result<Vec<String>, ZipError> {
        let mut opened = Vec::new();
        while let Some(member) = payloads.names.get(payloads.next) {
            let name = member.strip_prefix("payloads/").and_then(|rest| rest.strip_prefix(view.id.as_ref()));
            let Some(name) = name.and_then(|rest| rest.strip_prefix('/')).map(str::to_owned) else { break };
            payloads.next += 1;
            let key_member = commit_key_member(&view.id, &name);
            if payloads.names.get(payloads.next) == Some(&key_member) {
                payloads.next += 1;
            } else {
                self.report.problem(format!("`{key_member}` does not follow its payload"));
                continue;
            }
            match self.payload(zip, view, &name)? {
                None => {
                    self.report.payloads_proven += 1;
                    opened.push(name);
                }
                Some(why) => self.report.problem(format!("`{}`: {why}", payload_member(&view.id, &name))),
            }
        }
        Ok(opened)
    }

    fn payload<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        view: &LeafView<'_>,
        name: &str,
    ) -> Result<Option<String>, ZipError> {
        let committed = view.payloads().into_iter().find(|payload| payload.name == name);
        let Some(committed) = committed else { return Ok(Some("the event has no such payload".to_owned())) };
        let text = match zip.read(&payload_member(&view.id, name), PAYLOAD_BYTES_MAX) {
            Ok(text) => text.unwrap_or_default(),
            Err(ZipError::Member { why, .. }) => return Ok(Some(why)),
            Err(error) => return Err(error),
        };
        let key = match zip.read(&commit_key_member(&view.id, name), 65) {
            Ok(key) => key.unwrap_or_default(),
            Err(ZipError::Member { why, .. }) => return Ok(Some(format!("its key: {why}"))),
            Err(error) => return Err(error),
        };
        let (mut commit_key, mut commit) = ([0; 32], [0; 32]);
        let key_read = key.strip_suffix(b"\n").is_some_and(|hex| {
            hex::decode_to_slice(hex, &mut commit_key).is_ok() && !hex.iter().any(u8::is_ascii_uppercase)
        });
        if !key_read {
            return Ok(Some("its key is not 64 lower-case hex digits and a newline".to_owned()));
        }
        let stated = committed.commit.strip_prefix("hmac-sha256:");
        if stated.is_none_or(|hex| hex::decode_to_slice(hex, &mut commit).is_err()) {
            return Ok(Some("the event's commitment cannot be read".to_owned()));
        }
        if committed.bytes != text.len() as u64 || committed.stored == "none" {
            return Ok(Some("the event committed to another length, or to nothing stored".to_owned()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &commit_key);
        let fits = hmac::verify(&key, &text, &commit).is_ok();
        Ok((!fits).then(|| "it is not what the event committed to".to_owned()))
    }

    /// Tiles that no event needed: they must be believed as well, or they have no business in the bundle.
    fn other_tiles<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>, log: &mut OpenLog) -> Result<(), ZipError> {
        let of_log = |name: &str| match Place::of(name) {
            Some(Place::Tile { log: at, tile }) if at == log.at => Some(tile),
            _ => None,
        };
        let all: Vec<_> = zip.names().filter_map(of_log).collect();
        let seen: HashSet<_> = log.tiles.take_seen();
        let mut last: Option<Rc<str>> = None;
        for tile in all.into_iter().filter(|tile| !seen.contains(tile)) {
            if let Err(why) = log.tiles.tile(zip, tile)?
                && last.as_ref() != Some(&why)
            {
                self.report.problem(why.as_ref());
                last = Some(why);
            }
        }
        Ok(())
    }

    fn proof(&mut self, proof: &TlogProof) -> io::Result<()> {
        let vouched = self.trust.vouch(&proof.checkpoint, &proof.note);
        for why in &vouched.problems {
            self.report.problem(format!("the checkpoint: {why}"));
        }
        if vouched.quorum_missing {
            self.report.problem("the checkpoint: the policy's quorum of witnesses has not signed it");
        }
        let names: Vec<&str> = vouched.witnesses.iter().map(|(name, _)| name.as_str()).collect();
        self.report.begins = if vouched.signed_by.is_empty() || !vouched.problems.is_empty() {
            "nothing is shown: no key that you gave vouches for this".to_owned()
        } else if names.is_empty() || vouched.quorum_missing {
            OPERATOR_ONLY.to_owned()
        } else {
            format!("signed by the operator and witnessed by {}", crate::report::plain(&names.join(", ")))
        };
        self.watch.begins(&self.report.begins)?;
        let Some(entry) = &proof.extra else {
            self.report.problem("the proof file lacks its `extra` line with the event's bytes");
            return Ok(());
        };
        if let Err(error) = proof.verify_entry(&leaf_hash(entry)) {
            self.report.problem(format!("entry {} is not shown: {error}", proof.index));
        }
        let view = LeafView::parse(entry);
        if let Err(error) = &view {
            self.report.notice(format!("entry {}: {error}", proof.index));
        }
        let why = self.report.problems.first().cloned();
        let line = EventLine {
            log: if proof.checkpoint.origin.ends_with("/traffic") { LOGS[1] } else { LOGS[0] },
            index: proof.index,
            id: view.as_ref().ok().map(|view| view.id.to_string()),
            kind: view.as_ref().ok().map(|view| view.kind.to_string()),
            at: view.as_ref().ok().map(|view| view.at.to_string()),
            proven: why.is_none(),
            why,
            sealed_by: seconds(vouched.sealed_by),
            witnessed_by: seconds(vouched.witnessed_by),
            payloads: Vec::new(),
        };
        self.watch.event(&line)
    }
}

/// The filter and window that a bundle claims.
struct Filters {
    all: Vec<Filter>,
    from: Option<i64>,
    to: Option<i64>,
}

impl Filters {
    fn are_empty(&self) -> bool {
        self.all.is_empty() && self.from.is_none() && self.to.is_none()
    }

    fn match_all(&self, view: &LeafView<'_>) -> bool {
        let in_window = if self.from.is_none() && self.to.is_none() {
            true
        } else {
            view.at_micros()
                .is_some_and(|at| self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to))
        };
        in_window && self.all.iter().all(|filter| filter.matches(view))
    }
}

/// What is counted on the way through one log's leaves.
struct Walk {
    /// The least index that may come next.
    expected: u64,
    leaves: u64,
    proven: u64,
    matching: u64,
    first_at: Option<i64>,
    last_at: Option<i64>,
    continuity: Option<Continuity>,
    last_why: Option<Rc<str>>,
}

impl Walk {
    fn new(part: &LogPart) -> Self {
        Self {
            expected: part.from,
            leaves: 0,
            proven: 0,
            matching: 0,
            first_at: None,
            last_at: None,
            continuity: (part.scope == Scope::Range).then(|| Continuity::new(part.from == 0)),
            last_why: None,
        }
    }

    fn time(&mut self, at: Option<i64>) {
        let Some(at) = at else { return };
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        self.last_at = Some(self.last_at.map_or(at, |last| last.max(at)));
    }

    fn report(self, log: &OpenLog, manifest: &Manifest) -> LogReport {
        let part = &log.part;
        let total = part.to.saturating_sub(part.from);
        let filtered = !manifest.filter.is_empty() || manifest.window.is_some();
        let says = match part.scope {
            Scope::Range if self.proven == total && self.leaves == total => {
                let matching = if filtered {
                    format!("; {} of them meet window and filter", self.matching)
                } else {
                    String::new()
                };
                format!("complete: {total} of {total} entries [{}, {}){matching}", part.from, part.to)
            }
            Scope::Range => {
                format!("NOT complete: {} of {total} entries [{}, {}) are proven", self.proven, part.from, part.to)
            }
            Scope::Selection => format!("selection: {} proven; nothing is shown about events left out", self.proven),
        };
        LogReport {
            log: part.log.clone(),
            origin: log.checkpoint.origin.clone(),
            size: log.checkpoint.size,
            root: format!("sha256:{}", hex::encode(log.checkpoint.root)),
            vouched: log.believed(),
            signed_by: log.vouched.signed_by.clone(),
            sealed_by: seconds(log.vouched.sealed_by),
            anchored_at: log.anchored_at,
            witnesses: log
                .vouched
                .witnesses
                .iter()
                .map(|(name, at)| WitnessTime { name: name.clone(), at: seconds(Some(*at).filter(|at| *at > 0)) })
                .collect(),
            witnessed_by: seconds(log.vouched.witnessed_by),
            scope: part.scope,
            from: part.from,
            to: part.to,
            leaves: self.leaves,
            leaves_proven: self.proven,
            leaves_matching: self.matching,
            says,
            first_at: self.first_at.map(moment::format),
            last_at: self.last_at.map(moment::format),
            continuity: self.continuity.map(Continuity::finish),
        }
    }
}

impl OpenLog {
    fn line(&self, index: u64, view: Option<&LeafView<'_>>, why: Option<&str>, payloads: Vec<String>) -> EventLine {
        EventLine {
            log: self.name(),
            index,
            id: view.map(|view| view.id.to_string()),
            kind: view.map(|view| view.kind.to_string()),
            at: view.map(|view| view.at.to_string()),
            proven: why.is_none(),
            why: why.map(str::to_owned),
            sealed_by: seconds(self.vouched.sealed_by),
            witnessed_by: seconds(self.vouched.witnessed_by),
            payloads,
        }
    }
}

fn missing(log: &str, from: u64, to: u64) -> String {
    if to - from == 1 {
        format!("entry {from} of `{log}` is missing")
    } else {
        format!("entries {from} to {} of `{log}` are missing", to - 1)
    }
}

fn payload_names<R: Read + Seek>(zip: &ZipReader<R>) -> Vec<String> {
    zip.names().filter(|name| Place::of(name) == Some(Place::Payload)).map(str::to_owned).collect()
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
