//! The gateway from outside: a real spool, a real engine, a scripted upstream, loopback only.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod fields;
mod outgoing;
mod places;
mod receipts;
mod record;
mod requests;
mod server;
mod split;
mod streams;
mod support;
