//! A receipt, and whether its promise was kept.

use std::io;

use haris_merkle::{KeyKind, Receipt};

use crate::bundle::Scope;
use crate::moment;
use crate::report::{Leaf, ReceiptReport, Report, Watch, plain};
use crate::trust::{Trust, label};

/// Watches a bundle for the event that a receipt promises.
#[derive(Debug, Default)]
pub struct Kept {
    wanted: Option<(Receipt, Option<i64>)>,
    found: Option<(u64, bool, bool)>,
    /// Birth of the first entry of the receipt's log in the bundle, and whether it is the log's first.
    first: Option<(u64, Option<i64>)>,
}

impl Watch for Kept {
    fn begins(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: &crate::report::EventLine) -> io::Result<()> {
        Ok(())
    }

    fn wants(&self, _: bool) -> bool {
        false
    }

    fn leaf(&mut self, leaf: Leaf<'_>) {
        let Some((receipt, _)) = &self.wanted else { return };
        if leaf.origin != receipt.origin {
            return;
        }
        self.first.get_or_insert((leaf.index, leaf.at));
        let same = *leaf.hash == receipt.leaf;
        if same || leaf.id == Some(receipt.event.as_str()) {
            // An entry with the promised hash is the promise kept, whatever else claims its id.
            let better = self.found.is_none_or(|(_, known, _)| !known);
            if better {
                self.found = Some((leaf.index, same, leaf.proven));
            }
        }
    }
}

impl Kept {
    /// Watches for what a receipt promises; for nothing where the bytes are none.
    #[must_use]
    pub fn of(receipt: &[u8]) -> Self {
        let wanted = Receipt::parse(receipt).ok().map(|(receipt, _)| {
            let by = moment::parse(&receipt.by);
            (receipt, by)
        });
        Self { wanted, ..Self::default() }
    }
}

/// Checks a receipt, and what a bundle or proof says of its promise where one was verified: `evidence` is its report,
/// and what it showed to `kept` on the way.
#[must_use]
pub fn verify_receipt(bytes: &[u8], trust: &Trust, evidence: Option<(Report, &Kept)>) -> Report {
    let mut report = Report::new();
    "nothing is shown: the receipt cannot be read".clone_into(&mut report.begins);
    let (receipt, note) = match Receipt::parse(bytes) {
        Ok(read) => read,
        Err(error) => {
            report.problem(format!("the receipt cannot be read: {error}"));
            return report;
        }
    };
    let (at, by) = (moment::parse(&receipt.at), moment::parse(&receipt.by));
    if at.is_none() || by.is_none() || by < at {
        report.problem("the receipt names times that are none");
    }
    let trunk = receipt.origin.rsplit_once('/').map_or("", |(trunk, _)| trunk);
    let name = format!("{trunk}/receipt");
    let candidates: Vec<_> =
        trust.keys.iter().filter(|key| key.kind() == KeyKind::Ed25519 && key.name() == name).cloned().collect();
    let signed_by = match note.verify(&candidates) {
        Ok(verified) => verified.first().map(|one| label(one.key)),
        Err(error) if candidates.is_empty() => {
            report.problem(format!("no key called `{}` was given; `haris status` prints it: {error}", plain(&name)));
            None
        }
        Err(error) => {
            report.problem(error.to_string());
            None
        }
    };
    let genuine = report.problems.is_empty();
    report.begins = if genuine {
        "the operator promised to seal this event".to_owned()
    } else {
        "nothing is shown: no key that you gave has signed this receipt".to_owned()
    };
    let mut answer = ReceiptReport {
        origin: receipt.origin.clone(),
        event: receipt.event.clone(),
        leaf: format!("sha256:{}", hex::encode(receipt.leaf)),
        at: receipt.at.clone(),
        by: receipt.by.clone(),
        signed_by,
        promise: "not-shown".to_owned(),
        index: None,
        says: "whether it was, a bundle or proof shows: ask the operator for one, and give it with --in".to_owned(),
    };
    if let Some((evidence, kept)) = evidence.filter(|_| genuine) {
        settle(&mut answer, &mut report, &receipt, (at, by), &evidence, kept);
        report.logs = evidence.logs;
        report.claims = evidence.claims;
        report.problems.extend(evidence.problems);
        report.notices.extend(evidence.notices);
        report.begins = format!("{}; {}", report.begins, evidence.begins);
    }
    if genuine && answer.promise == "not-shown" {
        report.problem(answer.says.clone());
    }
    report.proven = report.problems.is_empty();
    report.receipt = Some(answer);
    report
}

fn settle(
    answer: &mut ReceiptReport,
    report: &mut Report,
    receipt: &Receipt,
    (at, by): (Option<i64>, Option<i64>),
    evidence: &Report,
    kept: &Kept,
) {
    let mut say = |promise: &str, says: String| {
        promise.clone_into(&mut answer.promise);
        answer.says = says;
    };
    match kept.found {
        Some((index, true, true)) => {
            say("kept", format!("kept: it is entry {index} of its log"));
            answer.index = Some(index);
            return;
        }
        Some((index, false, true)) => {
            say(
                "broken",
                format!("BROKEN: entry {index} of its log has this event's id and other bytes than were promised"),
            );
            answer.index = Some(index);
            report.problem("the operator broke the promise of this receipt");
            return;
        }
        Some((_, _, false)) => return say("not-shown", "the event is in the file given, and is not proven".to_owned()),
        None => {}
    }
    let log = evidence.logs.iter().find(|log| log.origin == receipt.origin);
    let Some(log) = log.filter(|_| evidence.proven) else {
        return say(
            "not-shown",
            "the file given does not hold this event, and shows nothing about its absence".to_owned(),
        );
    };
    let whole = log.scope == Scope::Range && log.leaves_proven == log.to - log.from && log.to == log.size;
    // The promise is the same for every event: what stands before an entry that was born a promised span before this
    // event was appended before this event was born.
    let span = by.zip(at).map_or(0, |(by, at)| by - at);
    let early_enough = log.from == 0
        || kept
            .first
            .is_some_and(|(_, first)| first.zip(at).is_some_and(|(first, at)| first <= at.saturating_sub(span)));
    let sealed = [&log.sealed_by, &log.witnessed_by].into_iter().flatten();
    let late_enough = sealed
        .filter_map(|text| moment::parse(&text.replace('Z', ".000000Z")))
        .any(|sealed| by.is_some_and(|by| sealed >= by));
    if whole && early_enough && late_enough {
        say(
            "broken",
            format!(
                "BROKEN: entries {} to {} are complete, were sealed after the promised time, and it is not among them",
                log.from, log.to
            ),
        );
        report.problem("the operator broke the promise of this receipt");
        return;
    }
    let lacks = if !whole {
        "it is not a complete range up to the log's end"
    } else if early_enough {
        "its checkpoint was sealed before the promised time"
    } else {
        "it starts too late to cover the event"
    };
    say("not-shown", format!("the event is not in the file given, which does not show that it is missing: {lacks}"));
}

#[cfg(test)]
pub(crate) fn receipt_for(origin: &str, event: &str, entry: &[u8], at: i64, span: i64) -> Receipt {
    Receipt {
        origin: origin.to_owned(),
        event: event.to_owned(),
        leaf: haris_merkle::leaf_hash(entry),
        at: moment::format(at),
        by: moment::format(at + span),
    }
}
