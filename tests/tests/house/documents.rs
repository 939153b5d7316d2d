//! What the documents promise exists: files that they link to, and the two commands of the README.

use std::fs;

/// The documents that a newcomer, an auditor and a developer are sent to.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/console.md",
    "docs/install.md",
    "docs/operations.md",
    "docs/stores.md",
    "docs/trust.md",
    "docs/verify-by-hand.md",
    "docs/threat-model.md",
    "docs/scan.md",
    "docs/recipes/add-a-detector.md",
    "docs/recipes/add-a-format.md",
    "docs/recipes/add-a-protocol.md",
    "bench/README.md",
];

#[test]
fn the_documents_exist() {
    let missing: Vec<&&str> = DOCUMENTS.iter().filter(|name| !super::root().join(name).is_file()).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = super::root();
    for name in DOCUMENTS.iter().filter(|name| name.ends_with(".md")) {
        let path = root.join(name);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            assert!(path.parent().unwrap().join(target).exists(), "{name} links to {target}, which is not there");
        }
    }
}

/// `docs/trust.md` names the test behind each of its claims: `module::test`.
#[test]
fn the_tests_that_the_trust_page_names_are_there() {
    let root = super::root();
    let page = fs::read_to_string(root.join("docs/trust.md")).unwrap();
    let named: std::collections::BTreeSet<&str> =
        page.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once("::")).map(|(_, test)| test).collect();
    assert!(named.len() >= 20, "the page has lost its tests: {named:?}");
    let sources: String = super::tidy::rust_files().map(|(_, text)| text).collect();
    let missing: Vec<&str> = named.into_iter().filter(|test| !sources.contains(&format!("fn {test}("))).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}

#[test]
fn the_readmes_two_commands_are_there_to_run() {
    let root = super::root();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains("cargo run --release -- serve"), "the README shows how to start");
    assert!(readme.contains("./test"), "the README shows how to test");
    assert!(root.join("test").is_file());
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains(r#"default-members = ["crates/talk/cli"]"#), "`cargo run` means `haris`");
}
