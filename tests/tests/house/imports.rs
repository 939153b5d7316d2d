//! Imports run one way: talk → decide → record → domain, talk → look → domain; `verify` imports
//! `merkle` alone, and no database stands in the gateway's path. Read from `cargo metadata`,
//! normal dependencies only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A crate's name, and the names of what it depends on directly.
type Graph = BTreeMap<String, BTreeSet<String>>;

struct House {
    /// Every package of the lock file, ours and others'.
    graph: Graph,
    /// Our rooms, with their floor: `look`, `record`, …
    floors: BTreeMap<String, String>,
}

fn house() -> House {
    let root = super::root();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name_of: BTreeMap<&str, &str> =
        packages.iter().map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap())).collect();
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let direct = graph.entry(name_of[node["id"].as_str().unwrap()].to_owned()).or_default();
        for dependency in node["deps"].as_array().unwrap() {
            if dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null()) {
                direct.insert(name_of[dependency["pkg"].as_str().unwrap()].to_owned());
            }
        }
    }
    let crates = root.join("crates");
    let floors = packages
        .iter()
        .filter_map(|package| {
            let folder =
                std::path::Path::new(package["manifest_path"].as_str()?).parent()?.strip_prefix(&crates).ok()?;
            Some((package["name"].as_str()?.to_owned(), folder.iter().next()?.to_str()?.to_owned()))
        })
        .collect();
    House { graph, floors }
}

impl House {
    /// Everything that `name` brings along.
    fn closure(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = self.graph[name].iter().map(String::as_str).collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(self.graph[next].iter().map(String::as_str));
            }
        }
        seen
    }

    fn on_floor<'a>(&'a self, floor: &'a str) -> impl Iterator<Item = &'a String> {
        self.floors.iter().filter(move |(_, f)| *f == floor).map(|(name, _)| name)
    }

    fn must_not_bring(&self, name: &str, banned: &[&str]) {
        let brought = self.closure(name);
        for other in banned {
            let hit = brought.iter().find(|one| *one == other || one.starts_with(&format!("{other}-")));
            assert!(hit.is_none(), "{name} brings {} along", hit.unwrap());
        }
    }
}

#[test]
fn floors_import_one_way() {
    let house = house();
    let may = |floor: &str| -> &[&str] {
        match floor {
            "domain" => &[],
            "look" => &["look", "domain"],
            "record" => &["record", "domain"],
            "decide" => &["decide", "record", "domain"],
            "talk" => &["talk", "decide", "record", "look", "domain"],
            other => panic!("crates/{other} is no floor of the house"),
        }
    };
    assert!(house.floors.len() >= 14, "the house has lost rooms: {:?}", house.floors);
    for (name, floor) in &house.floors {
        for dependency in &house.graph[name] {
            if let Some(below) = house.floors.get(dependency) {
                assert!(may(floor).contains(&below.as_str()), "{name} ({floor}) imports {dependency} ({below})");
            }
        }
    }
}

#[test]
fn domain_and_merkle_stand_alone_and_verify_imports_merkle_only() {
    let house = house();
    let ours = |name: &str| -> BTreeSet<&str> {
        house.graph[name].iter().filter(|one| house.floors.contains_key(*one)).map(String::as_str).collect()
    };
    assert!(ours("haris-domain").is_empty());
    assert!(ours("haris-merkle").is_empty());
    assert_eq!(ours("haris-verify"), BTreeSet::from(["haris-merkle"]));
    assert_eq!(ours("haris-spool"), BTreeSet::from(["haris-domain"]), "the spool knows domain only");
}

#[test]
fn no_database_in_the_request_path() {
    let house = house();
    house.must_not_bring(
        "haris-gateway",
        &["sqlx", "libsqlite3-sys", "object_store", "typst", "haris-store", "haris-ledger"],
    );
}

#[test]
fn looking_needs_no_network_no_database_and_no_async() {
    let house = house();
    for room in house.on_floor("look") {
        house.must_not_bring(room, &["tokio", "hyper", "reqwest", "axum", "sqlx"]);
    }
}

#[test]
fn an_auditor_needs_no_async_no_network_and_no_sql() {
    let house = house();
    for room in ["haris-merkle", "haris-verify"] {
        house.must_not_bring(room, &["tokio", "hyper", "reqwest", "sqlx", "libsqlite3-sys"]);
    }
}

#[test]
fn sql_lives_in_store_ledger_and_above_and_http_in_talk() {
    let house = house();
    for name in house.floors.keys() {
        let direct = &house.graph[name];
        let floor = &house.floors[name];
        if direct.contains("sqlx") {
            let allowed = ["haris-store", "haris-ledger"].contains(&name.as_str())
                || ["decide", "talk"].contains(&floor.as_str());
            assert!(allowed, "{name} knows SQL");
        }
        for door in ["hyper", "reqwest", "axum", "rustls"] {
            assert!(!direct.contains(door) || floor == "talk", "{name} ({floor}) imports {door}");
        }
    }
}
