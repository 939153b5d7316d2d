//! May they: authorisation by Cedar over operations' metadata.
//!
//! Every operation is an action, its permission is a group of actions, and the role table is the policy set. What is
//! not permitted is denied. Two rules stand over the roles: the administration socket does everything until there is an
//! officer and only runs the machine afterwards, and a token never reaches beyond its scopes.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use haris_domain::{Actor, OperationMeta};

use crate::role::{EVERYBODY, HOST, ROLES, Role};

/// Through which door somebody came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The administration socket, or this process itself while no server runs: whoever may open its file.
    Host,
    /// A person's session in the console.
    Session,
    /// A person's token, with the permissions that it was given.
    Token {
        /// Permissions, all of which its holder had when it was made.
        scopes: BTreeSet<String>,
    },
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Who {
    /// As the ledger names them.
    pub actor: Actor,
    /// Their roles at this moment.
    pub roles: Vec<&'static Role>,
    /// How they came.
    pub via: Via,
}

impl Who {
    /// Whoever may open the administration socket.
    #[must_use]
    pub fn host(uid: u32) -> Self {
        Self { actor: Actor::local(uid), roles: Vec::new(), via: Via::Host }
    }

    /// The id of the account, of a person.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.actor.as_str().strip_prefix("person:")
    }
}

/// Why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The role does not reach so far.
    #[error("`{operation}` takes the permission `{permission}`, which {} have", holders(permission))]
    Role {
        /// What was asked for.
        operation: &'static str,
        /// What it takes.
        permission: &'static str,
    },
    /// The socket only runs the machine once there is an officer.
    #[error(
        "`{operation}` needs a person since there is an officer: use the console, or a personal token (`haris --token`)"
    )]
    Host {
        /// What was asked for.
        operation: &'static str,
    },
    /// The token reaches less far than its holder.
    #[error("this token is not made for `{permission}`: make one whose scopes name it")]
    Scope {
        /// What it takes.
        permission: &'static str,
    },
}

fn holders(permission: &str) -> String {
    let titles: Vec<_> =
        ROLES.iter().filter(|role| role.permissions.contains(&permission)).map(|role| role.title).collect();
    if titles.is_empty() { "no roles".to_owned() } else { titles.join(", ") }
}

/// The compiled policy.
pub struct Authority {
    policies: PolicySet,
    authorizer: Authorizer,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Compiles the role table.
    ///
    /// # Panics
    /// Never: the policies are made here, and a test compiles them.
    #[must_use]
    pub fn new() -> Self {
        let policies = policies().parse().expect("the role table makes well-formed policies");
        Self { policies, authorizer: Authorizer::new() }
    }

    /// Whether `who` may do that. `founded`: whether there is an officer.
    ///
    /// # Errors
    /// When not, with the nearest reason.
    pub fn may(&self, who: &Who, operation: &'static OperationMeta, founded: bool) -> Result<(), NotAllowed> {
        let (name, permission) = (operation.name, operation.permission);
        if self.permits(who, name, permission, founded) {
            return Ok(());
        }
        Err(match &who.via {
            Via::Host => NotAllowed::Host { operation: name },
            Via::Token { scopes } if !scopes.contains(permission) => NotAllowed::Scope { permission },
            _ => NotAllowed::Role { operation: name, permission },
        })
    }

    /// Whether `who` holds a permission: for pages that show what is out of reach as such.
    #[must_use]
    pub fn holds(&self, who: &Who, permission: &str, founded: bool) -> bool {
        self.permits(who, permission, permission, founded)
    }

    /// Deny by default: also what cannot be asked is not permitted.
    fn permits(&self, who: &Who, operation: &str, permission: &str, founded: bool) -> bool {
        let asked = question(who, operation, permission, founded);
        asked.is_some_and(|(request, entities)| {
            let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
            // A policy that could not be evaluated is skipped by Cedar, also one that forbids.
            response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
        })
    }
}

