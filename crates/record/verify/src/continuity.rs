//! What events say about events that are not there: gaps in the sources' counters, clock steps, stops that nobody
//! announced.
//!
//! A Merkle tree shows that nothing was changed; only the counters inside the events show that nothing was left out
//! before it was hashed.

use std::collections::HashMap;

use serde::Serialize;

use crate::leaf::LeafView;

/// Most findings of a sort that are listed; the rest is counted.
pub const LISTED_MAX: usize = 1000;
/// Most sources that are followed: starts of processes in one range.
const SOURCES_MAX: usize = 100_000;
/// Most separate runs of numbers that are kept per source before further gaps are only counted.
const RUNS_MAX: usize = 10_000;
/// The format asks for steps over a second; below it, concurrent requests finish in another order than they began.
const STEP_MICROS: i64 = 1_000_000;

/// Numbers that a source must have used and that are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The process.
    pub node: String,
    /// Its start.
    pub boot: String,
    /// First number that is missing.
    pub from: u64,
    /// The number after the last that is missing.
    pub to: u64,
}

/// A clock that went back, or that ran apart from the monotonic one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClockStep {
    /// The process.
    pub node: String,
    /// Its start.
    pub boot: String,
    /// The event that shows it.
    pub index: u64,
    /// By how much, in microseconds; negative when it went back.
    pub by_us: i64,
}

/// A start whose predecessor never said that it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UncleanStop {
    /// The process.
    pub node: String,
    /// The start that ended without a word.
    pub boot: String,
    /// When it was last heard of, by its clock.
    pub last_at: String,
    /// The `process.started` event that followed.
    pub index: u64,
}

/// The time between two starts of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Downtime {
    /// The process.
    pub node: String,
    /// Last heard of.
    pub from: String,
    /// Heard of again.
    pub to: String,
    /// How long, in microseconds; negative when its clock went back meanwhile.
    pub micros: i64,
    /// Whether it had said that it stops.
    pub announced: bool,
}

/// An event of a start that cannot have written it: it had said that it stopped, or it never said that it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// The process.
    pub node: String,
    /// Its start.
    pub boot: String,
    /// The event.
    pub index: u64,
    /// Which of the two.
    pub why: String,
}

/// A start that runs something else than the start before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The process.
    pub node: String,
    /// The `process.started` event that shows it.
    pub index: u64,
    /// When it started, by its clock.
    pub at: String,
    /// `binary` or `config`.
    pub what: String,
    /// The digest before; none where that start lies outside the range.
    pub from: Option<String>,
    /// The digest now.
    pub to: Option<String>,
    /// Of a configuration, the settings that changed, by name.
    pub settings: Vec<String>,
}

/// What wrote events, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Writer {
    /// The process.
    pub node: String,
    /// Its start.
    pub boot: String,
    /// Its version; none where its `process.started` lies outside.
    pub version: Option<String>,
    /// Digest of its binary.
    pub binary: Option<String>,
    /// Digest of its configuration.
    pub config: Option<String>,
    /// Its events in the range.
    pub events: u64,
}

/// All of it. Each list holds at most [`LISTED_MAX`]; `not_listed` counts the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Missing numbers.
    pub gaps: Vec<Gap>,
    /// Numbers used twice, as `node/boot/n`.
    pub repeated: Vec<String>,
    /// Steps of clocks.
    pub clock_steps: Vec<ClockStep>,
    /// Stops that nobody announced.
    pub unclean_stops: Vec<UncleanStop>,
    /// Times without a process.
    pub downtime: Vec<Downtime>,
    /// Events of starts that cannot have written them: somebody else may have.
    pub strays: Vec<Stray>,
    /// Binaries and configurations that changed from one start to the next.
    pub changes: Vec<Change>,
    /// What wrote the events.
    pub writers: Vec<Writer>,
    /// How many more there are of all of these.
    pub not_listed: u64,
}

impl Findings {
    /// Whether nothing was found that a person must look at.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.gaps.is_empty()
            && self.repeated.is_empty()
            && self.clock_steps.is_empty()
            && self.unclean_stops.is_empty()
            && self.strays.is_empty()
            && self.not_listed == 0
    }
}

