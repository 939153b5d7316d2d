//! What a door needs to know of an operation before it asks for it: who may, who else must agree, what it writes.
//!
//! The operations themselves live above; their metadata lives here, so that whoever decides who may do what need not
//! know how anything is done.

use crate::EventKind;

/// Who must agree before an operation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody else.
    None,
    /// A second person, to the exact change, once there are persons.
    SecondPerson,
}

/// What a door needs to know of an operation.
#[derive(Debug)]
pub struct OperationMeta {
    /// Stable public name, `subject.verb`.
    pub name: &'static str,
    /// One line for a list.
    pub tells: &'static str,
    /// The permission it takes.
    pub permission: &'static str,
    /// Who else must agree.
    pub approval: Approval,
    /// Kinds of event it writes; none for one that only reads.
    pub events: &'static [&'static EventKind],
}
