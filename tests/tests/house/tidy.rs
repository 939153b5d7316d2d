//! Files stay readable: short enough, opened by what they are for, free of left-overs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One subject needs no more, tests apart. A file at the limit is two subjects, or a table that is data.
const LINES_MAX: usize = 600;

/// Every file that belongs to the repository, or would at the next commit.
fn files() -> Vec<PathBuf> {
    let root = super::root();
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(listing.status.success(), "{}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).unwrap();
    names.lines().map(|name| root.join(name)).filter(|path| path.is_file()).collect()
}

pub(super) fn rust_files() -> impl Iterator<Item = (PathBuf, String)> {
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files().into_iter().filter(is_rust).map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    })
}

fn shown(path: &Path) -> String {
    path.strip_prefix(super::root()).unwrap_or(path).display().to_string()
}

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<String> = rust_files()
        .map(|(path, text)| (shown(&path), text.lines().take_while(|line| *line != "#[cfg(test)]").count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines, split by subject:\n{}", long.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<String> = rust_files()
        .filter(|(_, text)| !text.lines().any(|line| line.starts_with("//!")))
        .map(|(path, _)| shown(&path))
        .collect();
    assert!(silent.is_empty(), "no `//!` in:\n{}", silent.join("\n"));
}

#[test]
fn nothing_is_left_over() {
    // Spelt apart, so that this file does not find itself.
    let leftovers =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X "), concat!("todo", "!("), concat!("dbg", "!(")];
    for (path, text) in rust_files() {
        for (number, line) in (1..).zip(text.lines()) {
            let found = leftovers.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}:{number}: {line}", shown(&path));
        }
    }
}

#[test]
fn no_path_of_a_developers_machine_is_committed() {
    let here = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    for (path, text) in rust_files() {
        for (number, line) in (1..).zip(text.lines()) {
            assert!(!here.iter().any(|prefix| line.contains(prefix)), "{}:{number}: {line}", shown(&path));
        }
    }
}
