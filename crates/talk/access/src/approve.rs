//! Who may be the second person of a change.

use haris_domain::Timestamp;
use haris_register::{Account, ApprovalRow};

use crate::{Via, Who, role};

/// The permission to be a second person.
const GIVE: &str = "approvals.give";

/// Why somebody cannot be the second person of a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotApprover {
    /// It is over.
    #[error("this change is not waiting any more: it is {state}")]
    Over {
        /// What became of it.
        state: String,
    },
    /// Nobody agreed in time.
    #[error("nobody approved this change in time: it was open until {until}; ask for it again")]
    Expired {
        /// Until when it was open.
        until: Timestamp,
    },
    /// Two people are two people.
    #[error("whoever asked for a change cannot be its second person")]
    Same,
    /// A person whom the requester made is the requester's.
    #[error("whoever asked made your account or gave you a role: somebody else must be the second person")]
    Made,
    /// A role that was given for the occasion.
    #[error("the second person must hold an approving role since before the change was asked for")]
    Late,
    /// The socket is not a person, and a program does not look.
    #[error("a second person approves in the console, in person")]
    NotInPerson,
}

/// Whether `who` may be the second person of `request`.
///
/// # Errors
/// Why not.
pub fn may_approve(who: &Who, accounts: &[Account], request: &ApprovalRow, now: Timestamp) -> Result<(), NotApprover> {
    if request.state != "waiting" {
        return Err(NotApprover::Over { state: request.state.clone() });
    }
    if now >= request.expires {
        return Err(NotApprover::Expired { until: request.expires });
    }
    let (Some(id), Via::Session) = (who.account(), &who.via) else { return Err(NotApprover::NotInPerson) };
    if who.actor.as_str() == request.requested_by {
        return Err(NotApprover::Same);
    }
    let account = accounts.iter().find(|account| account.id == id && account.closed_at.is_none());
    let Some(account) = account else { return Err(NotApprover::NotInPerson) };
    let by_requester = |by: &str| by == request.requested_by;
    if by_requester(&account.created_by) || account.roles.iter().any(|held| by_requester(&held.by)) {
        return Err(NotApprover::Made);
    }
    let approving = |name: &str| role(name).is_some_and(|role| role.permissions.contains(&GIVE));
    if !account.roles.iter().any(|held| approving(&held.role) && held.since < request.requested_at) {
        return Err(NotApprover::Late);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use haris_domain::EventId;
    use haris_register::HeldRole;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn account(id: &str, created_by: &str, roles: &[(&str, i64, &str)]) -> Account {
        let held = |(role, since, by): &(&str, i64, &str)| HeldRole {
            role: (*role).to_owned(),
            since: at(*since),
            by: (*by).to_owned(),
        };
        Account {
            id: id.to_owned(),
            roles: roles.iter().map(held).collect(),
            created_at: at(1),
            created_by: created_by.to_owned(),
            closed_at: None,
            event: String::new(),
        }
    }

    fn who(id: &str) -> Who {
        Who { actor: format!("person:{id}").parse().unwrap(), roles: Vec::new(), via: Via::Session }
    }

    fn request() -> ApprovalRow {
        ApprovalRow {
            id: EventId::new(at(100), [0; 10]),
            operation: "ledger.erase".to_owned(),
            permission: "ledger.erase".to_owned(),
            digest: String::new(),
            requested_by: "person:asks".to_owned(),
            requested_at: at(100),
            expires: at(200),
            state: "waiting".to_owned(),
            decided_by: None,
            decided_at: None,
        }
    }

    #[test]
    fn a_second_person_is_another_whom_the_first_did_not_make() {
        let accounts = [
            account("asks", "local:0", &[("officer", 1, "local:0")]),
            account("deputy", "local:0", &[("deputy", 1, "local:0")]),
            account("made", "person:asks", &[("deputy", 1, "person:other")]),
            account("raised", "person:other", &[("analyst", 1, "person:other"), ("deputy", 2, "person:asks")]),
            account("late", "person:other", &[("deputy", 100, "person:other")]),
            account("analyst", "person:other", &[("analyst", 1, "person:other")]),
        ];
        let may = |id: &str| may_approve(&who(id), &accounts, &request(), at(150));
        assert_eq!(may("deputy"), Ok(()));
        assert_eq!(may("asks"), Err(NotApprover::Same));
        assert_eq!(may("made"), Err(NotApprover::Made));
        assert_eq!(may("raised"), Err(NotApprover::Made));
        assert_eq!(may("late"), Err(NotApprover::Late));
        assert_eq!(may("analyst"), Err(NotApprover::Late));
        assert_eq!(may("nobody"), Err(NotApprover::NotInPerson));
        let expired = may_approve(&who("deputy"), &accounts, &request(), at(200));
        assert_eq!(expired, Err(NotApprover::Expired { until: at(200) }));
        let token = Who { via: Via::Token { scopes: [GIVE.to_owned()].into() }, ..who("deputy") };
        assert_eq!(may_approve(&token, &accounts, &request(), at(150)), Err(NotApprover::NotInPerson));
        let host = may_approve(&Who::host(0), &accounts, &request(), at(150));
        assert_eq!(host, Err(NotApprover::NotInPerson));
        let over = ApprovalRow { state: "approved".to_owned(), ..request() };
        assert!(matches!(may_approve(&who("deputy"), &accounts, &over, at(150)), Err(NotApprover::Over { .. })));
    }
}
