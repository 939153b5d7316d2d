//! Why an operation was not carried out, in words for whoever asked.

use haris_access::{AccessError, BadScopes, LogInError};
use haris_ledger::{AppendError, EraseError, ReadError};
use serde::{Deserialize, Serialize};

/// What kind of refusal it is: doors turn it into exit codes and HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The input is wrong.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// It contradicts what is so: the name is taken, a hold covers it.
    Conflict,
    /// The caller may not.
    Forbidden,
    /// It waits for a second person.
    Waiting,
    /// Not possible at this moment.
    Unavailable,
    /// Something is broken here.
    Internal,
}

/// An operation that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal in the operation's own words.
    #[must_use]
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input is wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Invalid, message)
    }

    /// What it names does not exist.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::NotFound, message)
    }

    /// Something failed here: the whole chain of causes, for whoever runs the machine.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(RefusalCode::Internal, chain(error))
    }
}

/// An error and everything that led to it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::internal(&error)
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::internal(&error)
    }
}

impl From<EraseError> for Refusal {
    fn from(error: EraseError) -> Self {
        let code = match &error {
            EraseError::Held { .. } => RefusalCode::Conflict,
            EraseError::Nothing | EraseError::NoEvent { .. } | EraseError::NoHold { .. } => RefusalCode::NotFound,
            EraseError::LegalBasis | EraseError::Future { .. } | EraseError::HoldEvents { .. } => RefusalCode::Invalid,
            EraseError::HoldsChanging | EraseError::NotSealed => RefusalCode::Unavailable,
            _ => RefusalCode::Internal,
        };
        Self::new(code, chain(&error))
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::NoDayKey => Self::new(RefusalCode::Unavailable, error.to_string()),
            error => Self::internal(&error),
        }
    }
}

impl From<LogInError> for Refusal {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::Access(error) => error.into(),
            LogInError::Wrong => {
                Self::new(RefusalCode::Forbidden, "the one-time code is not right, or was used already")
            }
            error @ LogInError::Wait { .. } => Self::new(RefusalCode::Unavailable, error.to_string()),
        }
    }
}

impl From<BadScopes> for Refusal {
    fn from(error: BadScopes) -> Self {
        match error {
            BadScopes::Access(error) => error.into(),
            error @ BadScopes::Beyond { .. } => Self::new(RefusalCode::Forbidden, error.to_string()),
            error => Self::invalid(error.to_string()),
        }
    }
}
