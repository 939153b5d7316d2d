//! Every kind of event that Haris writes, and the log each belongs to.
//!
//! A name is `area.subject.verb/version` (a process and an anchor, which have one subject, drop
//! it) and is never reused: what a leaf written today says must
//! be readable in ten years. A changed meaning is a new version in a new row.

/// The two logs. Both have one format; only traffic may be pruned after its retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Log {
    /// Permanent: what people and the product itself did.
    Evidence,
    /// Prunable: each request and answer that passed the gateway.
    Traffic,
}

impl Log {
    /// Both logs, in the order every listing uses.
    pub const ALL: [Self; 2] = [Self::Evidence, Self::Traffic];

    /// `evidence` or `traffic`: the last part of the log's origin and its folder's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Traffic => "traffic",
        }
    }

    /// The log of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|log| log.name() == name)
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind of event: a row of [`KINDS`].
#[derive(Debug, PartialEq, Eq)]
pub struct EventKind {
    /// `area.subject.verb/version`.
    pub name: &'static str,
    /// The log it belongs to.
    pub log: Log,
    /// What it tells, for documentation and for a person reading a bundle.
    pub tells: &'static str,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $log:ident, $tells:literal;)*) => {
        $(#[doc = $tells] pub const $constant: EventKind =
            EventKind { name: $name, log: Log::$log, tells: $tells };)*

        /// All kinds, in the order of their names.
        pub const KINDS: &[&EventKind] = &[$(&$constant,)*];
    };
}

kinds! {
    ACCOUNT_CHANGED = "access.account.changed/1", Evidence, "an account's roles were set anew";
    ACCOUNT_CLOSED = "access.account.closed/1", Evidence, "an account was closed for good: its sessions and tokens ended";
    ACCOUNT_CREATED = "access.account.created/1", Evidence, "a person got an account: its id and roles; name as a payload";
    CREDENTIAL_SET = "access.credential.set/1", Evidence, "an account's credentials were set: which, never what";
    LOGIN_REFUSED = "access.login.refused/1", Evidence, "log-ins were refused: how many since the event before, and why";
    PERSON_INVITED = "access.person.invited/1", Evidence, "a link was made by which an account's person sets its credentials, and from when it is good";
    RECOVERY_USED = "access.recovery.used/1", Evidence, "a recovery code was used in place of a one-time code";
    SESSION_ENDED = "access.session.ended/1", Evidence, "a session ended: by its person, by another, or by its age";
    SESSION_OPENED = "access.session.opened/1", Evidence, "a person logged in";
    TOKEN_ISSUED = "access.token.issued/1", Evidence, "a person made a token: its scopes and expiry";
    TOKEN_REVOKED = "access.token.revoked/1", Evidence, "a token stopped being accepted";
    ALERT_ACKNOWLEDGED = "alert.condition.acknowledged/1", Evidence, "a person took notice of an alert; reason as a payload";
    ALERT_CLEARED = "alert.condition.cleared/1", Evidence, "what had raised an alert is no longer so";
    ALERT_RAISED = "alert.condition.raised/1", Evidence, "something needs a person: which alert, and about what";
    APPROVAL_GIVEN = "approval.change.given/1", Evidence, "a second person agreed to the exact change, and it was carried out";
    APPROVAL_REFUSED = "approval.change.refused/1", Evidence, "a change that waited for a second person was refused or withdrawn";
    APPROVAL_REQUESTED = "approval.change.requested/1", Evidence, "a change waits for a second person: its digest and expiry; the exact change as a payload";
    APPROVAL_VOIDED = "approval.change.voided/1", Evidence, "a change that waited can no longer be made as it was shown";
    BUNDLE_EXPORTED = "bundle.evidence.exported/1", Evidence, "an evidence bundle was made: range, filter, count, whether payloads were opened";
    CALLER_ISSUED = "caller.key.issued/1", Evidence, "a caller got a key: its id, allowed models, expiry; owner as a payload";
    CALLER_REVOKED = "caller.key.revoked/1", Evidence, "a caller's key stopped being accepted";
    CONFIG_REFUSED = "config.settings.refused/1", Evidence, "the configuration was read again and held a mistake: the old one stays in force";
    CONFIG_RELOADED = "config.settings.reloaded/1", Evidence, "the configuration was read again: its digest, what changed, and what waits for a restart";
    DISK_RECOVERED = "disk.space.recovered/1", Evidence, "an operator had disk given back that Haris held and no longer needed";
    HOLD_LIFTED = "hold.legal.lifted/1", Evidence, "a legal hold ended";
    HOLD_PLACED = "hold.legal.placed/1", Evidence, "events came under a legal hold: nothing of them is erased or pruned";
    LOG_CREATED = "log.ledger.created/1", Evidence, "the ledger was created: origins and public keys";
    OPERATION_REFUSED = "operation.request.refused/1", Evidence, "an operation was refused: which, and why";
    PAYLOAD_ERASED = "payload.key.erased/1", Evidence, "payload keys are destroyed: which, legal basis; reason as a payload";
    PAYLOAD_REVEALED = "payload.text.revealed/1", Evidence, "a payload's text was shown to a person; reason as a payload";
    POLICY_LOADED = "policy.gateway.loaded/1", Evidence, "a compiled policy came into force: its digest and settings";
    PROCESS_HEARTBEAT = "process.heartbeat/1", Evidence, "a process is alive: wall and monotonic clock, counters";
    PROCESS_STARTED = "process.started/1", Evidence, "a process started: binary digest, version, config digest, key ids";
    PROCESS_STOPPED = "process.stopped/1", Evidence, "a process stopped cleanly";
    REQUEST_DECIDED = "gw.request.decided/1", Traffic, "a request was inspected and decided on, before its first byte went upstream";
    REQUEST_REFUSED = "gw.request.refused/1", Traffic, "a request was refused before inspection: malformed, too large, or not authorised";
    RESPONSE_DECIDED = "gw.response.decided/1", Traffic, "an answer was inspected and decided on, before its last byte reached the caller";
    TRAFFIC_ANCHORED = "traffic.anchored/1", Evidence, "the traffic log's checkpoint at this moment";
    WITNESS_CONTRADICTED = "witness.checkpoint.contradicted/1", Evidence, "a witness holds a checkpoint that this log signed and does not continue: nothing is signed from here on";
    WITNESS_LAGGED = "witness.checkpoint.lagged/1", Evidence, "no quorum of witnesses cosigned for longer than allowed";
    WITNESS_RESUMED = "witness.checkpoint.resumed/1", Evidence, "a quorum of witnesses cosigns again";
}

/// The kind of that name, if Haris ever wrote it.
#[must_use]
pub fn find(name: &str) -> Option<&'static EventKind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut seen = std::collections::BTreeSet::new();
        for kind in KINDS {
            assert!(seen.insert(kind.name), "{} twice", kind.name);
            let (path, version) = kind.name.split_once('/').unwrap();
            assert!((2..=3).contains(&path.split('.').count()), "{}", kind.name);
            assert!(version.parse::<u32>().unwrap() >= 1);
            assert_eq!(find(kind.name), Some(*kind));
        }
    }
}
