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
use crate::layout::LAYOUTS;
use crate::part::{Embedded, Kind, Members, Part};
use crate::source::Source;
use crate::unread::Unread;

/// Scans artifacts under given limits.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    limits: Limits,
}

impl Scanner {
    /// A scanner with these limits for each artifact.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits }
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
        let mut walk = Walk::new(budget);
        let mut top = Embedded::new(source.clone(), Kind::Any, Location::top());
        top.name = Some(name.into());
        walk.open.push(top);
        walk.run();
        walk.scan
    }

    /// Scans a directory that is one model: layouts see it whole, and every member is scanned.
    #[must_use]
    pub fn scan_members(&self, members: &Arc<dyn Members>, budget: &Budget) -> Scan {
        let mut walk = Walk::new(budget);
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

struct Walk<'a> {
    budget: &'a Budget,
    open: Vec<Embedded>,
    scan: Scan,
    unlisted: usize,
}

impl<'a> Walk<'a> {
    fn new(budget: &'a Budget) -> Self {
        Self { budget, open: Vec::new(), scan: Scan { format: "", ..Scan::default() }, unlisted: 0 }
    }

    fn run(&mut self) {
        while let Some(next) = self.open.pop() {
            if matches!(next.kind, Kind::Text(_)) {
                self.scan.handed_over.push(next);
                continue;
            }
            let location = next.location.clone();
            if let Err(why) = self.look(next) {
                let spent = matches!(why, Unread::Limit(Limit::Steps | Limit::Time | Limit::BytesOut | Limit::Members));
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

    fn look(&mut self, embedded: Embedded) -> Result<(), Unread> {
        self.budget.members(1)?;
        self.budget.steps(100)?;
        if embedded.location.depth() > self.budget.limits().depth as usize {
            return Err(Unread::Limit(Limit::Depth));
        }
        let part = Part::new(embedded)?;
        let top = part.location.depth() == 0;
        let takers = takers(&part);
        if takers.is_empty() {
            if top {
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
        for format in takers {
            let mut context = Context::new(self.budget, part.location.clone());
            let outcome = format.scan(&part, &mut context);
            name.get_or_insert(context.format.unwrap_or(format.name()));
            let Context { findings, embedded, containers, .. } = context;
            findings.into_iter().for_each(|finding| self.record(finding));
            // Reversed, so that the stack gives them back in the order they were found.
            self.open.extend(embedded.into_iter().rev());
            for (members, location) in containers {
                if let Some(layout) = self.container(&members, &location) {
                    name = Some(layout);
                }
            }
            if let Err(why) = outcome {
                self.part_unread(why, &part)?;
            }
        }
        if top && self.scan.format.is_empty() {
            self.scan.format = name.unwrap_or("unknown");
        }
        Ok(())
    }

    /// One format could not read the part; others still may. Only an empty purse ends the scan.
    fn part_unread(&mut self, why: Unread, part: &Part) -> Result<(), Unread> {
        match why {
            Unread::Limit(Limit::Steps | Limit::Time | Limit::BytesOut | Limit::Members) => Err(why),
            _ => {
                self.unread(&why, part.location.clone());
                Ok(())
            }
        }
    }

    /// Lets layouts look at the members together, and opens every member.
    fn container(&mut self, members: &Arc<dyn Members>, location: &Location) -> Option<&'static str> {
        let mut name = None;
        for layout in LAYOUTS.iter().filter(|layout| layout.claim(&**members)) {
            name.get_or_insert(layout.name());
            let mut context = Context::new(self.budget, location.clone());
            let outcome = layout.scan(members, &mut context);
            let Context { findings, embedded, .. } = context;
            findings.into_iter().for_each(|finding| self.record(finding));
            self.open.extend(embedded.into_iter().rev());
            if let Err(why) = outcome {
                self.unread(&why, location.clone());
            }
        }
        for member in members.list().iter().rev() {
            let location = location.inside(&member.name);
            match members.open(&member.name) {
                Ok(bytes) => self.open.push(Embedded {
                    bytes,
                    kind: Kind::Any,
                    location,
                    name: Some(member.name.clone()),
                    members: Some(members.clone()),
                }),
                Err(why) => self.unread(&why, location),
            }
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
        } else {
            self.unlisted += 1;
        }
    }
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
