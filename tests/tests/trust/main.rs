//! What an insider can do, and what shows it: each cell of `docs/trust.md`, with the built binaries.
//!
//! The operator here holds everything of the bank's: root, the database, the log's keys. What they do not hold is the
//! witness, which runs in folders of its own, and what an auditor took away.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic here is a failed test's report")]

mod by_hand;
mod changes;
mod database;
mod histories;
mod receipts;
mod support;
mod upgrade;
mod witnesses;
