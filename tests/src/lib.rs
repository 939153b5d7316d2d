//! What the end-to-end tests need: a mock upstream that remembers what it was told, the built
//! `haris` binary started on free ports in folders of its own, and a client.
//!
//! Nothing here imports a room of the house: the tests see what a user sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic here is a failed test's report"
)]

pub mod client;
pub mod disk;
pub mod marks;
pub mod server;
pub mod upstream;

pub use client::Client;
pub use disk::SmallDisk;
pub use server::Haris;
pub use upstream::Mock;
