//! Refusals that anybody can cause without end: of whoever gave no key, and of callers whose quota is used up. The
//! ledger must not fill with them.
//!
//! Each source has one event a minute. The first refusal of a minute is recorded at once and says how many before it had
//! no event; what is left when a source falls silent is recorded when its minute is over. Minutes are counted by a clock
//! that nobody sets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use haris_domain::EventId;
use parking_lot::Mutex;

/// A minute.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// Sources that have a count of their own; the rest share one. Whoever owns many addresses fills no memory and no ledger.
const SOURCES_MAX: usize = 256;

/// Who is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Whoever calls from there: of IPv6 the /64 that one customer is given.
    Network(IpAddr),
    /// A caller, by its id.
    Caller(String),
    /// All that came after the first few hundred.
    Others,
}

impl Source {
    pub(crate) fn network(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        })
    }
}

/// Who is refused, and why: the reason is one of a few of our own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    reason: &'static str,
}

#[derive(Debug)]
struct Counted {
    /// The minute of the newest event.
    minute: u64,
    event: EventId,
    /// Refusals since that event.
    more: u64,
    status: u16,
}

/// Counts refusals by source.
#[derive(Debug)]
pub(crate) struct Strangers {
    started: Instant,
    counted: Mutex<HashMap<Key, Counted>>,
}

/// What becomes of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is recorded, and says how many before it were not.
    Record { suppressed: u64 },
    /// It is counted; the event before it stands for it.
    Count { like: EventId },
}

/// Refusals without an event, of a source that has fallen silent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) source: Source,
    pub(crate) reason: &'static str,
    pub(crate) status: u16,
    /// At least one.
    pub(crate) count: u64,
}

impl Strangers {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), counted: Mutex::default() }
    }

    /// The minute that this moment lies in.
    pub(crate) fn minute(&self) -> u64 {
        self.started.elapsed().as_secs() / MINUTE.as_secs()
    }

    /// A refusal in `minute`; `event` is its id if it is recorded.
    pub(crate) fn refused(
        &self,
        source: Source,
        reason: &'static str,
        status: u16,
        minute: u64,
        event: EventId,
    ) -> Refusal {
        let mut counted = self.counted.lock();
        let mut key = Key { source, reason };
        if !counted.contains_key(&key) && counted.len() >= SOURCES_MAX {
            key.source = Source::Others;
        }
        let now = Counted { minute, event, more: 0, status };
        match counted.get_mut(&key) {
            Some(known) if known.minute == minute => {
                known.more += 1;
                Refusal::Count { like: known.event }
            }
            Some(known) => Refusal::Record { suppressed: std::mem::replace(known, now).more },
            None => {
                counted.insert(key, now);
                Refusal::Record { suppressed: 0 }
            }
        }
    }

    /// What is left of minutes before `minute`; those sources are forgotten.
    pub(crate) fn over(&self, minute: u64) -> Vec<Left> {
        let mut left = Vec::new();
        self.counted.lock().retain(|key, counted| {
            let stays = counted.minute >= minute;
            if !stays && counted.more > 0 {
                left.push(Left {
                    source: key.source.clone(),
                    reason: key.reason,
                    status: counted.status,
                    count: counted.more,
                });
            }
            stays
        });
        left
    }
}

#[cfg(test)]
mod tests {
    use haris_domain::Timestamp;

    use super::*;

    fn id(n: u8) -> EventId {
        EventId::new(Timestamp::from_micros(1), [n; 10])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_source_has_one_event_a_minute_and_no_refusal_is_uncounted() {
        let strangers = Strangers::new();
        let refused = |source: &str, minute, n| {
            strangers.refused(Source::network(ip(source)), "unauthenticated", 401, minute, id(n))
        };
        assert_eq!(refused("10.0.0.1", 0, 1), Refusal::Record { suppressed: 0 });
        assert_eq!(refused("10.0.0.1", 0, 2), Refusal::Count { like: id(1) });
        assert_eq!(refused("10.0.0.1", 0, 3), Refusal::Count { like: id(1) });
        assert_eq!(refused("10.0.0.2", 0, 4), Refusal::Record { suppressed: 0 });
        assert_eq!(strangers.over(0), []);
        assert_eq!(refused("10.0.0.1", 1, 5), Refusal::Record { suppressed: 2 });
        assert_eq!(refused("10.0.0.1", 1, 6), Refusal::Count { like: id(5) });
        let left = Left { source: Source::network(ip("10.0.0.1")), reason: "unauthenticated", status: 401, count: 1 };
        assert_eq!(strangers.over(2), [left]);
        assert_eq!(strangers.over(3), []);
        assert!(strangers.counted.lock().is_empty(), "silent sources are forgotten");
    }

    #[test]
    fn many_addresses_are_few_sources() {
        let strangers = Strangers::new();
        let mut events = 0;
        for n in 0..100_000_u32 {
            let v4 = Source::network(IpAddr::from(n.to_be_bytes()));
            let recorded = strangers.refused(v4, "unauthenticated", 401, 0, id(1));
            events += usize::from(matches!(recorded, Refusal::Record { .. }));
        }
        assert_eq!(events, SOURCES_MAX + 1);
        assert_eq!(strangers.counted.lock().len(), SOURCES_MAX + 1);
        let total: u64 = strangers.over(1).iter().map(|left| left.count).sum();
        assert_eq!(total, 100_000 - SOURCES_MAX as u64 - 1);
    }

    #[test]
    fn one_customer_of_ipv6_is_one_source() {
        let network = |text: &str| Source::network(ip(text));
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::9"));
        assert_ne!(network("2001:db8:1:2::9"), network("2001:db8:1:3::9"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
