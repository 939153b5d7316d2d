//! The answer: what is proven, by whom, since when, and what is not.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use haris_merkle::Hash;

use crate::bundle::{Scope, Window};
use crate::continuity::{Findings, LISTED_MAX};
use crate::moment;

/// How every answer begins that rests on the log's own key alone.
pub const OPERATOR_ONLY: &str = "signed by the operator only; this does not protect against the operator";

/// The answer to one bundle or proof.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// `haris.verify/1`.
    pub schema: &'static str,
    /// Who vouches for it, in one sentence: the first thing to read.
    pub begins: String,
    /// Whether everything that the file claims is shown.
    pub proven: bool,
    /// What the bundle says of itself; none for a single proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// What holds for each log.
    pub logs: Vec<LogReport>,
    /// What became of a receipt's promise, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptReport>,
    /// Opened payloads that are what their events committed to.
    pub payloads_proven: u64,
    /// Why it is not proven, each naming what is wrong. At most [`LISTED_MAX`].
    pub problems: Vec<String>,
    /// Problems beyond those.
    pub problems_not_listed: u64,
    /// What a reader should know though it disproves nothing.
    pub notices: Vec<String>,
}

/// What the bundle says of itself and no signature covers.
#[derive(Clone, Debug, Serialize)]
pub struct Claims {
    /// When it was made.
    pub made_at: String,
    /// What made it.
    pub made_by: String,
    /// The times asked for.
    pub window: Option<Window>,
    /// The filter asked for.
    pub filter: Vec<String>,
}

/// What holds for one log.
#[derive(Clone, Debug, Serialize)]
pub struct LogReport {
    /// `evidence` or `traffic`.
    pub log: String,
    /// Its origin.
    pub origin: String,
    /// Entries that the checkpoint covers.
    pub size: u64,
    /// `sha256:` and the root.
    pub root: String,
    /// Whether a given key vouches for the checkpoint.
    pub vouched: bool,
    /// Keys that signed the checkpoint, out of those given.
    pub signed_by: Vec<String>,
    /// When it was sealed, by the operator's clock.
    pub sealed_by: Option<String>,
    /// The entry of the evidence log that names this checkpoint; then its times are the evidence log's.
    pub anchored_at: Option<u64>,
    /// Witnesses that signed, with their times.
    pub witnesses: Vec<WitnessTime>,
    /// When enough of them had signed.
    pub witnessed_by: Option<String>,
    /// What witnesses show by themselves, where they were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub newest: Vec<NewestSeen>,
    /// `range` or `selection`.
    pub scope: Scope,
    /// First leaf of the range.
    pub from: u64,
    /// The leaf after its last.
    pub to: u64,
    /// Leaves in the bundle.
    pub leaves: u64,
    /// Those of them that are proven.
    pub leaves_proven: u64,
    /// Those of them that meet window and filter.
    pub leaves_matching: u64,
    /// `complete: N of N`, or what is not shown.
    pub says: String,
    /// Time of the earliest event in the bundle, by its source's clock.
    pub first_at: Option<String>,
    /// Time of the latest.
    pub last_at: Option<String>,
    /// Gaps, clock steps, stops and downtime; of a range only, as a selection shows nothing about what it left out.
    pub continuity: Option<Findings>,
}

/// When a witness signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WitnessTime {
    /// Its key's name.
    pub name: String,
    /// When, by its clock; none where it states no time.
    pub at: Option<String>,
}

impl WitnessTime {
    pub(crate) fn list(witnesses: &[(String, u64)]) -> Vec<Self> {
        let one = |(name, at): &(String, u64)| Self { name: name.clone(), at: seconds(Some(*at).filter(|at| *at > 0)) };
        witnesses.iter().map(one).collect()
    }
}

/// The newest checkpoint that a witness shows of a log, and what it says of the one at hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewestSeen {
    /// Where it was asked for.
    pub from: String,
    /// Entries that it covers.
    pub size: u64,
    /// Witnesses that signed it, with their times.
    pub witnesses: Vec<WitnessTime>,
    /// Whether the checkpoint at hand is shown to be a prefix of it.
    pub prefix: bool,
}

/// What became of a receipt's promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptReport {
    /// The log that the event was promised to.
    pub origin: String,
    /// The event's id.
    pub event: String,
    /// `sha256:` and its leaf hash.
    pub leaf: String,
    /// When it was born, by the operator's clock.
    pub at: String,
    /// By when it was to be sealed.
    pub by: String,
    /// The key that signed the receipt; none if no given key did.
    pub signed_by: Option<String>,
    /// `kept`, `broken`, or `not-shown`.
    pub promise: String,
    /// Its place in the log, where it is there.
    pub index: Option<u64>,
    /// In one sentence.
    pub says: String,
}

