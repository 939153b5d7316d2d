//! C2SP tlog-policy: which logs and witnesses a verifier believes, and how many of them it wants.

use crate::key::{KeyKind, VerifierKey};

/// Longest policy that is read. The specification asks for at least 32 logs, 32 witnesses and 32 groups; an ML-DSA
/// key has about 1,800 characters.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Most logs, witnesses and groups, each.
const EACH_MAX: usize = 256;

/// Names are opaque bytes: a policy's meaning must not depend on a Unicode version.
type Name = Vec<u8>;

/// A verifier's policy.
#[derive(Clone, Debug)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
    members: Vec<(Name, Member)>,
    /// Index into `members`; none for `quorum none`.
    quorum: Option<usize>,
}

#[derive(Clone, Debug)]
enum Member {
    /// Index into `witnesses`.
    Witness(usize),
    /// At least `threshold` of these, which stand before it in `members`.
    Group { threshold: usize, of: Vec<usize> },
}

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the policy: {why}")]
pub struct BadPolicy {
    /// Which line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong with it, and what it should be.
    pub why: String,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// When it is not one, naming the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPolicy> {
        let whole = |why: &str| BadPolicy { line: 0, why: why.to_owned() };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(whole("longer than a policy may be"));
        }
        let mut policy = Self { logs: Vec::new(), witnesses: Vec::new(), members: Vec::new(), quorum: None };
        let mut quorum_seen = false;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let bad = |why: String| BadPolicy { line: index + 1, why };
            if line.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
                return Err(bad("has a control character".to_owned()));
            }
            let words: Vec<&[u8]> =
                line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [word, ..] if word.starts_with(b"#") => {}
                [b"log", key] | [b"log", key, _] => policy.log(key).map_err(bad)?,
                [b"witness", name, key] | [b"witness", name, key, _] => policy.witness(name, key).map_err(bad)?,
                [b"group", name, threshold, of @ ..] => policy.group(name, threshold, of).map_err(bad)?,
                [b"quorum", name] if !quorum_seen => {
                    quorum_seen = true;
                    policy.quorum = match *name {
                        b"none" => None,
                        name => Some(policy.member(name).map_err(bad)?),
                    };
                }
                [b"quorum", ..] => return Err(bad("there is one `quorum <name|none>` line".to_owned())),
                _ => {
                    return Err(bad(
                        "is none of `log`, `witness`, `group` and `quorum`, or has too few words".to_owned()
                    ));
                }
            }
        }
        if quorum_seen {
            Ok(policy)
        } else {
            Err(whole("has no `quorum` line; write `quorum none` to ask for no witness"))
        }
    }

    /// Keys of the logs that are believed.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Keys of the witnesses that are believed.
    #[must_use]
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// Whether any witness is asked for.
    #[must_use]
    pub fn asks_for_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Whether the witnesses for which `signed` answers a time make up the quorum, and if so from which moment on
    /// they did: the earliest time at which enough of them had signed. `Some(None)` when no witness is asked for.
    #[must_use]
    pub fn quorum(&self, signed: impl Fn(&VerifierKey) -> Option<u64>) -> Option<Option<u64>> {
        let Some(quorum) = self.quorum else { return Some(None) };
        // A group refers to members before it only, so one pass settles all.
        let mut met: Vec<Option<u64>> = Vec::with_capacity(self.members.len());
        for (_, member) in &self.members {
            met.push(match member {
                Member::Witness(at) => self.witnesses.get(*at).and_then(&signed),
                Member::Group { threshold, of } => {
                    let mut times: Vec<u64> = of.iter().filter_map(|at| met.get(*at).copied().flatten()).collect();
                    times.sort_unstable();
                    times.get(threshold - 1).copied()
                }
            });
        }
        met.get(quorum).copied().flatten().map(Some)
    }

    fn log(&mut self, key: &[u8]) -> Result<(), String> {
        let key = parse_key(key, &[KeyKind::Ed25519, KeyKind::CosignatureMlDsa44], "a log's key is of type 01 or 06")?;
        // One operator's logs may share a key under their several names; logs are believed, never counted.
        add_key(&mut self.logs, key, |known, key| known == key)
    }

    fn witness(&mut self, name: &[u8], key: &[u8]) -> Result<(), String> {
        let kinds = [KeyKind::CosignatureEd25519, KeyKind::CosignatureMlDsa44];
        let key = parse_key(key, &kinds, "a witness's key is of type 04 or 06")?;
        // The same key under another name is the same party: it must not count twice.
        add_key(&mut self.witnesses, key, |known, key| known.public_key() == key.public_key())?;
        self.define(name, Member::Witness(self.witnesses.len() - 1))
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], of: &[&[u8]]) -> Result<(), String> {
        let members = of.iter().map(|name| self.member(name)).collect::<Result<Vec<_>, _>>()?;
        let taken = self.members.iter().filter_map(|(_, member)| match member {
            Member::Group { of, .. } => Some(of),
            Member::Witness(_) => None,
        });
        let mut seen: Vec<usize> = taken.flatten().copied().collect();
        for (at, name) in members.iter().zip(of) {
            if seen.contains(at) {
                return Err(format!("`{}` is a member already; each name counts once", show(name)));
            }
            seen.push(*at);
        }
        let threshold = match threshold {
            b"all" => members.len(),
            b"any" => 1,
            number => std::str::from_utf8(number)
                .ok()
                .and_then(crate::text::decimal)
                .and_then(|k| usize::try_from(k).ok())
                .unwrap_or(0),
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err("a group is `all`, `any` or a number of its members, of which it has at least one".to_owned());
        }
        self.define(name, Member::Group { threshold, of: members })
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), String> {
        if name == b"none" || self.members.iter().any(|(known, _)| known == name) {
            return Err(format!("`{}` is taken", show(name)));
        }
        if self.members.len() >= 2 * EACH_MAX {
            return Err(format!("more than {EACH_MAX} witnesses and groups"));
        }
        self.members.push((name.to_vec(), member));
        Ok(())
    }

    fn member(&self, name: &[u8]) -> Result<usize, String> {
        let unknown = || format!("`{}` is not defined on a line before this one", show(name));
        self.members.iter().position(|(known, _)| known == name).ok_or_else(unknown)
    }
}

fn parse_key(text: &[u8], kinds: &[KeyKind], otherwise: &str) -> Result<VerifierKey, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the key is not a verifier key".to_owned())?;
    let key: VerifierKey = text.parse().map_err(|error: crate::key::BadKey| error.to_string())?;
    if kinds.contains(&key.kind()) { Ok(key) } else { Err(otherwise.to_owned()) }
}

fn add_key(
    keys: &mut Vec<VerifierKey>,
    key: VerifierKey,
    same: impl Fn(&VerifierKey, &VerifierKey) -> bool,
) -> Result<(), String> {
    if keys.iter().any(|known| same(known, &key)) {
        return Err(format!("the key of `{}` is there already", key.name()));
    }
    if keys.len() >= EACH_MAX {
        return Err(format!("more than {EACH_MAX} keys of a sort"));
    }
    keys.push(key);
    Ok(())
}

fn show(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(64).collect()
}
