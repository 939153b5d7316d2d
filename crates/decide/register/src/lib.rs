//! The register: tables folded from events, and the questions they answer.
//!
//! Every table here can be thrown away and made again from the ledger. The one exception is the
//! hash of a caller's key, which no event may carry; it lies beside the fold and means nothing
//! without it.

mod accounts;
mod alerts;
mod approvals;
mod callers;
mod decode;
mod interactions;
mod tokens;
mod traffic;

pub use accounts::{Account, Accounts, HeldRole, account, accounts};
pub use alerts::{AlertRow, Alerts, alert_known, alerts_open, alerts_recent};
pub use approvals::{ApprovalRow, Approvals, approval, approvals};
pub use callers::{Caller, Callers, Credential, callers, credentials, forget_credential, put_credential};
pub use interactions::{Interactions, OpenRequest, open_requests, response_of};
pub use tokens::{Token, Tokens, token, tokens};
pub use traffic::{By, HourCount, Traffic, traffic_hours, traffic_top};
