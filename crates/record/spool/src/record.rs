//! An event and its payloads as one run of bytes: a frame's body.
//!
//! The leaf's bytes are carried as they are. Its id, its kind and what it says of its payloads stand beside it once
//! more, so that shipping needs no JSON parser; both are covered by one checksum and were written by one process.
//!
//! | bytes | |
//! |---|---|
//! | 16 | event id |
//! | 2 + k | kind |
//! | 4 + l | leaf |
//! | 2 | number of payloads |
//! | | for each: name (2 + …), commit (32), key (2 + …), bytes (8), stored (1), source commit (1, then 32 if 1), wrapped key (2 + …), ciphertext (4 + …) |
//!
//! Integers are little-endian; `2 + …` is a length and that many bytes.

use haris_domain::{EventId, Leaf, PayloadRef, SealedPayload, Stored, kind};

/// An event with its payloads, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The event's final bytes.
    pub leaf: Leaf,
    /// Its payloads, in the order of the leaf.
    pub payloads: Vec<SealedPayload>,
}

/// More payloads than this in one event is a mistake.
const PAYLOADS_MAX: usize = 64;

/// What has no place in a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong(pub(crate) &'static str);

/// Why a body is no record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotRecord {
    Malformed,
    UnknownKind(String),
}

/// Writes the payloads' part: everything after the leaf. Needs no lock, unlike the leaf.
pub(crate) fn encode_payloads(payloads: &[SealedPayload], out: &mut Vec<u8>) -> Result<(), TooLong> {
    if payloads.len() > PAYLOADS_MAX {
        return Err(TooLong("list of payloads"));
    }
    short(payloads.len(), "list of payloads", out)?;
    for payload in payloads {
        let reference = &payload.reference;
        run(reference.name.as_bytes(), "payload's name", out)?;
        out.extend_from_slice(&reference.commit);
        run(reference.key.as_bytes(), "payload's key id", out)?;
        out.extend_from_slice(&reference.bytes.to_le_bytes());
        out.push(match reference.stored {
            Stored::Full => 0,
            Stored::Redacted => 1,
            Stored::None => 2,
        });
        out.push(u8::from(reference.source_commit.is_some()));
        out.extend_from_slice(reference.source_commit.as_ref().map_or(&[][..], |commit| commit));
        run(&payload.wrapped_key, "payload's wrapped key", out)?;
        long(&payload.ciphertext, "payload", out)?;
    }
    Ok(())
}

/// Writes a whole body. `payloads` is what [`encode_payloads`] wrote.
pub(crate) fn encode(leaf: &Leaf, payloads: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    out.extend_from_slice(leaf.id.as_bytes());
    run(leaf.kind.name.as_bytes(), "kind", out)?;
    long(&leaf.bytes, "leaf", out)?;
    out.extend_from_slice(payloads);
    Ok(())
}

fn short(count: usize, what: &'static str, out: &mut Vec<u8>) -> Result<(), TooLong> {
    out.extend_from_slice(&u16::try_from(count).map_err(|_| TooLong(what))?.to_le_bytes());
    Ok(())
}

fn run(bytes: &[u8], what: &'static str, out: &mut Vec<u8>) -> Result<(), TooLong> {
    short(bytes.len(), what, out)?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn long(bytes: &[u8], what: &'static str, out: &mut Vec<u8>) -> Result<(), TooLong> {
    out.extend_from_slice(&u32::try_from(bytes.len()).map_err(|_| TooLong(what))?.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Reads a body. Allocates no more than the body's own length, whatever it claims.
pub(crate) fn decode(body: &[u8]) -> Result<Record, NotRecord> {
    let mut rest = Rest(body);
    let id = rest.array().and_then(EventId::from_bytes).ok_or(NotRecord::Malformed)?;
    let name = rest.run().and_then(|name| std::str::from_utf8(name).ok()).ok_or(NotRecord::Malformed)?;
    let kind = kind::find(name).ok_or_else(|| NotRecord::UnknownKind(name.chars().take(64).collect()))?;
    (|| {
        let bytes = rest.long()?.to_vec();
        let count = usize::from(rest.short()?);
        if count > PAYLOADS_MAX {
            return None;
        }
        let payloads = (0..count).map(|_| payload(&mut rest)).collect::<Option<Vec<_>>>()?;
        rest.0.is_empty().then_some(Record { leaf: Leaf { id, kind, bytes }, payloads })
    })()
    .ok_or(NotRecord::Malformed)
}

fn payload(rest: &mut Rest<'_>) -> Option<SealedPayload> {
    let name = rest.text()?;
    let commit = rest.array()?;
    let key = rest.text()?;
    let bytes = u64::from_le_bytes(rest.array()?);
    let stored = match rest.take(1)? {
        [0] => Stored::Full,
        [1] => Stored::Redacted,
        [2] => Stored::None,
        _ => return None,
    };
    let source_commit = match rest.take(1)? {
        [0] => None,
        [1] => Some(rest.array()?),
        _ => return None,
    };
    let wrapped_key = rest.run()?.to_vec();
    let ciphertext = rest.long()?.to_vec();
    let reference = PayloadRef { name, commit, key, bytes, stored, source_commit };
    Some(SealedPayload { reference, wrapped_key, ciphertext })
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn run(&mut self) -> Option<&'a [u8]> {
        let count = self.short()?;
        self.take(usize::from(count))
    }

    fn text(&mut self) -> Option<String> {
        self.run().and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let count = self.array().map(u32::from_le_bytes)?;
        self.take(usize::try_from(count).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use haris_domain::{Actor, Draft, Source, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn any_payload() -> impl Strategy<Value = SealedPayload> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..80);
        (any::<String>(), any::<[u8; 32]>(), any::<Option<[u8; 32]>>(), 0..3_usize, 0..1_u64 << 53, bytes(), bytes())
            .prop_map(|(name, commit, source_commit, stored, bytes, wrapped_key, ciphertext)| SealedPayload {
                reference: PayloadRef {
                    key: format!("day:{name}"),
                    name,
                    commit,
                    bytes,
                    stored: [Stored::Full, Stored::Redacted, Stored::None][stored],
                    source_commit,
                },
                wrapped_key,
                ciphertext,
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(payloads in prop::collection::vec(any_payload(), 0..4), n in 1..1000_u64) {
            let at = Timestamp::from_micros(1_800_000_000_000_000);
            let draft = Draft::new(&kind::REQUEST_DECIDED, at, Actor::service("gateway"));
            let references: Vec<_> = payloads.iter().map(|p| p.reference.clone()).collect();
            let leaf = draft.stamp(&Source { node: "n".into(), boot: "b".into(), n }, &references).unwrap();
            let (mut tail, mut body) = (Vec::new(), Vec::new());
            encode_payloads(&payloads, &mut tail).unwrap();
            encode(&leaf, &tail, &mut body).unwrap();
            prop_assert_eq!(decode(&body), Ok(Record { leaf, payloads }));
            for end in 0..body.len() {
                prop_assert!(decode(&body[..end]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&body);
        }
    }
}
