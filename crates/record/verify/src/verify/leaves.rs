//! One log's leaves: each against its tile, all against what the bundle claims of them.

use std::collections::HashSet;
use std::io::{Read, Seek};
use std::rc::Rc;

use haris_merkle::leaf_hash;

use super::payloads::Payloads;
use super::{OpenLog, Run};
use crate::bundle::{LogPart, MANIFEST, Manifest, Place, Scope};
use crate::continuity::Continuity;
use crate::filter::Filter;
use crate::leaf::LeafView;
use crate::moment;
use crate::records::Records;
use crate::report::{EventLine, Leaf, LogReport, WitnessTime, seconds, window};
use crate::zip::{ZipError, ZipReader};

impl Run<'_> {
    pub(super) fn leaves<R: Read + Seek>(
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
        let hash = leaf_hash(bytes);
        match log.tiles.leaf(zip, index)? {
            Ok(known) if known == hash => {}
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
        let parsed = LeafView::parse(bytes);
        let (id, at) = parsed.as_ref().map_or((None, None), |view| (Some(view.id.as_ref()), view.at_micros()));
        self.watch.leaf(Leaf { origin: &log.checkpoint.origin, index, hash: &hash, id, at, proven });
        let view = match parsed {
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
        if !filters.in_window(&view) {
            walk.starts_outside |= index == log.part.from;
            walk.ends_outside |= index.checked_add(1) == Some(log.part.to);
        }
        if filters.match_all(&view) {
            walk.matching += 1;
        } else if log.part.scope == Scope::Selection {
            self.report.problem(format!("entry {index} of `{name}` does not meet the filter that the bundle claims"));
        }
        walk.time(at);
        if let Some(continuity) = &mut walk.continuity {
            continuity.push(index, &view);
        }
        let opened = self.payloads(zip, &view, payloads)?;
        if wanted {
            self.watch.event(&log.line(index, Some(&view), why.as_deref(), opened))?;
        }
        Ok(())
    }

    /// Tiles that no event needed: they must be believed as well, or they have no business in the bundle.
    pub(super) fn other_tiles<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        log: &mut OpenLog,
    ) -> Result<(), ZipError> {
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
}

/// The filter and window that a bundle claims.
pub(super) struct Filters {
    pub(super) all: Vec<Filter>,
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

impl Filters {
    pub(super) fn are_empty(&self) -> bool {
        self.all.is_empty() && self.from.is_none() && self.to.is_none()
    }

    pub(super) fn match_all(&self, view: &LeafView<'_>) -> bool {
        self.in_window(view) && self.all.iter().all(|filter| filter.matches(view))
    }

    fn in_window(&self, view: &LeafView<'_>) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        view.at_micros().is_some_and(|at| self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to))
    }
}

/// What is counted on the way through one log's leaves.
struct Walk {
    /// The least index that may come next.
    expected: u64,
    leaves: u64,
    proven: u64,
    matching: u64,
    /// The range's first entry lies outside the window: the window does not begin before the range.
    starts_outside: bool,
    /// The same of its last.
    ends_outside: bool,
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
            starts_outside: part.from == 0,
            ends_outside: false,
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
        // Leaves are whole between two entries; whether the window ends there too, only its neighbours can show.
        let edges_shown = self.starts_outside && (self.ends_outside || part.to == log.checkpoint.size);
        let edges = if manifest.window.is_none() || edges_shown {
            ""
        } else {
            "; whether more of the window lies before or after these entries is not shown"
        };
        let says = match part.scope {
            Scope::Range if self.proven == total && self.leaves == total => {
                let matching = if filtered {
                    format!("; {} of them meet window and filter", self.matching)
                } else {
                    String::new()
                };
                format!("complete: {total} of {total} entries [{}, {}){matching}{edges}", part.from, part.to)
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
            witnesses: WitnessTime::list(&log.vouched.witnesses),
            witnessed_by: seconds(log.vouched.witnessed_by),
            newest: log.newest.clone(),
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
            changeable_seconds: window(view.and_then(LeafView::at_micros), self.vouched.witnessed_by),
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
