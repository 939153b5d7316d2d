//! The built `haris` binary, started as its users start it, in folders that go when the test does.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Client;
use crate::upstream::{Mock, PROVIDER_KEY};

/// A server that is not ready by then has failed: generous, because the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running server with its folders.
pub struct Haris {
    dir: tempfile::TempDir,
    child: Option<Child>,
    /// The binary that is started.
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    starts: u32,
}

/// The path of a built binary of this workspace.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    let path = std::env::var_os(&variable).map_or_else(
        || {
            // target/debug/deps/test-1234 → target/debug/haris
            let test = std::env::current_exe().expect("a test knows its own path");
            test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").join(name)
        },
        PathBuf::from,
    );
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins`, or set {variable}", path.display());
    path
}

/// A `haris.toml` whose only upstream is `mock`, with `more` appended.
#[must_use]
pub fn config_for(mock: &Mock, more: &str) -> String {
    format!(
        r#"listen = "127.0.0.1:0"

[upstreams.mock]
url = "{}"
provider = "Mock"
place = "US"
key_env = "MOCK_KEY"
models = ["gpt-*", "text-embedding-*"]

{more}
"#,
        mock.url()
    )
}

impl Haris {
    /// Folders with a config file, and no server yet.
    #[must_use]
    pub fn prepare(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("haris.toml"), config).expect("a config file");
        let arguments =
            ["serve", "--config", "haris.toml", "--data", "data", "--keys", "keys"].map(str::to_owned).to_vec();
        Self { dir, child: None, program: binary("haris"), arguments, environment: Vec::new(), starts: 0 }
    }

    /// From now on this binary is started and run.
    pub fn swap_binary(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// The same, with a variable in the environment of the server and of every command.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A server with this config file, ready.
    #[must_use]
    pub fn start(config: &str) -> Self {
        let mut haris = Self::prepare(config);
        haris.launch();
        haris
    }

    /// A server with no config file, as in the first minute.
    #[must_use]
    pub fn start_bare() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let arguments =
            ["serve", "--data", "data", "--keys", "keys", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
        let program = binary("haris");
        let mut haris = Self { dir, child: None, program, arguments, environment: Vec::new(), starts: 0 };
        haris.launch();
        haris
    }

    /// Starts the server, again if it was stopped, and waits until it is ready.
    pub fn launch(&mut self) {
        self.launch_until(Self::is_ready);
    }

    /// Starts the server, and waits until `reached`: for one that cannot be ready.
    pub fn launch_until(&mut self, reached: impl Fn(&Self) -> bool) {
        assert!(self.child.is_none(), "the server runs already");
        self.starts += 1;
        let _ = fs::remove_file(self.data().join("listen"));
        let out = fs::File::create(self.dir.path().join(format!("stdout.{}", self.starts))).expect("a log file");
        let err = fs::File::create(self.dir.path().join(format!("stderr.{}", self.starts))).expect("a log file");
        let arguments = self.arguments.clone();
        let child = self.at_home(&self.program).args(arguments).stdout(out).stderr(err).spawn().expect("haris starts");
        self.child = Some(child);
        let begun = Instant::now();
        while !reached(self) {
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                panic!("haris ended with {status} before it was ready:\n{}", self.output());
            }
            assert!(begun.elapsed() < READY_WITHIN, "haris is not ready:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether `/readyz` says yes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.get_status("/readyz") == Some(200)
    }

    /// The status of a GET, once the server listens.
    #[must_use]
    pub fn get_status(&self, path: &str) -> Option<u16> {
        get_status(&self.address()?, path)
    }

    /// Where the server listens, once it does.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let address = fs::read_to_string(self.data().join("listen")).ok()?;
        Some(address.trim().to_owned()).filter(|address| !address.is_empty())
    }

    /// The gateway's base URL.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}/v1", self.address().expect("the server runs"))
    }

    /// Everything the server ever printed.
    #[must_use]
    pub fn output(&self) -> String {
        let files = (1..=self.starts).flat_map(|n| [format!("stdout.{n}"), format!("stderr.{n}")]);
        files
            .map(|file| String::from_utf8_lossy(&fs::read(self.home().join(file)).unwrap_or_default()).into_owned())
            .collect()
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// The process id of the running server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Kills the server as a power cut would stop the process.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("a child can be waited for");
    }

    /// Asks the server to stop.
    pub fn ask_to_stop(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Writes another configuration and has the running server read it.
    pub fn reconfigure(&self, config: &str) {
        fs::write(self.home().join("haris.toml"), config).expect("a config file");
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("a signal to our child");
    }

    /// Waits until the server has stopped.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.take().expect("the server runs").wait().expect("a child can be waited for")
    }

    /// Runs a `haris` command against this server's folders: `{data}` and `{keys}` mean them.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let data = self.data().display().to_string();
        let keys = self.home().join("keys").display().to_string();
        let arguments = arguments.iter().map(|argument| argument.replace("{data}", &data).replace("{keys}", &keys));
        self.at_home(&self.program).args(arguments).stdin(Stdio::null()).output().expect("haris runs")
    }

    /// Runs a command of the administrator that must succeed, and returns what it prints.
    #[must_use]
    pub fn admin(&self, arguments: &[&str]) -> String {
        let output = self.run(&[arguments, &["--data", "{data}"]].concat());
        assert!(
            output.status.success(),
            "haris {arguments:?} ended with {}:\n{}\n--- server:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.output()
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same, as JSON.
    #[must_use]
    pub fn admin_json(&self, arguments: &[&str]) -> Value {
        let text = self.admin(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("haris {arguments:?} printed no JSON: {text}"))
    }

    /// A new caller's key.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        self.key_with(name, &[])
    }

    /// The same, with options.
    #[must_use]
    pub fn key_with(&self, name: &str, options: &[&str]) -> String {
        let text = self.admin(&[&["callers", "add", name], options].concat());
        let key = text.split_whitespace().find(|word| word.starts_with("hk_"));
        key.unwrap_or_else(|| panic!("no key in: {text}")).to_owned()
    }

    /// A client with a new caller's key.
    #[must_use]
    pub fn client(&self, name: &str) -> Client {
        Client::new(&self.base(), &self.key(name))
    }

    /// The newest events that `filter` (`kind=…`) chooses.
    #[must_use]
    pub fn events(&self, filter: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["events"];
        for one in filter {
            arguments.extend(["--filter", one]);
        }
        let text = self.admin(&[arguments.as_slice(), &["--format", "json"]].concat());
        list(&text, "events")
    }

    /// What `haris events show` says of one event, waiting up to ten seconds for it to be sealed.
    #[must_use]
    pub fn event(&self, id: &str) -> Value {
        self.admin_json(&["events", "show", id])
    }

    fn at_home(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.home()).env("MOCK_KEY", PROVIDER_KEY).env("HOME", self.home()).env("NO_COLOR", "1");
        // A proxy of the machine's must not stand between the guard and the mock.
        for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Haris {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}", self.output());
        }
    }
}

/// A list that a command printed as one JSON document or as lines of JSON.
#[must_use]
pub fn list(text: &str, key: &str) -> Vec<Value> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(list)) => list,
        Ok(mut document) if document[key].is_array() => match document[key].take() {
            Value::Array(list) => list,
            _ => Vec::new(),
        },
        _ => text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect(),
    }
}

/// Runs a program that must not need anything but its arguments, in `folder`.
#[must_use]
pub fn run_in(folder: &Path, program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .current_dir(folder)
        .env_clear()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

/// Asks again until `question` has an answer; panics with `what` when it never comes.
///
/// Not a timed assertion: the bound only keeps a failed test from hanging.
pub fn eventually<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(begun.elapsed() < READY_WITHIN, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The status of a GET, with nothing but a socket, so that it works in and out of a runtime.
fn get_status(address: &str, path: &str) -> Option<u16> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}
