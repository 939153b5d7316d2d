//! A single event with its C2SP tlog-proof.

use std::io;

use haris_merkle::{TlogProof, leaf_hash};

use super::Run;
use crate::bundle::LOGS;
use crate::leaf::LeafView;
use crate::report::{EventLine, Leaf, OPERATOR_ONLY, Report, Watch, seconds, window};
use crate::trust::Trust;

/// Checks a C2SP tlog-proof whose extra data is the event.
///
/// # Errors
/// Only when `watch` cannot be told.
pub fn verify_proof(bytes: &[u8], trust: &Trust, watch: &mut dyn Watch) -> io::Result<Report> {
    let mut report = Report::new();
    match TlogProof::parse(bytes) {
        Ok(proof) => Run { trust, outside: &(), report: &mut report, watch }.proof(&proof)?,
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

impl Run<'_> {
    fn proof(&mut self, proof: &TlogProof) -> io::Result<()> {
        let vouched = self.trust.vouch(&proof.checkpoint, &proof.note);
        for why in &vouched.problems {
            self.report.problem(format!("the checkpoint: {why}"));
        }
        if vouched.no_key {
            let origin = crate::report::plain(&proof.checkpoint.origin);
            self.report.problem(format!(
                "the checkpoint: no key for `{origin}` was given; get it from someone you trust and pass it with --key"
            ));
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
        let (id, at) = view.as_ref().map_or((None, None), |view| (Some(view.id.as_ref()), view.at_micros()));
        let hash = leaf_hash(entry);
        let (origin, index, proven) = (proof.checkpoint.origin.as_str(), proof.index, why.is_none());
        self.watch.leaf(Leaf { origin, index, hash: &hash, id, at, proven });
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
            changeable_seconds: window(view.as_ref().ok().and_then(LeafView::at_micros), vouched.witnessed_by),
            payloads: Vec::new(),
        };
        self.watch.event(&line)
    }
}
