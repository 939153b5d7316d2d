//! Ids that live in ledgers: events and actors.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Timestamp;

/// A UUIDv7, made where the event is born.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id for an event born at `at`, with 74 bits from `random` (RFC 9562 section 5.7).
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.micros().div_euclid(1000)).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// A new id with the operating system's randomness.
    #[must_use]
    pub fn now(at: Timestamp) -> Self {
        let mut random = [0; 10];
        random.copy_from_slice(&Uuid::new_v4().as_bytes()[6..]);
        // A v4 UUID has six fixed bits; take the ones at bytes 6 and 8 from elsewhere in another.
        let more = Uuid::new_v4();
        random[0] = more.as_bytes()[0];
        random[2] = more.as_bytes()[1];
        Self::new(at, random)
    }

    /// The id with these 16 bytes, if they are a version 7 id.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let id = Uuid::from_bytes(bytes);
        (id.get_version_num() == 7).then_some(Self(id))
    }

    /// The 16 bytes, for associated data and keys of maps.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// An event id that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{given}` is not an event id; one looks like 019ab3c1-5c4e-7d2a-9f00-3f6f0a4b1c22")]
pub struct BadEventId {
    given: String,
}

impl FromStr for EventId {
    type Err = BadEventId;

    /// Only the hyphenated lower-case form: an id is compared as text in many places.
    fn from_str(s: &str) -> Result<Self, BadEventId> {
        let bad = || BadEventId { given: s.chars().take(64).collect() };
        let id = Uuid::try_parse(s).map_err(|_| bad())?;
        (id.get_version_num() == 7 && id.hyphenated().to_string() == s).then_some(Self(id)).ok_or_else(bad)
    }
}

/// Who acted, as an opaque id: `caller:…`, `person:…`, `service:…`, `local:…`.
///
/// A leaf holds no personal data, so an actor never carries a name: callers and persons have ids
/// that mean something only beside tables that can forget. `local:` is a uid on the Unix socket,
/// which is not a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor(String);

const ACTOR_KINDS: [&str; 4] = ["caller:", "person:", "service:", "local:"];

/// Longer ids than this are somebody's text, not an id.
const ACTOR_BYTES_MAX: usize = 128;

impl Actor {
    /// An application that calls the gateway.
    #[must_use]
    pub fn caller(id: &str) -> Self {
        Self(format!("caller:{id}"))
    }

    /// A person with an account.
    #[must_use]
    pub fn person(account: &str) -> Self {
        Self(format!("person:{account}"))
    }

    /// A part of Haris itself.
    #[must_use]
    pub fn service(name: &'static str) -> Self {
        Self(format!("service:{name}"))
    }

    /// A user id of this machine, seen on the Unix socket.
    #[must_use]
    pub fn local(uid: u32) -> Self {
        Self(format!("local:{uid}"))
    }

    /// The whole id, kind included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An actor that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an actor is caller:, person:, service: or local: and an id of letters, digits, `-`, `_` or `.`")]
pub struct BadActor;

impl FromStr for Actor {
    type Err = BadActor;

    fn from_str(s: &str) -> Result<Self, BadActor> {
        let id = ACTOR_KINDS.iter().find_map(|kind| s.strip_prefix(kind)).ok_or(BadActor)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        (!id.is_empty() && s.len() <= ACTOR_BYTES_MAX && id.bytes().all(plain))
            .then(|| Self(s.to_owned()))
            .ok_or(BadActor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_version_7_and_sort_by_time() {
        let early = EventId::now(Timestamp::from_micros(1_000_000));
        let late = EventId::now(Timestamp::from_micros(2_000_000));
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(EventId::from_bytes(*early.as_bytes()), Some(early));
        assert_eq!(EventId::from_bytes([0; 16]), None);
        assert_ne!(EventId::now(Timestamp::from_micros(5)), EventId::now(Timestamp::from_micros(5)));
    }

    #[test]
    fn other_spellings_of_an_id_are_refused() {
        let id = EventId::now(Timestamp::from_micros(1_000_000)).to_string();
        assert!(id.to_uppercase().parse::<EventId>().is_err());
        assert!(id.replace('-', "").parse::<EventId>().is_err());
        assert!("67e55044-10b1-426f-9247-bb680e5fe0c8".parse::<EventId>().is_err(), "version 4");
    }

    #[test]
    fn actors_have_a_kind_and_no_prose() {
        assert!("caller:c_1".parse::<Actor>().is_ok());
        for bad in ["", "caller:", "Fatima", "person:Fatima Al-Thani", "root:0"] {
            assert_eq!(bad.parse::<Actor>(), Err(BadActor), "{bad}");
        }
    }
}
