//! Who somebody is, and what they may do.
//!
//! Persons have accounts, which events make, and credentials, which lie beside: a passphrase, one-time codes, and codes
//! for the day when the authenticator is lost. Logging in opens a session; a token lets a program act in a person's
//! name, within scopes. Roles are a table ([`ROLES`]); Cedar decides over it and operations' metadata ([`Authority`]).
//! Who may be the second person of a change is decided in [`may_approve`].
//!
//! Everything secret is kept as a hash or made from a key in the key directory; names lie beside the credentials, where
//! they can be forgotten, and never in an event.

mod access;
mod approve;
mod credential;
mod enrol;
mod login;
mod may;
pub mod passphrase;
mod refused;
mod role;
mod secret;
mod session;
mod throttle;
mod token;
mod totp;

pub use access::{Access, AccessError, Options};
pub use approve::{NotApprover, may_approve};
pub use credential::Face;
pub use enrol::{Enrol, EnrolError, Enrolled, Invitation, LINK_PREFIX};
pub use login::{LogIn, LogInError, LoggedIn};
pub use may::{Authority, NotAllowed, Via, Who};
pub use role::{BadRoles, EVERYBODY, HOST, ROLES, Role, role, roles};
pub use session::{Session, SessionRow};
pub use token::{BadScopes, IssuedToken};
pub use totp::Totp;
