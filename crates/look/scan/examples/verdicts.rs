//! `haris scan --format json`, without the server around it: a release build of this takes a minute, not ten.
//!
//! `cargo run --release -p haris-scan --example verdicts -- scan PATH...`; options are ignored.

use std::path::Path;

use haris_artifact::{Limits, Scanner};
use haris_scan::{Options, Waivers, scan};

#[expect(clippy::print_stdout, reason = "the verdicts are what it is for")]
fn main() -> Result<(), haris_scan::BadPath> {
    let scanner = Scanner::new(Limits::default());
    let mut artifacts = Vec::new();
    let paths = std::env::args().skip(2).take_while(|argument| !argument.starts_with("--"));
    for path in paths {
        scan(Path::new(&path), &scanner, &Options::default(), &Waivers::default(), &mut |artifact| {
            let path = artifact.path.display().to_string().replace(['"', '\\'], "_");
            artifacts.push(format!(r#"{{"path":"{path}","verdict":"{}"}}"#, artifact.verdict));
        })?;
    }
    println!(r#"{{"artifacts":[{}]}}"#, artifacts.join(","));
    Ok(())
}