/// What holds for one event.
#[derive(Clone, Debug, Serialize)]
pub struct EventLine {
    /// Its log.
    pub log: &'static str,
    /// Its place there.
    pub index: u64,
    /// Its id, if it could be read.
    pub id: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Birth, by its source's clock.
    pub at: Option<String>,
    /// Whether it is shown to be in the log at that place.
    pub proven: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was in the log at the latest, by the operator's clock.
    pub sealed_by: Option<String>,
    /// From when on the operator could no longer change it unnoticed. None: to this day.
    pub witnessed_by: Option<String>,
    /// How long after its birth that was, in seconds: the window in which the operator could have changed it. None
    /// where there is no witness, or the event's time cannot be read.
    pub changeable_seconds: Option<i64>,
    /// Names of its payloads that were opened and fit.
    pub payloads: Vec<String>,
}

/// Sees the answer while it is being found, so that a long range needs no memory.
pub trait Watch {
    /// The sentence that every answer begins with.
    fn begins(&mut self, sentence: &str) -> io::Result<()>;

    /// One event. `wanted` is asked first, as most callers list few.
    fn event(&mut self, line: &EventLine) -> io::Result<()>;

    /// Every leaf that was held against its log, whether or not it is shown.
    fn leaf(&mut self, _leaf: Leaf<'_>) {}

    /// Whether a further event is to be shown; one that is not proven always is.
    fn wants(&self, proven: bool) -> bool;
}

/// A leaf on its way through the checks.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Its log's origin.
    pub origin: &'a str,
    /// Its place there.
    pub index: u64,
    /// Its hash.
    pub hash: &'a Hash,
    /// The event's id, if it could be read.
    pub id: Option<&'a str>,
    /// Its birth in microseconds since 1970, if it could be read.
    pub at: Option<i64>,
    /// Whether it is shown to be in the log at that place.
    pub proven: bool,
}

/// Watches nothing.
impl Watch for () {
    fn begins(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: &EventLine) -> io::Result<()> {
        Ok(())
    }

    fn wants(&self, _: bool) -> bool {
        false
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { schema: "haris.verify/1", ..Self::default() }
    }

    pub(crate) fn problem(&mut self, why: impl Into<String>) {
        if self.problems.len() < LISTED_MAX { self.problems.push(why.into()) } else { self.problems_not_listed += 1 }
    }

    pub(crate) fn notice(&mut self, what: impl Into<String>) {
        if self.notices.len() < LISTED_MAX {
            self.notices.push(what.into());
        }
    }

    /// The answer for a person, but for its first sentence and the events, which [`Watch`] has shown already.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        if let Some(claims) = &self.claims {
            line(
                &mut out,
                "bundle",
                &format!("made {} by {} (its own words)", plain(&claims.made_at), plain(&claims.made_by)),
            );
            if let Some(window) = &claims.window {
                let (from, to) =
                    (window.from.as_deref().unwrap_or("the start"), window.to.as_deref().unwrap_or("the end"));
                line(&mut out, "window", &format!("{} to {}", plain(from), plain(to)));
            }
            for filter in &claims.filter {
                line(&mut out, "filter", &plain(filter));
            }
        }
        for log in &self.logs {
            log.write(&mut out);
        }
        if let Some(receipt) = &self.receipt {
            receipt.write(&mut out);
        }
        if self.payloads_proven > 0 {
            line(
                &mut out,
                "payloads",
                &format!("{} opened; each is what its event committed to", self.payloads_proven),
            );
        }
        for notice in &self.notices {
            line(&mut out, "notice", notice);
        }
        for problem in &self.problems {
            line(&mut out, "problem", problem);
        }
        if self.problems_not_listed > 0 {
            line(&mut out, "problem", &format!("and {} more", self.problems_not_listed));
        }
        line(&mut out, "answer", if self.proven { "proven" } else { "NOT PROVEN" });
        out
    }
}

impl ReceiptReport {
    fn write(&self, out: &mut String) {
        line(out, "receipt", &format!("event {} of {}", plain(&self.event), plain(&self.origin)));
        line(out, "", &format!("leaf {}, born {}", self.leaf, plain(&self.at)));
        match &self.signed_by {
            Some(key) => line(out, "", &format!("signed by {key}: to be sealed by {}", plain(&self.by))),
            None => line(out, "", "not signed by a key that you gave"),
        }
        line(out, "", &plain(&self.says));
    }
}

impl LogReport {
    fn write(&self, out: &mut String) {
        line(out, &self.log, &format!("{}: {} entries", plain(&self.origin), self.size));
        line(out, "", &format!("root {}", self.root));
        if !self.signed_by.is_empty() {
            line(out, "", &format!("signed by {}", self.signed_by.join(", ")));
        } else if self.vouched {
            line(out, "", "its own signature was not checked; the evidence log names this checkpoint");
        }
        let sealed = self.sealed_by.as_deref().unwrap_or("a time that is not stated");
        let through =
            self.anchored_at.map_or_else(String::new, |at| format!(", through entry {at} of the evidence log"));
        line(out, "", &format!("sealed by {sealed} (operator's clock){through}"));
        for witness in &self.witnesses {
            let at = witness.at.as_deref().unwrap_or("a time that it does not state");
            line(out, "", &format!("witness {} signed at {at}", plain(&witness.name)));
        }
        for seen in &self.newest {
            let names: Vec<String> = seen.witnesses.iter().map(|one| plain(&one.name)).collect();
            let shown = if seen.prefix { "this is a prefix of it" } else { "that this is a prefix of it is NOT shown" };
            line(
                out,
                "",
                &format!(
                    "{} knows {} entries, cosigned by {}: {shown}",
                    plain(&seen.from),
                    seen.size,
                    names.join(", ")
                ),
            );
        }
        match &self.witnessed_by {
            Some(at) => {
                line(out, "", &format!("witnessed no later than {at}: until then the operator could have changed it"))
            }
            None => line(out, "", "not witnessed: the operator can still change it"),
        }
        line(out, "", &self.says);
        if let (Some(first), Some(last)) = (&self.first_at, &self.last_at) {
            line(out, "", &format!("events from {first} to {last} (their sources' clocks)"));
        }
        if let Some(found) = &self.continuity {
            continuity(found, out);
        }
    }
}