/// Follows one log's events in their order.
pub struct Continuity {
    from_start: bool,
    sources: Vec<Source>,
    by_name: HashMap<String, HashMap<String, usize>>,
    /// The newest start of each node.
    newest: HashMap<String, usize>,
    found: Findings,
}

struct Source {
    writer: Writer,
    /// Runs [from, to) of numbers seen, in order.
    runs: Vec<(u64, u64)>,
    last_at: Option<i64>,
    monotonic: Option<(i64, i64)>,
    /// Its first event here.
    first: u64,
    started: bool,
    stopped: bool,
}

impl Continuity {
    /// `from_start` says that the first event will be the log's first, so that every source must begin with 1.
    #[must_use]
    pub fn new(from_start: bool) -> Self {
        let (sources, by_name, newest) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { from_start, sources, by_name, newest, found: Findings::default() }
    }

    /// Takes the next event.
    pub fn push(&mut self, index: u64, leaf: &LeafView<'_>) {
        let Some(at) = self.source(index, leaf) else {
            self.found.not_listed += 1;
            return;
        };
        let when = leaf.at_micros();
        let known = &self.sources[at];
        if known.stopped {
            let (node, boot) = (known.writer.node.clone(), known.writer.boot.clone());
            let stray = Stray { node, boot, index, why: "it had said that it stopped".to_owned() };
            list(&mut self.found.strays, &mut self.found.not_listed, stray);
        }
        if leaf.kind.starts_with("process.") {
            self.process(at, index, leaf, when);
        }
        let (source, found) = (&mut self.sources[at], &mut self.found);
        source.writer.events += 1;
        if source.count(leaf.source.n) == Some(false) {
            let repeated = format!("{}/{}/{}", leaf.source.node, leaf.source.boot, leaf.source.n);
            list(&mut found.repeated, &mut found.not_listed, repeated);
        }
        if let (Some(when), Some(last)) = (when, source.last_at)
            && when < last - STEP_MICROS
        {
            let step = source.step(index, when - last);
            list(&mut found.clock_steps, &mut found.not_listed, step);
        }
        // After a step back the earlier time counts, so that one step is listed once.
        source.last_at = when.or(source.last_at);
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> Findings {
        let mut found = self.found;
        // Of a log that begins here and in which processes say that they start.
        let announced = self.from_start && self.sources.iter().any(|source| source.started);
        for source in self.sources {
            if announced && !source.started {
                let (node, boot) = (source.writer.node.clone(), source.writer.boot.clone());
                let why = "it never said that it started".to_owned();
                list(&mut found.strays, &mut found.not_listed, Stray { node, boot, index: source.first, why });
            }
            let mut expected = if self.from_start { 1 } else { source.runs.first().map_or(1, |run| run.0) };
            for (from, to) in source.runs {
                if from > expected {
                    let (node, boot) = (source.writer.node.clone(), source.writer.boot.clone());
                    let gap = Gap { node, boot, from: expected, to: from };
                    list(&mut found.gaps, &mut found.not_listed, gap);
                }
                expected = to;
            }
            list(&mut found.writers, &mut found.not_listed, source.writer);
        }
        found
    }

    fn source(&mut self, index: u64, leaf: &LeafView<'_>) -> Option<usize> {
        let (node, boot) = (leaf.source.node.as_ref(), leaf.source.boot.as_ref());
        if let Some(at) = self.by_name.get(node).and_then(|boots| boots.get(boot)) {
            return Some(*at);
        }
        if self.sources.len() == SOURCES_MAX {
            return None;
        }
        let writer = Writer {
            node: node.to_owned(),
            boot: boot.to_owned(),
            version: None,
            binary: None,
            config: None,
            events: 0,
        };
        let at = self.sources.len();
        self.sources.push(Source::new(writer, index));
        self.by_name.entry(node.to_owned()).or_default().insert(boot.to_owned(), at);
        Some(at)
    }

    /// Starts, heartbeats and stops.
    fn process(&mut self, at: usize, index: u64, leaf: &LeafView<'_>, when: Option<i64>) {
        let data = leaf.data();
        let text = |key: &str| data[key].as_str().map(str::to_owned);
        let found = &mut self.found;
        match leaf.kind.as_ref() {
            "process.started/1" => {
                self.sources[at].started = true;
                let writer = &mut self.sources[at].writer;
                (writer.version, writer.binary, writer.config) = (text("version"), text("binary"), text("config"));
                let node = writer.node.clone();
                let before = self.newest.insert(node.clone(), at).filter(|before| *before != at);
                let writers =
                    (before.map(|before| self.sources[before].writer.clone()), self.sources[at].writer.clone());
                changes(found, index, leaf, writers, &data["config_changed"]);
                let before = match before.map(|before| &self.sources[before]) {
                    Some(source) => Some((source.writer.boot.clone(), source.stopped, source.last_at)),
                    // It may lie before the range; then the start's own word for it must do.
                    None => previous(&data["previous"]),
                };
                if let Some((boot, announced, last)) = before {
                    let last_at = last.map_or_else(|| "unknown".to_owned(), crate::moment::format);
                    if !announced {
                        let stop = UncleanStop { node: node.clone(), boot, last_at: last_at.clone(), index };
                        list(&mut found.unclean_stops, &mut found.not_listed, stop);
                    }
                    if let (Some(from), Some(to)) = (last, when) {
                        let micros = to.saturating_sub(from);
                        let down = Downtime { node, from: last_at, to: leaf.at.to_string(), micros, announced };
                        list(&mut found.downtime, &mut found.not_listed, down);
                    }
                }
            }
            "process.stopped/1" => self.sources[at].stopped = true,
            _ => {}
        }
        self.newest.entry(self.sources[at].writer.node.clone()).or_insert(at);
        // Two clocks of one process that move apart: somebody set the one that can be set.
        if let (Some(monotonic), Some(when)) = (data["monotonic_us"].as_i64(), when) {
            let source = &mut self.sources[at];
            if let Some((wall, before)) = source.monotonic.replace((when, monotonic)) {
                let apart = when.saturating_sub(wall).saturating_sub(monotonic.saturating_sub(before));
                // A step back that the next comparison of wall clocks lists anyway is not listed twice.
                let listed = source.last_at.is_some_and(|last| when < last - STEP_MICROS);
                if apart.abs() > STEP_MICROS && !listed {
                    let step = source.step(index, apart);
                    list(&mut self.found.clock_steps, &mut self.found.not_listed, step);
                }
            }
        }
    }
}

impl Source {
    fn new(writer: Writer, first: u64) -> Self {
        Self { writer, runs: Vec::new(), last_at: None, monotonic: None, first, started: false, stopped: false }
    }

