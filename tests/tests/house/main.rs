//! Rules about the code itself, held by tests: who may import whom, how long a file grows, and that
//! what the documents tell people to do exists.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test's report")]

mod documents;
mod imports;
mod tidy;

use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
