//! What code would do: Python by its calls, shell commands by their shape.

pub(crate) mod jinja;
pub(crate) mod python;
pub(crate) mod shell;
