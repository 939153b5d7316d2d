//! The typed operations: what a person or a program can ask Haris to do.
//!
//! All doors call these: the Unix socket today, API and console later. An operation carries all
//! that a door needs: input and answer types, the permission it takes, whether a second person must
//! approve, and the kinds of event it writes. One operation is one struct and one line in
//! [`OPERATIONS`].

mod account;
mod alert_operations;
mod alerts;
mod approvals;
mod callers;
mod context;
mod disk;
mod erasure;
mod events;
mod evidence;
mod operation;
mod people;
mod refusal;
mod reserve;
mod status;
mod tables;
mod vitals;
mod watch;
mod why;

pub use account::{
    AccountAnswer, EndSession, Ended, IssueToken, IssueTokenInput, IssuedTokenAnswer, RevokeToken, SessionAnswer,
    SessionInput, ShowAccount, TokenAnswer, TokenInput,
};
pub use alert_operations::{AcknowledgeAlert, AcknowledgeInput, Acknowledged, AlertsAnswer, AlertsInput, ListAlerts};
pub use alerts::{ALERTS, Alert, AlertAnswer, Case, Holding, Lasts, holding};
pub use approvals::{
    ApprovalAnswer, ApprovalInput, ApprovalsAnswer, GiveApproval, GiveInput, GivenApproval, ListApprovals,
    RefuseApproval, RefusedApproval, ShowApproval, ShownApproval, StandIn,
};
pub use callers::{
    AddCaller, AddCallerInput, AddedCaller, CallerAnswer, CallersAnswer, ListCallers, RevokeCaller, RevokeCallerInput,
    RevokedCaller,
};
pub use context::{Context, Gateway, GatewayStatus};
pub use disk::{RecoverDisk, RecoveredDisk};
pub use erasure::{
    EraseAnswer, EraseEvents, EraseInput, HoldAnswer, HoldInput, HoldsAnswer, LiftAnswer, LiftHold, LiftInput,
    ListHolds, PlaceHold, PlacedHold,
};
pub use events::{
    EventAnswer, EventsAnswer, EventsInput, ListEvents, RevealAnswer, RevealEvent, RevealInput, ShowEvent, ShowInput,
};
pub use evidence::{CheckLedger, ExportAnswer, ExportEvidence, ExportInput, clear_outgoing};
pub use haris_domain::{Approval, OperationMeta};
pub use operation::{Entry, OPERATIONS, Operation, perform};
pub use people::{
    AddPerson, AddPersonInput, ChangePerson, ChangePersonInput, ClosePerson, InvitationAnswer, InvitePerson,
    ListPeople, PeopleAnswer, PersonAnswer, PersonChanged, PersonInput, RescuePerson,
};
pub use refusal::{Refusal, RefusalCode};
pub use reserve::Reserve;
pub use status::{DiskAnswer, LedgerAnswer, LogAnswer, ShowStatus, SpoolAnswer, StatusAnswer};
pub use tables::{RebuildInput, RebuildTables};
pub use vitals::{ClockStep, ProcessAnswer, UncleanPrevious, Vitals};
pub use watch::{Watch, Watched};
pub use why::{WhyAnswer, why};
