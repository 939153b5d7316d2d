//! Databases for tests: a scratch SQLite file, and a throwaway PostgreSQL that listens on a Unix socket in a temporary
//! directory and nowhere else.
//!
//! One PostgreSQL serves a test process; each [`Scratch`] gets a database of its own. The server ends with the process:
//! a small shell holds a pipe from us, and when that closes, however we went, it stops the server and clears up.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Engine, OpenError, Store, StoreOptions};

/// Both engines, for a test that runs on each.
pub const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// An empty database and blob folder that vanish when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
    sql: String,
}

impl Scratch {
    /// A fresh place on that engine.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start: the message says what to do.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("temporary directories can be made");
        let sql = match engine {
            Engine::Sqlite => format!("sqlite:{}", folder.path().join("haris.db").display()),
            Engine::Postgres => server().create_database(),
        };
        Self { folder, sql }
    }

    /// The temporary folder: blobs lie in `blobs`, a SQLite database in `haris.db`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The database's URL.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What opens it.
    #[must_use]
    pub fn options(&self) -> StoreOptions {
        StoreOptions { sql: self.sql.clone(), blobs: self.folder.path().join("blobs") }
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open(&self) -> Result<Store, OpenError> {
        Store::open(self.options()).await
    }

    /// Opens it for reading alone.
    ///
    /// # Errors
    /// As [`Store::open_reading`].
    pub async fn open_reading(&self) -> Result<Store, OpenError> {
        Store::open_reading(self.options()).await
    }
}

/// Where Debian puts its servers; the newest is taken.
const INSTALLED: &str = "/usr/lib/postgresql";

struct Server {
    folder: PathBuf,
    databases: AtomicU32,
    /// Closing this pipe is what stops the server. Never written to; held for as long as the process lives.
    _keeper: (Child, ChildStdin),
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::start().unwrap_or_else(|why| {
            panic!("PostgreSQL for the tests did not start: {why}. Install it with `apt-get install postgresql` and run the tests again")
        })
    })
}

/// Makes the cluster, starts it, says `ready`, and waits for its standard input to close. `$1` is the folder of the
/// programs, `$2` that of the cluster. PostgreSQL refuses to run as root, so root lends it to the user `postgres`.
const KEEPER: &str = r#"
set -u
bin=$1; dir=$2
trap '' INT HUP
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir" || exit 1
    as() { runuser -u postgres -- "$@"; }
else
    as() { "$@"; }
fi
as "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C >"$dir/log" 2>&1 \
    && as "$bin/pg_ctl" -D "$dir/data" -w -s -l "$dir/server.log" \
        -o "-c listen_addresses='' -c unix_socket_directories='$dir' -c max_connections=200 -c shared_buffers=64MB" start </dev/null >>"$dir/log" 2>&1 \
    || { cat "$dir/log" "$dir/server.log"; echo failed; exit 1; }
echo ready
cat >/dev/null
as "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop </dev/null >/dev/null 2>&1
rm -rf "$dir"
"#;

impl Server {
    fn start() -> Result<Self, String> {
        let bin = installed().ok_or_else(|| format!("no server under {INSTALLED}"))?;
        // Not under TMPDIR, whose length may exceed what a socket's address holds.
        let folder = tempfile::Builder::new().prefix("haris-pg-").tempdir_in("/tmp").map_err(|e| e.to_string())?.keep();
        // The user `postgres` must pass through on its way to the socket.
        let mut child = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(bin)
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let stdin = child.stdin.take().expect("piped above");
        let mut said = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().expect("piped above"));
        loop {
            let mut line = String::new();
            let read = std::io::BufRead::read_line(&mut out, &mut line).map_err(|error| error.to_string())?;
            match line.trim_end() {
                "ready" => break,
                _ if read == 0 => return Err(said),
                _ => said.push_str(&line),
            }
        }
        Ok(Self { folder, databases: AtomicU32::new(0), _keeper: (child, stdin) })
    }

    fn create_database(&self) -> String {
        let name = format!("scratch_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let bin = installed().expect("the server was started from there");
        let mut psql = Command::new(bin.join("psql"))
            .args(["-q", "-U", "postgres", "-d", "postgres", "-h"])
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql comes with the server");
        let sql = format!("CREATE DATABASE {name};\n");
        psql.stdin.take().expect("piped above").write_all(sql.as_bytes()).expect("psql reads");
        assert!(psql.wait().expect("psql ends").success(), "psql could not create a database");
        // The socket's folder goes in as the host, percent-encoded.
        let host = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://postgres@{host}/{name}")
    }
}

fn installed() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(INSTALLED)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin)
}
