//! Python and Jinja, read tolerantly into syntax trees that are bounded in depth and size.

pub mod builtin;
mod expression;
pub mod fold;
mod parse;
pub mod token;
pub mod tree;
pub mod value;

pub use parse::{jinja_expression, python};
