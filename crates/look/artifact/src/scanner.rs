//! The walker: recognises parts, hands each to its formats, and follows what they find inside.
//!
//! A stack of open parts takes the place of recursion. The last found is looked at first, so that
//! few unpacked parts are held at once.

use std::sync::Arc;

use crate::budget::{Budget, Limit, Limits};
use crate::context::Context;
use crate::face::walker as rules;
use crate::finding::{Finding, Location, Scan};
use crate::format::{Claim, FORMATS, Format};
use crate::knowledge::Knowledge;
use crate::layout::LAYOUTS;
use crate::part::{Embedded, Kind, Members, Part};
use crate::source::Source;
use crate::unread::Unread;

/// Scans artifacts under given limits.
#[derive(Clone, Debug)]
pub struct Scanner {
    limits: Limits,
    knowledge: Arc<Knowledge>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Scanner {
    /// A scanner with these limits for each artifact.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, knowledge: Knowledge::built_in() }
    }

    /// The same with other tables of callables.
    #[must_use]
    pub fn with_knowledge(self, knowledge: Arc<Knowledge>) -> Self {
        Self { knowledge, ..self }
    }

    /// A fresh budget under the scanner's limits, to be expired by a caller with a clock.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget::new(self.limits.clone())
    }

    /// Scans one file. `name` is its own name; it tells nothing about the format.
    #[must_use]
    pub fn scan(&self, name: &str, source: &Source) -> Scan {
        self.scan_within(name, source, &self.budget())
    }

    /// Scans one file under a budget that the caller watches.
    #[must_use]
    pub fn scan_within(&self, name: &str, source: &Source, budget: &Budget) -> Scan {
        let mut walk = Walk::new(budget, &self.knowledge);
        let mut top = Embedded::new(source.clone(), Kind::Any, Location::top());
        top.name = Some(name.into());
        walk.open.push(Open::Part(top));
        walk.run();
        walk.scan
    }

    /// Scans one file as a loader would that opens it as `format` ([`Format::name`]) whatever it looks like.
    #[must_use]
    pub fn scan_as(&self, format: &'static str, source: &Source) -> Scan {
        let budget = self.budget();
        let mut walk = Walk::new(&budget, &self.knowledge);
        walk.open.push(Open::Part(Embedded::new(source.clone(), Kind::As(format), Location::top())));
        walk.run();
        walk.scan
    }

    /// Scans a directory that is one model: layouts see it whole, and every member is scanned.
    #[must_use]
    pub fn scan_members(&self, members: &Arc<dyn Members>, budget: &Budget) -> Scan {
        let mut walk = Walk::new(budget, &self.knowledge);
        walk.container(members, &Location::top());
        walk.run();
        walk.scan
    }

    /// The layout that a directory is, if any.
    #[must_use]
    pub fn layout(members: &dyn Members) -> Option<&'static str> {
        LAYOUTS.iter().find(|layout| layout.claim(members)).map(|layout| layout.name())
    }
}

/// What is still to be looked at.
enum Open {
    Part(Embedded),
    /// A member that is unpacked only when its turn comes.
    Member(Arc<dyn Members>, Arc<str>, Location),
}

struct Walk<'a> {
    budget: &'a Budget,
    knowledge: &'a Arc<Knowledge>,
    open: Vec<Open>,
    scan: Scan,
    unlisted: usize,
    /// Layers around the artifact's content that only pack it.
    wrappers: usize,
}

impl<'a> Walk<'a> {
    fn new(budget: &'a Budget, knowledge: &'a Arc<Knowledge>) -> Self {
        Self {
            budget,
            knowledge,
            open: Vec::new(),
            scan: Scan { format: "", ..Scan::default() },
            unlisted: 0,
            wrappers: 0,
        }
    }

    fn run(&mut self) {
        while let Some(next) = self.open.pop() {
            let (next, location) = match next {
                Open::Part(part) => {
                    let location = part.location.clone();
                    (Ok(part), location)
                }
                Open::Member(members, name, location) => (self.member(members, name, &location), location),
            };
            if let Err(why) = next.and_then(|part| self.look(part)) {
                let spent = is_spent(&why);
                self.unread(&why, location);
                if spent {
                    break;
                }
            }
        }
        if self.unlisted > 0 {
            let detail = format!("{} more", self.unlisted);
            self.scan.findings.push(Finding {
                face: &rules::MORE,
                location: Location::top(),
                detail,
                explanation: None,
            });
        }
        if self.scan.format.is_empty() {
            self.scan.format = "unknown";
        }
    }

    fn member(&mut self, members: Arc<dyn Members>, name: Arc<str>, location: &Location) -> Result<Embedded, Unread> {
        let (bytes, note) = members.open_noting(&name)?;
        if let Some((face, detail)) = note {
            self.record(Finding { face, location: location.clone(), detail, explanation: None });
        }
        let (location, members) = (location.clone(), Some(members));
        Ok(Embedded { bytes, kind: Kind::Any, location, name: Some(name), members })
    }

