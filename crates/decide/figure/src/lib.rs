//! Values to SVG: a page, a report and an auditor's bundle show the same picture.
//!
//! A figure is text of its own, without scripts, styles or fonts from elsewhere: colours come from classes that a page
//! styles, and each class has a pattern of its own besides, so that nothing is told by colour alone. What it shows is
//! said in words as well, in its title and description.

mod bars;
mod svg;

pub use bars::{Bar, Bars, Part};