fn question(who: &Who, operation: &str, permission: &str, founded: bool) -> Option<(Request, Entities)> {
    let (kind, parents) = match &who.via {
        Via::Host => ("Host", Vec::new()),
        Via::Session | Via::Token { .. } => ("Person", who.roles.iter().map(|role| uid("Role", role.name)).collect()),
    };
    let principal = uid(kind, who.actor.as_str());
    let action = uid("Action", operation);
    let scopes = match &who.via {
        Via::Token { scopes } => Some(scopes.iter().map(|scope| entity(&permission_uid(scope)))),
        _ => None,
    };
    let context = Context::from_pairs([
        ("founded".to_owned(), RestrictedExpression::new_bool(founded)),
        ("scoped".to_owned(), RestrictedExpression::new_bool(scopes.is_some())),
        ("scopes".to_owned(), RestrictedExpression::new_set(scopes.into_iter().flatten())),
    ])
    .ok()?;
    let held = HashSet::from_iter(parents);
    let entities = Entities::from_entities(
        [
            Entity::new_no_attrs(principal.clone(), held),
            Entity::new_no_attrs(action.clone(), HashSet::from([permission_uid(permission)])),
        ],
        None,
    )
    .ok()?;
    let request = Request::new(principal, action, uid("Installation", "this"), context, None).ok()?;
    Some((request, entities))
}

fn uid(kind: &'static str, id: &str) -> EntityUid {
    let kind: EntityTypeName = format!("Haris::{kind}").parse().expect("a type's name is a constant");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

/// Cedar takes groups of actions for actions: a permission's name is told from an operation's of the same name.
fn permission_uid(permission: &str) -> EntityUid {
    uid("Action", &format!("permission {permission}"))
}

fn entity(uid: &EntityUid) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid.clone())
}

/// The role table, as Cedar reads it.
fn policies() -> String {
    let mut text = String::new();
    let mut permit = |id: &str, principal: &str, permissions: &[&str]| {
        let list: Vec<_> = permissions.iter().map(|one| permission_uid(one).to_string()).collect();
        let list = list.join(", ");
        let _ = writeln!(text, "@id(\"{id}\") permit(principal {principal}, action in [{list}], resource);");
    };
    for role in ROLES {
        permit(role.name, &format!("in Haris::Role::\"{}\"", role.name), role.permissions);
    }
    permit("everybody", "is Haris::Person", EVERYBODY);
    permit("host", "is Haris::Host", HOST);
    text.push_str(
        "@id(\"host-before-an-officer\") permit(principal is Haris::Host, action, resource) unless { context.founded };\n\
         @id(\"scopes\") forbid(principal, action, resource) when { context.scoped } unless { action in context.scopes };\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use haris_domain::Approval;

    use super::*;

    fn meta(permission: &'static str) -> &'static OperationMeta {
        Box::leak(Box::new(OperationMeta {
            name: "thing.do",
            tells: "",
            permission,
            approval: Approval::None,
            events: &[],
        }))
    }

    fn person(role: &'static str, via: Via) -> Who {
        let roles = crate::role::roles(&[role]).unwrap();
        Who { actor: "person:p1".parse().unwrap(), roles, via }
    }

    #[test]
    fn each_role_does_what_the_table_says_and_nothing_else() {
        let authority = Authority::new();
        let known: BTreeSet<_> = ROLES.iter().flat_map(|role| role.permissions).chain(HOST).copied().collect();
        for role in ROLES {
            for permission in &known {
                let allowed = authority.may(&person(role.name, Via::Session), meta(permission), true).is_ok();
                let said = role.permissions.contains(permission) || EVERYBODY.contains(permission);
                assert_eq!(allowed, said, "{} {permission}", role.name);
            }
            assert!(authority.may(&person(role.name, Via::Session), meta("nobody.knows"), true).is_err());
        }
    }

    #[test]
    fn the_socket_does_everything_until_there_is_an_officer() {
        let authority = Authority::new();
        for permission in ["ledger.erase", "events.reveal", "people.write", "nobody.knows"] {
            authority.may(&Who::host(0), meta(permission), false).unwrap();
            let refused = authority.may(&Who::host(0), meta(permission), true);
            assert_eq!(refused, Err(NotAllowed::Host { operation: "thing.do" }));
        }
        authority.may(&Who::host(0), meta("disk.write"), true).unwrap();
    }

    #[test]
    fn a_token_reaches_no_further_than_its_scopes_and_its_holder() {
        let authority = Authority::new();
        let token = |role, scopes: &[&str]| {
            person(role, Via::Token { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect() })
        };
        authority.may(&token("officer", &["events.read"]), meta("events.read"), true).unwrap();
        assert_eq!(
            authority.may(&token("officer", &["events.read"]), meta("events.reveal"), true),
            Err(NotAllowed::Scope { permission: "events.reveal" })
        );
        let beyond = authority.may(&token("auditor", &["events.reveal"]), meta("events.reveal"), true);
        assert!(matches!(beyond, Err(NotAllowed::Role { .. })));
        assert!(authority.may(&token("officer", &[]), meta("status.read"), true).is_err());
    }
}
