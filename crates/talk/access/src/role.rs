//! Roles: what each may do, and which no one person holds together. One table, for people to read.
//!
//! A permission is `subject.verb`, as operations name it. Reading content is a permission apart from reading about it:
//! whoever runs the machine sees no content, and an auditor sees everything but payloads.

/// A role that an account can hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Role {
    /// Stable public name.
    pub name: &'static str,
    /// As a page shows it.
    pub title: &'static str,
    /// What it is for.
    pub tells: &'static str,
    /// What it may do.
    pub permissions: &'static [&'static str],
    /// Roles that nobody holds beside it, whichever of the two names the other.
    pub conflicts: &'static [&'static str],
}

/// What every account may do, whatever its roles: look after itself, and see how Haris is.
pub const EVERYBODY: &[&str] = &["account.own", "status.read"];

/// What the administration socket may still do once there is an officer: run the machine. What shows content, destroys,
/// or decides who may what, takes a person.
pub const HOST: &[&str] = &[
    "alerts.read",
    "alerts.write",
    "approvals.read",
    "backup.make",
    "callers.read",
    "callers.write",
    "disk.write",
    "events.read",
    "keys.read",
    "keys.rotate",
    "ledger.read",
    "people.read",
    "people.rescue",
    "status.read",
    "tables.rebuild",
];

const OFFICER: &[&str] = &[
    "alerts.read",
    "alerts.write",
    "approvals.give",
    "approvals.read",
    "backup.make",
    "callers.read",
    "callers.write",
    "disk.write",
    "events.read",
    "events.reveal",
    "keys.read",
    "keys.rotate",
    "ledger.export",
    "ledger.hold",
    "ledger.prune",
    "ledger.read",
    "people.read",
    "people.write",
    "tables.rebuild",
];

/// All roles, in the order in which a page lists them.
pub const ROLES: &[Role] = &[
    Role {
        name: "officer",
        title: "AI security officer",
        tells: "accountable for the guard: policy, people, evidence",
        permissions: OFFICER,
        conflicts: &["deputy", "operator", "auditor", "dpo"],
    },
    Role {
        name: "deputy",
        title: "Deputy officer",
        tells: "the officer's second person, with the same reach",
        permissions: OFFICER,
        conflicts: &["operator", "auditor", "dpo"],
    },
    Role {
        name: "analyst",
        title: "Analyst",
        tells: "works alerts and investigations, content included, each reveal with a reason",
        permissions: &[
            "alerts.read",
            "alerts.write",
            "callers.read",
            "events.read",
            "events.reveal",
            "ledger.export",
            "ledger.read",
        ],
        conflicts: &["operator", "auditor", "dpo"],
    },
    Role {
        name: "operator",
        title: "Operator",
        tells: "runs the machine and sees no content",
        permissions: &[
            "alerts.read",
            "alerts.write",
            "backup.make",
            "callers.read",
            "disk.write",
            "keys.read",
            "keys.rotate",
            "ledger.read",
            "tables.rebuild",
        ],
        conflicts: &["auditor", "dpo"],
    },
    Role {
        name: "auditor",
        title: "Auditor",
        tells: "reads everything but payloads, changes nothing",
        permissions: &[
            "alerts.read",
            "approvals.read",
            "callers.read",
            "events.read",
            "keys.read",
            "ledger.export",
            "ledger.read",
            "people.read",
        ],
        conflicts: &["dpo"],
    },
    Role {
        name: "dpo",
        title: "Data protection officer",
        tells: "erasure and legal holds; independent of those who run and use the guard",
        permissions: &[
            "alerts.read",
            "approvals.give",
            "approvals.read",
            "callers.read",
            "events.read",
            "ledger.erase",
            "ledger.hold",
            "ledger.read",
        ],
        conflicts: &[],
    },
];

/// The role of that name.
#[must_use]
pub fn role(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}

/// Why a set of roles cannot be one person's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoles {
    /// There is no such role.
    #[error("there is no role `{given}`; there are {}", names())]
    Unknown {
        /// What was given.
        given: String,
    },
    /// Nobody is without a role.
    #[error("an account needs a role: {}", names())]
    None,
    /// Separation of duties.
    #[error("one person cannot be both {first} and {second}: each checks the other")]
    Conflict {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

fn names() -> String {
    ROLES.iter().map(|role| role.name).collect::<Vec<_>>().join(", ")
}

/// The roles of those names, each once and in the table's order, if one person may hold them together.
///
/// # Errors
/// When a name is unknown, none is given, or two conflict.
pub fn roles<S: AsRef<str>>(given: &[S]) -> Result<Vec<&'static Role>, BadRoles> {
    if let Some(unknown) = given.iter().find(|name| role(name.as_ref()).is_none()) {
        return Err(BadRoles::Unknown { given: unknown.as_ref().chars().take(64).collect() });
    }
    let held: Vec<_> = ROLES.iter().filter(|role| given.iter().any(|name| name.as_ref() == role.name)).collect();
    if held.is_empty() {
        return Err(BadRoles::None);
    }
    for first in &held {
        if let Some(second) = held.iter().find(|other| first.conflicts.contains(&other.name)) {
            return Err(BadRoles::Conflict { first: first.title, second: second.title });
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_what_there_is() {
        for role in ROLES {
            assert!(
                role.permissions.is_sorted() && role.permissions.iter().all(|one| one.contains('.')),
                "{}",
                role.name
            );
            assert!(role.conflicts.iter().all(|other| ROLES.iter().any(|role| role.name == *other)), "{}", role.name);
        }
        assert!(HOST.is_sorted() && EVERYBODY.is_sorted());
    }

    #[test]
    fn an_operator_and_an_auditor_see_no_content() {
        for name in ["operator", "auditor"] {
            assert!(!role(name).unwrap().permissions.contains(&"events.reveal"));
        }
        assert!(!HOST.contains(&"events.reveal") && !HOST.contains(&"ledger.erase"));
    }

    #[test]
    fn conflicting_unknown_and_absent_roles_are_refused() {
        let names = |given: &[&str]| roles(given).map(|held| held.iter().map(|role| role.name).collect::<Vec<_>>());
        assert_eq!(names(&["analyst", "officer", "analyst"]), Ok(vec!["officer", "analyst"]));
        for (first, second) in
            [("officer", "auditor"), ("auditor", "officer"), ("dpo", "operator"), ("deputy", "officer")]
        {
            assert!(matches!(names(&[first, second]), Err(BadRoles::Conflict { .. })), "{first} {second}");
        }
        assert_eq!(names(&[]), Err(BadRoles::None));
        assert!(names(&["root"]).unwrap_err().to_string().contains("officer, deputy"));
    }
}
