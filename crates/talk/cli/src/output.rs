//! How commands print: tables for people, JSON for programs.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::Failure;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl Format {
    /// As asked, else a table on a terminal and JSON elsewhere.
    pub(crate) fn or_by_terminal(given: Option<Self>) -> Self {
        given.unwrap_or(if std::io::stdout().is_terminal() { Self::Table } else { Self::Json })
    }
}

/// Prints a value as one indented JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::because("output", &error))?;
    line(&text)
}

/// Prints one line, or several.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    writeln!(anstream::stdout(), "{text}")?;
    Ok(())
}

/// Prints rows under a head, columns aligned.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let bold = anstyle::Style::new().bold();
    let mut out = anstream::stdout().lock();
    writeln!(out, "{bold}{}{bold:#}", aligned(head.map(str::to_owned), widths))?;
    for row in rows {
        writeln!(out, "{}", aligned(row.clone(), widths))?;
    }
    Ok(())
}

fn aligned<const N: usize>(cells: [String; N], widths: [usize; N]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{}{}", cell, " ".repeat(width - cell.chars().count().min(width))));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        assert_eq!(aligned(["ab".into(), "x".into()], [4, 3]), "ab    x");
        assert_eq!(aligned(["نعم".into(), "x".into()], [4, 3]), "نعم   x");
    }
}
