//! What code would do: Python by its calls, shell commands by their shape.

pub mod jinja;
pub mod python;
pub mod shell;
