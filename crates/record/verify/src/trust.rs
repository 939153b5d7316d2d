//! Whom the auditor believes. Keys come from the command line or a policy file, never from a bundle.

use haris_merkle::key::KeyKind;
use haris_merkle::{Checkpoint, Note, Policy, VerifierKey};

use crate::bundle::LOGS;

/// Keys and policy that the auditor brought along.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys of logs and of witnesses. A key is a log's when its name is the log's origin.
    pub keys: Vec<VerifierKey>,
    /// A tlog-policy: log keys, witnesses and how many of them must have signed.
    pub policy: Option<Policy>,
}

/// What the given keys say of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The log's keys that signed, as `name+id` and type.
    pub signed_by: Vec<String>,
    /// When the log says it signed, in POSIX seconds: the operator's clock.
    pub sealed_by: Option<u64>,
    /// Witnesses that signed, with their times.
    pub witnesses: Vec<(String, u64)>,
    /// The same by key, for counting.
    pub cosigners: Vec<(VerifierKey, u64)>,
    /// From when on enough witnesses had signed: by the policy's quorum, or with keys alone the first witness.
    pub witnessed_by: Option<u64>,
    /// Why the checkpoint is not believed; empty when it is.
    pub problems: Vec<String>,
    /// No key of this log was given. An anchor in a log whose key was given makes up for it.
    pub no_key: bool,
    /// The policy's quorum is the only thing that is missing; an anchor in a witnessed log makes up for it.
    pub quorum_missing: bool,
}

impl Trust {
    /// Checks a checkpoint's note against the given keys.
    #[must_use]
    pub fn vouch(&self, checkpoint: &Checkpoint, note: &Note) -> Vouched {
        let mut vouched = Vouched::default();
        let logs = self.policy.iter().flat_map(Policy::logs);
        let of_log: Vec<&VerifierKey> =
            unique(self.keys.iter().chain(logs).filter(|key| key.name() == checkpoint.origin));
        vouched.no_key = of_log.is_empty();
        for kind in [KeyKind::Ed25519, KeyKind::CosignatureEd25519, KeyKind::CosignatureMlDsa44] {
            // Of several keys of one type (a rotation) one must have signed. Of several types each must: whoever can
            // forge the older one must not be able to leave out the newer.
            let of_kind: Vec<&VerifierKey> = of_log.iter().copied().filter(|key| key.kind() == kind).collect();
            if of_kind.is_empty() {
                continue;
            }
            let mut signed = false;
            for key in of_kind {
                match check(key, note) {
                    Some(Ok(at)) => {
                        signed = true;
                        vouched.signed_by.push(format!("{} ({})", label(key), kind.name()));
                        vouched.sealed_by = vouched.sealed_by.max(at);
                    }
                    Some(Err(why)) => vouched.problems.push(why),
                    None => {}
                }
            }
            if !signed {
                let why = format!(
                    "the checkpoint carries no {} signature by a given key of `{}`",
                    kind.name(),
                    checkpoint.origin
                );
                vouched.problems.push(why);
            }
        }
        self.witnesses(checkpoint, &of_log, note, &mut vouched);
        vouched
    }

    fn witnesses(&self, checkpoint: &Checkpoint, of_log: &[&VerifierKey], note: &Note, vouched: &mut Vouched) {
        let of_policy = self.policy.iter().flat_map(Policy::witnesses);
        let candidates = unique(self.keys.iter().chain(of_policy).filter(|key| key.kind().is_timestamped()));
        for key in candidates {
            // The operator's own key is no witness, under whatever name: that of this log, or of the other one.
            let of_operator = of_log.iter().any(|log| log.public_key() == key.public_key())
                || self.policy.iter().flat_map(Policy::logs).any(|log| log == key)
                || same_operator(&checkpoint.origin, key.name());
            if of_operator {
                continue;
            }
            match check(key, note) {
                Some(Ok(at)) => vouched.cosigners.push((key.clone(), at.unwrap_or(0))),
                Some(Err(why)) => vouched.problems.push(why),
                None => {}
            }
        }
        self.count(vouched);
    }

    /// Settles since when enough witnesses have signed, from those that did.
    pub(crate) fn count(&self, vouched: &mut Vouched) {
        let signed = &vouched.cosigners;
        let time = |key: &VerifierKey| signed.iter().find(|(known, _)| known == key).map(|(_, at)| *at);
        vouched.quorum_missing = false;
        vouched.witnessed_by = signed.iter().map(|(_, at)| *at).filter(|at| *at > 0).min();
        if let Some(policy) = self.policy.as_ref().filter(|policy| policy.asks_for_witnesses()) {
            match policy.quorum(time) {
                Some(at) => vouched.witnessed_by = at.filter(|at| *at > 0),
                None => {
                    vouched.witnessed_by = None;
                    vouched.quorum_missing = true;
                }
            }
        }
        vouched.witnesses = signed.iter().map(|(key, at)| (key.name().to_owned(), *at)).collect();
    }
}

/// Whether two names are those of one operator's logs: alike up to which log it is.
fn same_operator(one: &str, other: &str) -> bool {
    let trunk = |name: &str| {
        let of_log = |log: &&str| name.strip_suffix(*log)?.strip_suffix('/').map(str::to_owned);
        LOGS.iter().find_map(of_log).unwrap_or_else(|| name.to_owned())
    };
    trunk(one) == trunk(other)
}

/// Whether `key` has signed: none if no line claims so.
fn check(key: &VerifierKey, note: &Note) -> Option<Result<Option<u64>, String>> {
    let lines = note.signatures().iter().filter(|line| line.name == key.name() && line.id == key.id());
    let mut answer = None;
    for line in lines {
        match key.verify(note.text(), &line.blob) {
            Ok(at) => answer = Some(Ok(at)),
            Err(error) => return Some(Err(error.to_string())),
        }
    }
    answer
}

/// `name+id`: what a person compares.
#[must_use]
pub fn label(key: &VerifierKey) -> String {
    format!("{}+{}", key.name(), hex::encode(key.id()))
}

fn unique<'a>(keys: impl Iterator<Item = &'a VerifierKey>) -> Vec<&'a VerifierKey> {
    let mut all: Vec<&VerifierKey> = Vec::new();
    for key in keys {
        if !all.contains(&key) {
            all.push(key);
        }
    }
    all
}
