//! Events that a process owes: a disk without room keeps nobody from starting, and what the start had to record is
//! recorded before anything else of it is, as soon as there is room.

use haris_domain::{Draft, SealedPayload};

use crate::append::Along;
use crate::{AppendError, Ledger};

/// What is owed.
#[derive(Default)]
pub(crate) struct Owed {
    drafts: Vec<(Draft, Vec<SealedPayload>)>,
    why: String,
}

/// Events of this process that could not be recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedEvents {
    /// How many.
    pub count: usize,
    /// Why they could not.
    pub why: String,
}

impl Ledger {
    /// Records an event of the evidence log or, where the disk has no room for it, keeps it: it then goes before the
    /// next event of this process. Only for what says how a process begins; all else is refused without room.
    ///
    /// # Errors
    /// When it cannot be recorded for another reason.
    pub async fn append_or_owe(&self, draft: Draft) -> Result<(), AppendError> {
        let entry = (draft, Vec::new());
        match self.append(vec![entry.clone()]).await {
            Err(error) if haris_store::is_no_room(&error) => {
                let why = crate::error::chain(&error);
                tracing::error!(
                    kind = entry.0.kind.name,
                    why,
                    "no room to record an event: it is recorded when there is"
                );
                let mut owed = self.inner().owed.lock();
                owed.drafts.push(entry);
                owed.why = why;
                Ok(())
            }
            done => done.map(|_| ()),
        }
    }

    /// Records what is owed, if there is room by now.
    ///
    /// # Errors
    /// When there is none, or it cannot be recorded for another reason.
    pub async fn pay_owed(&self) -> Result<(), AppendError> {
        self.append_along(&[], Along::Nothing).await.map(|_| ())
    }

    /// What is owed, if anything is.
    #[must_use]
    pub fn owed(&self) -> Option<OwedEvents> {
        let owed = self.inner().owed.lock();
        (!owed.drafts.is_empty()).then(|| OwedEvents { count: owed.drafts.len(), why: owed.why.clone() })
    }

    pub(crate) fn owed_drafts(&self) -> Vec<(Draft, Vec<SealedPayload>)> {
        self.inner().owed.lock().drafts.clone()
    }

    /// The first `count` of them are on record.
    pub(crate) fn paid(&self, count: usize) {
        self.inner().owed.lock().drafts.drain(..count);
    }
}