    fn look(&mut self, embedded: Embedded) -> Result<(), Unread> {
        if matches!(embedded.kind, Kind::Text(_)) {
            self.scan.handed_over.push(embedded);
            return Ok(());
        }
        self.budget.members(1)?;
        self.budget.steps(100)?;
        if embedded.location.depth() > self.budget.limits().depth as usize {
            return Err(Unread::Limit(Limit::Depth));
        }
        let part = Part::new(embedded, self.knowledge, self.budget)?;
        let top = part.location.depth() == 0;
        let whole = top || part.kind == Kind::Content && part.location.depth() <= self.wrappers;
        let takers = takers(&part);
        if takers.is_empty() {
            if whole && part.source.is_empty() {
                // Nothing is in it that a loader could read.
                if top {
                    self.scan.format = "empty";
                }
            } else if whole {
                self.record(Finding {
                    face: &rules::UNRECOGNISED,
                    location: part.location.clone(),
                    detail: format!("{} bytes of no known format", part.source.len()),
                    explanation: None,
                });
            }
            return Ok(());
        }
        let mut name = None;
        if whole && takers.iter().all(|format| format.wraps()) {
            self.wrappers = part.location.depth() + 1;
        }
        for format in takers {
            let mut context = Context::new(self.budget, part.location.clone(), part.source.clone());
            let outcome = format.scan(&part, &mut context);
            name.get_or_insert(context.format.unwrap_or(format.name()));
            let Context { findings, embedded, containers, .. } = context;
            findings.into_iter().for_each(|finding| self.record(finding));
            // Reversed, so that the stack gives them back in the order they were found.
            self.open.extend(embedded.into_iter().rev().map(Open::Part));
            for (members, location) in containers {
                if let Some(layout) = self.container(&members, &location) {
                    name = Some(layout);
                }
            }
            match outcome {
                Err(why) if is_spent(&why) => return Err(why),
                // One format could not read the part; others still may.
                Err(why) => self.unread(&why, part.location.clone()),
                Ok(()) => {}
            }
        }
        if top && self.scan.format.is_empty() {
            self.scan.format = name.unwrap_or("unknown");
        }
        Ok(())
    }

    /// Lets layouts look at the members together, and opens every member.
    fn container(&mut self, members: &Arc<dyn Members>, location: &Location) -> Option<&'static str> {
        let mut name = None;
        for layout in LAYOUTS.iter().filter(|layout| layout.claim(&**members)) {
            name.get_or_insert(layout.name());
            let mut context = Context::new(self.budget, location.clone(), Source::memory(Vec::new()));
            let outcome = layout.scan(members, &mut context);
            let Context { findings, embedded, .. } = context;
            findings.into_iter().for_each(|finding| self.record(finding));
            self.open.extend(embedded.into_iter().rev().map(Open::Part));
            if let Err(why) = outcome {
                self.unread(&why, location.clone());
            }
        }
        for member in members.list().iter().rev() {
            let location = location.inside(&member.name);
            self.open.push(Open::Member(members.clone(), member.name.clone(), location));
        }
        if location.depth() == 0 {
            self.scan.format = name.unwrap_or(self.scan.format);
        }
        name
    }

    fn unread(&mut self, why: &Unread, location: Location) {
        let face = match why {
            Unread::Truncated { .. } => &rules::TRUNCATED,
            Unread::Malformed { .. } => &rules::MALFORMED,
            Unread::Limit(_) => &rules::LIMIT,
            Unread::Unsupported(_) => &rules::UNSUPPORTED,
            Unread::Io(_) => &rules::UNREADABLE,
        };
        self.record(Finding { face, location, detail: why.to_string(), explanation: None });
    }

    fn record(&mut self, finding: Finding) {
        self.scan.worst = self.scan.worst.max(finding.face.verdict);
        if self.scan.findings.len() < self.budget.limits().findings {
            self.scan.findings.push(finding);
            return;
        }
        self.unlisted += 1;
        // A flood of small findings must not keep what matters off the list.
        if let Some(lesser) = self.scan.findings.iter_mut().rev().find(|one| one.face.verdict < finding.face.verdict) {
            *lesser = finding;
        }
    }
}

/// Whether nothing more can be read in this scan.
fn is_spent(why: &Unread) -> bool {
    matches!(why, Unread::Limit(Limit::Steps | Limit::Time | Limit::BytesOut | Limit::Members))
}

/// Every format whose loader would open the part; failing that, the first that might.
fn takers(part: &Part) -> Vec<&'static dyn Format> {
    let mut sure: Vec<&'static dyn Format> = Vec::new();
    let mut perhaps: Option<&'static dyn Format> = None;
    for &format in FORMATS {
        let claim = if part.kind == Kind::As(format.name()) { Claim::Yes } else { format.claim(part) };
        match claim {
            Claim::Yes => sure.push(format),
            Claim::Perhaps => perhaps = perhaps.or(Some(format)),
            Claim::No => {}
        }
    }
    if sure.is_empty() { perhaps.into_iter().collect() } else { sure }
}
