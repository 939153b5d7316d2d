//! Routes as a person writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One `[[routes]]` table of the configuration. Words are checked when the policy is compiled.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// Named in every decision.
    pub name: String,
    /// Model patterns; the first route that matches a request's model wins.
    pub models: Vec<String>,
    /// Which upstream answers.
    pub upstream: String,
    /// What is kept of texts: `none`, `redacted` (default) or `full`.
    #[serde(default)]
    pub store: Option<String>,
    /// How many days payloads are kept; default 90.
    #[serde(default)]
    pub retain_days: Option<u32>,
    /// Fields that the protocol does not know: `refuse` (default) or `record`.
    #[serde(default)]
    pub unknown_fields: Option<String>,
    /// Images, audio and files, which are not scanned: `record` (default) or `refuse`.
    #[serde(default)]
    pub media: Option<String>,
    /// When an event cannot be made durable: `refuse` (default), or `dangerously_allow`.
    #[serde(default)]
    pub on_audit_failure: Option<String>,
    /// When witnesses have not cosigned for too long: `allow` (default), or `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_witness_lag: Option<String>,
    /// Verdicts on what callers send, by kind or rule id.
    #[serde(default)]
    pub request: BTreeMap<String, String>,
    /// Verdicts on what models answer, by kind or rule id.
    #[serde(default)]
    pub answer: BTreeMap<String, String>,
}
