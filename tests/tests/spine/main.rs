//! The spine, driven from outside: the built binaries, real sockets, a mock upstream, and an auditor
//! who has nothing but a bundle and a public key.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test's report")]

mod admin;
mod clock;
mod configured;
mod crash;
mod drain;
mod first_run;
mod full_disk;
mod inspected;
mod leaks;
mod looking;
mod metrics;
mod orders;
mod privacy;
mod proof;
mod refusals;
mod reset;
mod support_bundle;
mod surroundings;
mod unwritable;

use haris_tests::server::config_for;
use haris_tests::{Client, Haris, Mock};

/// A guard with the mock behind it, and a caller.
async fn guarded(more: &str) -> (Mock, Haris, Client) {
    let mock = Mock::start().await;
    let haris = Haris::start(&config_for(&mock, more));
    let client = haris.client("tests");
    (mock, haris, client)
}
