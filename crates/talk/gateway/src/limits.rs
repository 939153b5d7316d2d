//! Every bound of the gateway, in one place, with its reason.

use std::time::Duration;

/// Bounds on what one caller, one request and the whole gateway may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request's target and the names and values of its headers together. Past it: 431.
    pub header_bytes: usize,
    /// From the first byte of a request to the end of its headers, and how long a kept-alive
    /// connection may idle: a client that trickles headers holds a slot no longer.
    pub header_read: Duration,
    /// A request's body. Past it: 413.
    pub body_bytes: usize,
    /// From the end of the headers to the end of the body. Past it: 408.
    pub body_read: Duration,
    /// Arrays and objects inside each other, in requests and answers. Past it: 400.
    pub json_depth: usize,
    /// Values in one request or answer: a small body must not become a large tree.
    pub json_values: usize,
    /// An upstream's answer after decompression, plain or stream. Past it: 502, or the stream ends.
    pub answer_bytes: usize,
    /// One event of an upstream's stream.
    pub sse_event_bytes: usize,
    /// To reach the upstream: TCP, proxy and TLS.
    pub connect: Duration,
    /// From sending the request to the head of the answer. Past it: 504.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// The whole exchange with the upstream.
    pub total: Duration,
    /// How long a client may take no byte of what is ready for it before the connection is closed.
    pub client_stall: Duration,
    /// After a block in a stream the caller waits at most this long while the rest of the answer
    /// is read, so that the record names everything the model wrote. Then the upstream is cancelled.
    pub after_block: Duration,
    /// Requests of one caller at the same time. Past it: 429 with `Retry-After`.
    pub caller_requests: usize,
    /// Of those, streams.
    pub caller_streams: usize,
    /// Open connections; further ones wait in the listener's queue.
    pub connections: usize,
    /// Bodies and answers in memory, all requests together. Past it: 503 with `Retry-After`.
    pub buffered_bytes: usize,
    /// Refusals of unauthenticated requests that become events, per second for the whole gateway;
    /// the rest are counted in the next one. Nobody without a key can fill the ledger.
    pub refusals_per_second: u32,
    /// How long open requests may go on after the shutdown began. What is still open then is
    /// recorded as interrupted.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 << 10,
            header_read: Duration::from_secs(30),
            // Room for a few images; a prompt of a million tokens has about 4 MB.
            body_bytes: 8 << 20,
            body_read: Duration::from_secs(30),
            // JSON schemas of real tools nest less than 20 deep.
            json_depth: 64,
            // Log probabilities of a long answer with all their alternatives.
            json_values: 500_000,
            // 100 embeddings of 3,072 numbers have about 4 MB.
            answer_bytes: 16 << 20,
            sse_event_bytes: 1 << 20,
            connect: Duration::from_secs(10),
            // Reasoning models think for minutes before the first token.
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(120),
            // Official clients give up after ten minutes.
            total: Duration::from_secs(600),
            client_stall: Duration::from_secs(30),
            after_block: Duration::from_secs(2),
            caller_requests: 256,
            caller_streams: 128,
            connections: 4096,
            buffered_bytes: 256 << 20,
            refusals_per_second: 10,
            drain: Duration::from_secs(25),
        }
    }
}
