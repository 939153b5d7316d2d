//! Python and Jinja, read tolerantly into syntax trees that are bounded in depth and size.

pub(crate) mod builtin;
mod call;
pub(crate) mod decode;
mod expression;
pub(crate) mod fold;
mod parse;
mod postfix;
pub(crate) mod token;
pub(crate) mod tree;
pub(crate) mod value;

pub(crate) use parse::{jinja_expression, python};
