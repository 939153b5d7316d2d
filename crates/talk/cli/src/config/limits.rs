//! `[limits]`: every bound of the gateway that a person may move.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use haris_gateway::Limits;
use serde::{Deserialize, Serialize};

/// A limit, as the reference shows it.
pub(super) struct Limit {
    pub(super) key: &'static str,
    pub(super) meaning: &'static str,
    /// Its value in bytes, seconds or pieces.
    pub(super) value: fn(&Limits) -> u64,
}

/// A bound as a number.
trait Plain {
    fn plain(self) -> u64;
}

impl Plain for usize {
    fn plain(self) -> u64 {
        self as u64
    }
}

impl Plain for u64 {
    fn plain(self) -> u64 {
        self
    }
}

impl Plain for Duration {
    fn plain(self) -> u64 {
        self.as_secs()
    }
}

macro_rules! limit_settings {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty => $field:ident $convert:expr;)*) => {
        /// Bounds, in bytes, seconds and counts. What is not given keeps its default.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct LimitSettings {
            $($(#[doc = $doc])* $name: Option<$type>,)*
        }

        /// Every limit with its default.
        pub(super) const LIMITS: &[Limit] = &[$(Limit {
            key: stringify!($name),
            meaning: concat!($($doc),*),
            value: |limits| Plain::plain(limits.$field),
        },)*];

        impl LimitSettings {
            pub(crate) fn apply(&self) -> Limits {
                let mut limits = Limits::default();
                $(if let Some(value) = self.$name { limits.$field = $convert(value); })*
                limits
            }
        }
    };
}

limit_settings! {
    /// A request's headers.
    header_bytes: NonZeroUsize => header_bytes NonZeroUsize::get;
    /// From a request's first byte to the end of its headers.
    header_read_seconds: NonZeroU64 => header_read seconds;
    /// A request's body.
    body_bytes: NonZeroUsize => body_bytes NonZeroUsize::get;
    /// From the end of the headers to the end of the body.
    body_read_seconds: NonZeroU64 => body_read seconds;
    /// Arrays and objects inside each other.
    json_depth: NonZeroUsize => json_depth NonZeroUsize::get;
    /// An answer after decompression.
    answer_bytes: NonZeroUsize => answer_bytes NonZeroUsize::get;
    /// To reach an upstream.
    connect_seconds: NonZeroU64 => connect seconds;
    /// From sending a request to the head of its answer.
    first_byte_seconds: NonZeroU64 => first_byte seconds;
    /// Between two pieces of an answer.
    idle_seconds: NonZeroU64 => idle seconds;
    /// The whole exchange with an upstream.
    total_seconds: NonZeroU64 => total seconds;
    /// How long a client may take nothing of what is ready for it.
    client_stall_seconds: NonZeroU64 => client_stall seconds;
    /// Requests of one caller at the same time.
    caller_requests: NonZeroUsize => caller_requests NonZeroUsize::get;
    /// Of those, streams.
    caller_streams: NonZeroUsize => caller_streams NonZeroUsize::get;
    /// Events and payloads stored for one caller in 24 hours, then 429; counted anew at a start.
    caller_stored_bytes: NonZeroU64 => caller_stored_bytes NonZeroU64::get;
    /// Open connections.
    connections: NonZeroUsize => connections NonZeroUsize::get;
    /// Bodies and answers in memory.
    buffered_bytes: NonZeroUsize => buffered_bytes NonZeroUsize::get;
    /// How long open requests may go on after a stop was asked for.
    drain_seconds: u64 => drain Duration::from_secs;
}

fn seconds(count: NonZeroU64) -> Duration {
    Duration::from_secs(count.get())
}
