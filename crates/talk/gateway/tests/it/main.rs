//! The gateway from outside: a real spool, a real engine, a scripted upstream, loopback only.

mod answers;
mod fields;
mod outgoing;
mod record;
mod requests;
mod server;
mod streams;
mod support;