    /// Notes that number `n` was seen; whether for the first time, or none when there is no more room to know.
    fn count(&mut self, n: u64) -> Option<bool> {
        if let Some(last) = self.runs.last_mut()
            && last.1 == n
        {
            last.1 = n.saturating_add(1);
            return Some(true);
        }
        let at = self.runs.partition_point(|run| run.1 < n);
        let after = n.saturating_add(1);
        match self.runs.get(at).copied() {
            Some((from, to)) if from <= n && n < to => return Some(false),
            Some((from, to)) if to == n => {
                // It closes the run before it, and may join it to the next.
                self.runs[at].1 = after;
                if self.runs.get(at + 1).is_some_and(|next| next.0 == after) {
                    self.runs[at].1 = self.runs.remove(at + 1).1;
                }
                debug_assert!(from < after);
            }
            Some((from, _)) if from == after => self.runs[at].0 = n,
            _ if self.runs.len() < RUNS_MAX => self.runs.insert(at, (n, after)),
            _ => return None,
        }
        Some(true)
    }

    fn step(&self, index: u64, by_us: i64) -> ClockStep {
        ClockStep { node: self.writer.node.clone(), boot: self.writer.boot.clone(), index, by_us }
    }
}

/// What a `process.started` says of the start before it: its boot, whether it had announced its stop, last heard of.
fn previous(value: &serde_json::Value) -> Option<(String, bool, Option<i64>)> {
    let boot = value["boot"].as_str()?.to_owned();
    Some((boot, value["clean"].as_bool()?, value["last_at"].as_str().and_then(crate::moment::parse)))
}

/// What a start runs that the start before it did not.
fn changes(
    found: &mut Findings,
    index: u64,
    leaf: &LeafView<'_>,
    (before, now): (Option<Writer>, Writer),
    settings: &serde_json::Value,
) {
    let settings: Vec<String> =
        settings.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let parts = |writer: &Writer| [writer.binary.clone(), writer.config.clone()];
    let olds = before.as_ref().map_or([None, None], parts);
    for ((what, from), to) in ["binary", "config"].into_iter().zip(olds).zip(parts(&now)) {
        let settings = if what == "config" { settings.clone() } else { Vec::new() };
        // Without the start before it, a start's own word for its settings must do.
        let changed = if from.is_some() { from != to } else { !settings.is_empty() };
        if changed {
            let (node, at) = (now.node.clone(), leaf.at.to_string());
            let change = Change { node, index, at, what: what.to_owned(), from, to, settings };
            list(&mut found.changes, &mut found.not_listed, change);
        }
    }
}

fn list<T>(all: &mut Vec<T>, not_listed: &mut u64, one: T) {
    if all.len() < LISTED_MAX { all.push(one) } else { *not_listed += 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(log: &mut Continuity, index: u64, boot: &str, n: u64, kind: &str, second: u32, data: &str) {
        let leaf = format!(
            r#"{{"about":[],"actor":"service:x","at":"2026-11-24T07:{:02}:{:02}.000000Z","data":{data},"id":"i","kind":"{kind}","payloads":[],"source":{{"boot":"{boot}","n":{n},"node":"n1"}},"v":1}}"#,
            second / 60,
            second % 60
        );
        log.push(index, &LeafView::parse(leaf.as_bytes()).unwrap());
    }

    #[test]
    fn gaps_and_repeats_are_named() {
        let mut log = Continuity::new(true);
        for (index, n) in (0..).zip([2, 3, 5, 8, 7, 5]) {
            push(&mut log, index, "b1", n, "x.y.z/1", 0, "{}");
        }
        let found = log.finish();
        let gaps: Vec<_> = found.gaps.iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(gaps, [(1, 2), (4, 5), (6, 7)]);
        assert_eq!(found.repeated, ["n1/b1/5"]);
        assert!(!found.is_quiet());
    }

    #[test]
    fn a_range_from_the_middle_does_not_ask_for_the_start() {
        let mut log = Continuity::new(false);
        for (index, n) in (0..).zip([40, 41, 42]) {
            push(&mut log, index, "b1", n, "x.y.z/1", 0, "{}");
        }
        assert!(log.finish().is_quiet());
    }

    #[test]
    fn clock_steps_are_named_once() {
        let mut log = Continuity::new(true);
        for (index, (second, monotonic)) in
            (0..).zip([(60, 0), (120, 60), (100, 120), (160, 180), (300, 240), (360, 300)])
        {
            let data = format!(r#"{{"monotonic_us":{}}}"#, monotonic * 1_000_000_i64);
            push(&mut log, index, "b1", index + 1, "process.heartbeat/1", second, &data);
        }
        let steps: Vec<_> = log.finish().clock_steps.iter().map(|step| (step.index, step.by_us / 1_000_000)).collect();
        assert_eq!(steps, [(2, -20), (4, 80)]);
    }

    #[test]
    fn stops_and_downtime_are_named() {
        let mut log = Continuity::new(true);
        let started = r#"{"version":"0.1.0","binary":"sha256:00","config":"sha256:11"}"#;
        push(&mut log, 0, "b1", 1, "process.started/1", 0, started);
        push(&mut log, 1, "b1", 2, "process.stopped/1", 10, "{}");
        push(&mut log, 2, "b2", 1, "process.started/1", 20, started);
        push(&mut log, 3, "b2", 2, "x.y.z/1", 30, "{}");
        push(&mut log, 4, "b3", 1, "process.started/1", 95, "{}");
        let found = log.finish();
        let stops: Vec<_> = found.unclean_stops.iter().map(|stop| (stop.boot.as_str(), stop.index)).collect();
        assert_eq!(stops, [("b2", 4)]);
        let down: Vec<_> = found.downtime.iter().map(|d| (d.micros / 1_000_000, d.announced)).collect();
        assert_eq!(down, [(10, true), (65, false)]);
        assert_eq!(found.writers[0].version.as_deref(), Some("0.1.0"));
        assert_eq!(found.writers[2].version, None);
    }

    #[test]
    fn events_of_a_start_that_cannot_have_written_them_are_strays() {
        let mut log = Continuity::new(true);
        push(&mut log, 0, "b1", 1, "process.started/1", 0, "{}");
        push(&mut log, 1, "b1", 2, "process.stopped/1", 10, "{}");
        push(&mut log, 2, "b1", 3, "x.y.z/1", 20, "{}");
        push(&mut log, 3, "b9", 1, "x.y.z/1", 30, "{}");
        let found = log.finish();
        let strays: Vec<_> = found.strays.iter().map(|stray| (stray.index, stray.boot.as_str())).collect();
        assert_eq!(strays, [(2, "b1"), (3, "b9")]);
        assert!(!found.is_quiet());
        // A log in which nobody says that they start, and a range from the middle of one.
        for from_start in [true, false] {
            let mut log = Continuity::new(from_start);
            if !from_start {
                push(&mut log, 7, "b2", 1, "process.started/1", 0, "{}");
            }
            push(&mut log, 8, "b1", 9, "x.y.z/1", 30, "{}");
            assert!(log.finish().strays.is_empty());
        }
    }

    #[test]
    fn a_changed_binary_and_configuration_are_named() {
        let mut log = Continuity::new(true);
        let started = |binary: &str, config: &str, settings: &str| {
            format!(r#"{{"version":"0.1.0","binary":"{binary}","config":"{config}","config_changed":[{settings}]}}"#)
        };
        push(&mut log, 0, "b1", 1, "process.started/1", 0, &started("sha256:00", "sha256:11", ""));
        push(&mut log, 1, "b2", 1, "process.started/1", 10, &started("sha256:00", "sha256:11", ""));
        push(&mut log, 2, "b3", 1, "process.started/1", 20, &started("sha256:01", "sha256:12", r#""witnesses""#));
        let changes: Vec<_> = log.finish().changes.into_iter().map(|one| (one.index, one.what, one.settings)).collect();
        assert_eq!(changes, [(2, "binary".into(), vec![]), (2, "config".into(), vec!["witnesses".to_owned()])]);
        let mut log = Continuity::new(false);
        push(&mut log, 7, "b3", 1, "process.started/1", 0, &started("sha256:01", "sha256:12", r#""listen""#));
        let changes = log.finish().changes;
        assert_eq!((changes.len(), changes[0].from.as_deref()), (1, None), "its own word for what lies before");
    }

    #[test]
    fn a_start_speaks_for_the_one_before_the_range() {
        let mut log = Continuity::new(false);
        let started = r#"{"previous":{"boot":"b0","clean":false,"last_at":"2026-11-24T07:00:00.000000Z"}}"#;
        push(&mut log, 7, "b1", 1, "process.started/1", 5, started);
        let found = log.finish();
        assert_eq!((found.unclean_stops[0].boot.as_str(), found.downtime[0].micros), ("b0", 5_000_000));
    }

    proptest! {
        #[test]
        fn any_order_of_all_numbers_has_no_gap(order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(), drop in 1..=60_u64) {
            let writer = || Writer { node: String::new(), boot: String::new(), version: None, binary: None, config: None, events: 0 };
            let source = || Source::new(writer(), 0);
            let mut whole = source();
            prop_assert!(order.iter().all(|n| whole.count(*n) == Some(true)));
            prop_assert_eq!(&whole.runs, &[(1, 61)]);
            prop_assert!(order.iter().all(|n| whole.count(*n) == Some(false)));
            let mut lacking = source();
            order.iter().filter(|n| **n != drop).for_each(|n| drop_result(lacking.count(*n)));
            prop_assert!(lacking.runs.iter().all(|(from, to)| !(*from..*to).contains(&drop)));
            prop_assert_eq!(lacking.runs.iter().map(|(from, to)| to - from).sum::<u64>(), 59);
        }
    }

    fn drop_result(_: Option<bool>) {}
}
