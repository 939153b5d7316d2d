//! A bank with the practice model, a witness beside it, and an auditor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use haris_store::sqlx::{self, Row as _};
use haris_store::{Store, StoreOptions};
use haris_tests::server::{binary, eventually};
use haris_tests::{Client, Haris};
use serde_json::Value;

pub(crate) const MODEL: &str = "practice/teller";

/// A witness that runs as its own process, in its own folders.
pub(crate) struct Witness {
    pub(crate) dir: tempfile::TempDir,
    child: Option<Child>,
    name: String,
    address: String,
}

impl Witness {
    /// Starts one for the logs of this bank.
    pub(crate) fn start(name: &str, logs: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("logs"), logs.join("\n")).unwrap();
        let mut witness = Self { dir, child: None, name: name.to_owned(), address: "127.0.0.1:0".to_owned() };
        witness.launch();
        witness
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(binary("haris"));
        command
            .current_dir(self.dir.path())
            .env_clear()
            .args(["witness", "--data", "witness", "--keys", "witness-keys", "--log", "logs", "--name", &self.name])
            .args(more)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn launch(&mut self) {
        let listen = self.dir.path().join("witness/listen");
        let _ = fs::remove_file(&listen);
        let log = fs::File::create(self.dir.path().join("stderr")).unwrap();
        self.child =
            Some(self.command(&["--listen", &self.address]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.address = eventually("the witness listens", || {
            fs::read_to_string(&listen).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        });
    }

    /// Stops it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its verifier keys, from its own mouth; it must be stopped for that, as nobody else may use its folder.
    pub(crate) fn show(&mut self) -> Value {
        self.kill();
        let output = self.command(&["--show", "--format", "json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.launch();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn keys(&mut self) -> Vec<String> {
        let shown = self.show();
        shown["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- the witness said:\n{}",
                fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
            );
        }
    }
}

/// The configuration of a bank with these witnesses.
pub(crate) fn config(witnesses: &[(&Witness, &[String])], more: &str) -> String {
    let mut text = format!("listen = \"127.0.0.1:0\"\npractice = true\n{more}\n");
    for (witness, keys) in witnesses {
        let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        text.push_str(&format!(
            "[[witnesses]]\nname = \"{}\"\nurl = \"{}\"\nkeys = [{}]\n",
            witness.name,
            witness.url(),
            keys.join(", ")
        ));
    }
    text
}

pub(crate) fn configure(haris: &Haris, text: &str) {
    fs::write(haris.home().join("haris.toml"), text).unwrap();
}

/// A bank whose checkpoints one witness cosigns.
pub(crate) struct Watched {
    pub(crate) haris: Haris,
    pub(crate) witness: Witness,
    pub(crate) witness_keys: Vec<String>,
    pub(crate) logs: Vec<String>,
}

impl Watched {
    pub(crate) fn start(more: &str) -> Self {
        let mut haris = Haris::prepare(&config(&[], ""));
        haris.launch();
        let logs = log_keys(&haris);
        let mut witness = Witness::start("witness.example/w1", &logs);
        let witness_keys = witness.keys();
        stop(&mut haris);
        configure(&haris, &config(&[(&witness, &witness_keys)], more));
        haris.launch();
        Self { haris, witness, witness_keys, logs }
    }

    pub(crate) fn policy(&self) -> String {
        policy(&self.logs, &[("w1", &self.witness_keys[0])], "w1")
    }

    /// Waits until the witness has seen everything.
    pub(crate) fn settled(&self) {
        eventually("the witness has seen everything", || {
            let status = self.haris.admin_json(&["status"]);
            let logs = &status["ledger"]["logs"];
            let peer = &status["witnesses"]["witnesses"][0];
            let same = peer["evidence"] == logs[0]["size"] && peer["traffic"].as_u64().unwrap_or(0) == logs[1]["size"];
            same.then_some(())
        });
    }
}

pub(crate) fn log_keys(haris: &Haris) -> Vec<String> {
    let status = haris.admin_json(&["status"]);
    let logs = status["ledger"]["logs"].as_array().unwrap().clone();
    let keys = logs.iter().flat_map(|log| log["verifier_keys"].as_array().unwrap().clone());
    keys.map(|key| key.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn policy(logs: &[String], witnesses: &[(&str, &String)], quorum: &str) -> String {
    let mut text: String = logs.iter().map(|key| format!("log {key}\n")).collect();
    for (name, key) in witnesses {
        text.push_str(&format!("witness {name} {key}\n"));
    }
    if witnesses.len() > 1 {
        let names: Vec<&str> = witnesses.iter().map(|(name, _)| *name).collect();
        text.push_str(&format!("group all-of-them all {}\n", names.join(" ")));
    }
    text.push_str(&format!("quorum {quorum}\n"));
    text
}

pub(crate) fn stop(haris: &mut Haris) {
    haris.ask_to_stop();
    assert!(haris.wait().success(), "{}", haris.output());
}

/// Some traffic: clean questions, each an event and its answer.
pub(crate) async fn ask(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let answer = client.ask(MODEL, &format!("What are your opening hours on day {number}?"), false).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        ids.push(answer.event());
    }
    ids
}

pub(crate) fn export(haris: &Haris, name: &str) -> PathBuf {
    let path = haris.home().join(name);
    let _ = haris.admin(&["ledger", "export", "--output", &path.display().to_string()]);
    path
}

/// The auditor: an empty folder, the program, and what is copied in.
pub(crate) struct Auditor {
    folder: tempfile::TempDir,
}

impl Auditor {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(binary("haris-verify"), folder.path().join("haris-verify")).unwrap();
        let auditor = Self { folder };
        files.iter().for_each(|(name, bytes)| auditor.give(name, bytes));
        auditor
    }

    pub(crate) fn give(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    /// Whether it is proven, and what was said.
    pub(crate) fn verify(&self, arguments: &[&str]) -> (bool, String) {
        let output =
            haris_tests::server::run_in(self.folder.path(), &self.folder.path().join("haris-verify"), arguments);
        (output.status.success(), said(&output))
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = entry
            .map(|entry| {
                let to = to.join(entry.file_name());
                (entry, to)
            })
            .unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Puts a folder in the place of another.
pub(crate) fn put_back(copy: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy_folder(copy, to);
}

/// A start that must not come up; what it said.
pub(crate) fn refuses_to_start(haris: &Haris) -> String {
    let child = Command::new(binary("haris"))
        .current_dir(haris.home())
        .args(["serve", "--config", "haris.toml", "--data", "data", "--keys", "keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let begun = Instant::now();
    loop {
        if child.try_wait().unwrap().is_some() {
            let output = child.wait_with_output().unwrap();
            assert!(!output.status.success(), "{}", said(&output));
            return said(&output);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it started: {}", said(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The bank's rows and blobs, opened behind its back.
pub(crate) async fn store(haris: &Haris) -> Store {
    let data = haris.data();
    let sql = format!("sqlite:{}", data.join("haris.db").display());
    Store::open(StoreOptions { sql, blobs: data.join("blobs") }).await.unwrap()
}

/// Runs statements that no part of Haris would.
pub(crate) async fn sql(haris: &Haris, statements: &str) {
    let store = store(haris).await;
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

/// Writes the newest event of the evidence log once more behind itself, as the `further`th after it, in whatever else
/// like an event that the same start wrote. Gives the start, and the number that it claims.
pub(crate) async fn append_forged(haris: &Haris, further: u64) -> (String, u64) {
    let store = store(haris).await;
    let row = sqlx::query(
        "SELECT leaf_index, id, bytes FROM ledger_event WHERE log = 'evidence' ORDER BY leaf_index DESC LIMIT 1",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    let (index, id): (i64, String) = (row.try_get("leaf_index").unwrap(), row.try_get("id").unwrap());
    let text = String::from_utf8(row.try_get::<Vec<u8>, _>("bytes").unwrap()).unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    let n = event["source"]["n"].as_u64().unwrap();
    let forged_id = format!("{}{}", &id[..id.len() - 4], "0bad");
    let forged = text.replace(&id, &forged_id).replace(&format!("\"n\":{n},"), &format!("\"n\":{},", n + further));
    let mut tx = store.begin().await.unwrap();
    sqlx::query("INSERT INTO ledger_event (log, leaf_index, id, leaf_hash, bytes) VALUES ('evidence', $1, $2, $3, $4)")
        .bind(index + 1)
        .bind(forged_id)
        .bind(leaf_hash(&forged))
        .bind(forged.into_bytes())
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE ledger_log SET next_index = next_index + 1 WHERE log = 'evidence'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    (event["source"]["boot"].as_str().unwrap().to_owned(), n + further)
}

/// RFC 6962's, by a program that is not ours.
fn leaf_hash(entry: &str) -> Vec<u8> {
    let bytes = [&[0], entry.as_bytes()].concat();
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    (0..32).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// What `fsck` says, and whether it is clean.
pub(crate) fn fsck(haris: &Haris) -> (bool, String) {
    let output = haris.run(&[
        "ledger",
        "fsck",
        "--format",
        "json",
        "--config",
        "haris.toml",
        "--data",
        "{data}",
        "--keys",
        "{keys}",
    ]);
    (output.status.success(), said(&output))
}
