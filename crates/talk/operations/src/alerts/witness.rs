//! Witnesses and lesser anchors: whether somebody outside holds what this ledger says.

use haris_domain::Severity;
use haris_witnessing::WitnessStatus;

use super::{Alert, Case, Lasts};

pub(super) const WITNESS_CONTRADICTED: Alert = Alert {
    id: "witness-contradicted",
    title: "a witness holds a history that this log does not continue",
    severity: Severity::Critical,
    meaning: "This log signed a checkpoint that the present one does not continue: the data is an old copy, or was changed, or a second process signs with these keys. Nothing is signed any more.",
    remedy: "Stop whatever else runs with these keys, and keep this data directory as it is: it is evidence. docs/trust.md says what can be done and what it means for an auditor.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let contradicted = status.witnesses.iter().filter_map(|witnesses| witnesses.contradicted.as_ref());
        contradicted.map(|why| Case::only(format!("witnesses: nothing is signed any more: {why}"))).collect()
    },
};

pub(super) const WITNESS_LAG: Alert = Alert {
    id: "witness-lag",
    title: "no quorum of witnesses has cosigned for longer than allowed",
    severity: Severity::High,
    meaning: "Until they do, the operator could change what was recorded since the last cosignatures. Routes that say `on_witness_lag = \"refuse\"` refuse with 503.",
    remedy: "`haris status` names what each witness answered last. Reach their operators, or the network between. `haris ledger fsck` keeps the time in its list.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let lagging = |witnesses: &&WitnessStatus| witnesses.lagging && witnesses.contradicted.is_none();
        let said = |witnesses: &WitnessStatus| {
            let WitnessStatus { quorum, age_seconds, max_age_seconds, .. } = witnesses;
            Case::only(format!(
                "witnesses: {quorum} of {} have not cosigned for {age_seconds} s, and {max_age_seconds} s are allowed: \
                 until they do, the operator could change what was recorded since",
                witnesses.witnesses.len()
            ))
        };
        status.witnesses.iter().filter(lagging).map(said).collect()
    },
};

pub(super) const WITNESS_FAILING: Alert = Alert {
    id: "witness-failing",
    title: "a witness does not cosign",
    severity: Severity::Medium,
    meaning: "One of the configured witnesses did not answer, or refused. While a quorum of the others cosigns, nothing is at risk yet.",
    remedy: "The text says what it answered. Reach its operator; `witness-lag` follows when too few are left.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let each = status.witnesses.iter().flat_map(|witnesses| &witnesses.witnesses);
        each.filter_map(|one| {
            let text = format!("witness {}: {}", one.name, one.error.as_ref()?);
            Some(Case { about: one.name.clone(), text })
        })
        .collect()
    },
};

pub(super) const ANCHOR_FAILING: Alert = Alert {
    id: "anchor-failing",
    title: "checkpoints do not reach an anchor",
    severity: Severity::Medium,
    meaning: "The file or the syslog receiver of `[anchors]` did not take a checkpoint, or the file is not the one that was written before.",
    remedy: "The text names the place. A file that was replaced or cut is worth a question to whoever may write there.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let needs: Vec<&str> =
            status.anchors.iter().flat_map(|anchors| &anchors.attention).map(String::as_str).collect();
        if needs.is_empty() { Vec::new() } else { vec![Case::only(needs.join("; "))] }
    },
};