/// Findings listed in text; JSON has all.
const SHOWN_MAX: usize = 20;

fn continuity(found: &Findings, out: &mut String) {
    let mut all: Vec<String> = Vec::new();
    for gap in &found.gaps {
        let (node, boot) = (plain(&gap.node), plain(&gap.boot));
        all.push(format!(
            "gap: {} of {node} start {boot}, numbers {} to {}",
            events(gap.to - gap.from),
            gap.from,
            gap.to - 1
        ));
    }
    all.extend(found.repeated.iter().map(|twice| format!("number used twice: {}", plain(twice))));
    for step in &found.clock_steps {
        let seconds = step.by_us as f64 / 1e6;
        all.push(format!("clock step of {seconds:+.1} s on {} at entry {}", plain(&step.node), step.index));
    }
    for stop in &found.unclean_stops {
        all.push(format!(
            "unclean stop: {} start {}, last heard of {}",
            plain(&stop.node),
            plain(&stop.boot),
            stop.last_at
        ));
    }
    for down in &found.downtime {
        let seconds = down.micros as f64 / 1e6;
        all.push(format!(
            "downtime of {seconds:.1} s: {} from {} to {}",
            plain(&down.node),
            down.from,
            plain(&down.to)
        ));
    }
    for stray in &found.strays {
        let (node, boot) = (plain(&stray.node), plain(&stray.boot));
        all.push(format!("stray: entry {} is by {node} start {boot}, and {}", stray.index, stray.why));
    }
    for change in &found.changes {
        let settings = if change.settings.is_empty() {
            String::new()
        } else {
            format!(" ({})", plain(&change.settings.join(", ")))
        };
        let what = if change.what == "config" { "configuration" } else { "binary" };
        all.push(format!("changed {what}{settings}: {} at {}", plain(&change.node), plain(&change.at)));
    }
    for finding in all.iter().take(SHOWN_MAX) {
        line(out, "", finding);
    }
    let more = all.len().saturating_sub(SHOWN_MAX) as u64 + found.not_listed;
    if more > 0 {
        line(out, "", &format!("and {more} more; --format json lists them"));
    }
    if found.is_quiet() {
        line(out, "", "no gap in the sources' counters, no clock step over 1 s, no unclean stop");
    }
    let mut versions: Vec<String> = found
        .writers
        .iter()
        .filter_map(|writer| writer.version.as_deref())
        .map(|version| format!("haris {}", plain(version)))
        .collect();
    versions.sort();
    versions.dedup();
    if !versions.is_empty() {
        line(out, "", &format!("written by {}", versions.join(", ")));
    }
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

pub(crate) fn event_text(event: &EventLine) -> String {
    let proven = if event.proven { "proven" } else { "NOT PROVEN" };
    let mut out = format!("{:<10}{} {:>8}  {proven}", event.log, "", event.index);
    for part in [&event.at, &event.id, &event.kind].into_iter().flatten() {
        let _ = write!(out, "  {}", plain(part));
    }
    if let Some(why) = &event.why {
        let _ = write!(out, "  {}", plain(why));
    }
    if let (Some(at), Some(seconds)) = (&event.witnessed_by, event.changeable_seconds) {
        let _ = write!(out, "  changeable until {at} ({seconds} s)");
    }
    if !event.payloads.is_empty() {
        let _ = write!(out, "  opened: {}", plain(&event.payloads.join(", ")));
    }
    out.push('\n');
    out
}

fn line(out: &mut String, head: &str, text: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{head:<10} {text}");
}

/// Text from the bundle on its way to a terminal: whoever made it must not be able to move the cursor.
pub(crate) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// From an event's birth to the first witness.
pub(crate) fn window(born: Option<i64>, witnessed_by: Option<u64>) -> Option<i64> {
    let witnessed = i64::try_from(witnessed_by?).ok()?.checked_mul(1_000_000)?;
    // A birth after it by a fraction of a second: witnesses state whole seconds.
    Some(witnessed.saturating_sub(born?).max(0).div_euclid(1_000_000))
}

pub(crate) fn seconds(at: Option<u64>) -> Option<String> {
    at.map(moment::format_seconds)
}
