//! Policy: what was seen and a compiled policy in, a decision out.
//!
//! Pure, so that the gateway, `haris inspect`, a dry run and a replay decide alike. A policy is
//! compiled once from settings: unknown rules, verdicts and upstreams are errors then, and nothing
//! is looked up by text while traffic waits. Its version is the digest of everything it was
//! compiled from; every decision names it.

mod pattern;
mod route;
mod settings;
mod verdicts;

pub use pattern::{BadPattern, Pattern};
pub use route::{BadPolicy, Environment, OnAuditFailure, OnUnknown, OnWitnessLag, Policy, Route, UpstreamFacts};
pub use settings::RouteSettings;
pub use verdicts::{Direction, Verdicts};
