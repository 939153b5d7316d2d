//! Every setting once: the reference, the check for unknown keys and the document are made from this table.
//!
//! A new setting is a field of its struct and a row here. Tests compare both, and the document with what is made from
//! them: `haris config reference > docs/configuration.md`.

use std::fmt::Write as _;

use haris_gateway::Limits;

use super::limits::LIMITS;

/// A table of `haris.toml`.
pub(crate) struct Section {
    /// Its path: empty for the top, `alerts`, `upstreams.NAME` (any name), `routes[]` (a list of tables).
    pub(crate) path: &'static str,
    /// The heading in the reference.
    heading: &'static str,
    /// Before the table of settings.
    intro: &'static str,
    pub(crate) settings: &'static [Setting],
    /// After it.
    outro: &'static str,
}

/// One setting.
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    /// As the reference shows it.
    pub(crate) default: &'static str,
    meaning: &'static str,
    /// Whether what is inside is the user's own: names of rules and kinds.
    free: bool,
}

const fn setting(key: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { key, default, meaning, free: false }
}

const fn table(key: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { key, default, meaning, free: true }
}

/// All sections, in the order of the reference. `[limits]` follows from its own table.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        path: "",
        heading: "",
        intro: "",
        settings: &[
            setting(
                "listen",
                "`127.0.0.1:8787`",
                "address and port; port 0 takes a free one, written to `DATA/listen`",
            ),
            setting(
                "country",
                "`QA`",
                "the bank's country, two letters of ISO 3166-1: upstreams elsewhere get personal data redacted",
            ),
            setting("practice", "on while there is no upstream and the listener is loopback", "the practice model"),
            setting(
                "origin",
                "`haris.invalid/` and 16 hex digits of the first key's digest",
                "name of both logs; fixed at the first start",
            ),
            setting("threads", "one per core", "threads that serve requests"),
            setting("witness_quorum", "all", "how many of the witnesses must have cosigned lately"),
            setting(
                "witness_max_age_seconds",
                "60",
                "how old the newest cosignature of that many may be, before status, an event and the alert say so",
            ),
        ],
        outro: "",
    },
    Section {
        path: "upstreams.NAME",
        heading: "`[upstreams.NAME]`",
        intro: "",
        settings: &[
            setting("url", "", "base URL of an OpenAI-compatible service"),
            setting("provider", "", "who runs it; recorded in every event"),
            setting(
                "place",
                "",
                "where it runs: a country of ISO 3166-1 (`QA`, `US`) or a part of one (`IE-D`); recorded in every event",
            ),
            setting("key_env", "none", "environment variable that holds its key"),
            setting("key_file", "none", "file that holds its key"),
            setting("models", "", "patterns of the models it serves, at least one; `*` is any run of characters"),
        ],
        outro: UPSTREAMS,
    },
    Section {
        path: "routes[]",
        heading: "`[[routes]]`",
        intro: "In order; the first whose `models` match wins, before the upstreams' default routes.",
        settings: &[
            setting("name", "", "named in every decision"),
            setting("models", "", "patterns of models"),
            setting("upstream", "", "which upstream answers"),
            setting("store", "`redacted`", "what is kept of texts: `none`, `redacted`, `full` (secrets never)"),
            setting("retain_days", "90", "how long payloads are meant to be kept"),
            setting(
                "unknown_fields",
                "`refuse`",
                "fields that the protocol does not know: `refuse` or `record` as not scanned",
            ),
            setting(
                "media",
                "`record`",
                "images, audio, files, and ids of such that lie with the upstream, which are not scanned: `refuse` or \
                 `record`; what is written in their place is read all the same",
            ),
            setting(
                "on_witness_lag",
                "`allow`",
                "when witnesses have not cosigned for longer than `witness_max_age_seconds`: `allow` or `refuse` (503)",
            ),
            setting(
                "on_audit_failure",
                "`refuse`",
                "when an event cannot be made durable: `refuse` or `dangerously_allow`",
            ),
            table(
                "request",
                "see below",
                "`[routes.request]`: verdict on what callers send, by detection kind or rule id",
            ),
            table("answer", "see below", "`[routes.answer]`: verdict on what models answer, likewise"),
        ],
        outro: ROUTES,
    },
    Section {
        path: "witnesses[]",
        heading: "`[[witnesses]]`",
        intro: "Both logs go to every witness after each seal, at most once a second. [trust.md](trust.md) says what a witness is\nworth and where it must not run.",
        settings: &[
            setting("name", "", "what status and events call it"),
            setting("url", "", "its submission prefix, `http://…` or `https://…`; `add-checkpoint` is appended"),
            setting(
                "keys",
                "",
                "its verifier keys, type 04 and 06; `haris witness` prints them. What it signs under others is ignored",
            ),
        ],
        outro: "",
    },
    Section {
        path: "anchors",
        heading: "`[anchors]`",
        intro: "",
        settings: &[
            setting(
                "file",
                "none",
                "a file to which checkpoints are appended, one JSON object (`haris.anchor/1`) a line, at most one in ten \
                 seconds and log",
            ),
            setting("syslog", "none", "`unix:/dev/log`, `udp:HOST:PORT` or `tcp:HOST:PORT`; RFC 5424, facility 13"),
        ],
        outro: "",
    },
    Section {
        path: "alerts",
        heading: "`[alerts]`",
        intro: "At most one of `syslog`, `webhook` and `command`; without any, `haris alerts` and `haris status` show them.\n[operations.md](operations.md) explains each alert.",
        settings: &[
            setting("syslog", "none", "`unix:/dev/log` or `tcp:HOST:PORT`: RFC 5424, the alert's JSON as text"),
            setting("webhook", "none", "URL that takes a POST of the alert's JSON; https unless on this machine"),
            setting(
                "webhook_secret_env",
                "none",
                "environment variable that holds the secret with which `X-Haris-Signature` (HMAC-SHA-256 of the body) is made",
            ),
            setting("webhook_secret_file", "none", "file that holds the same"),
            setting(
                "command",
                "none",
                "a program by its full path, and its arguments; the alert's JSON on standard input, exit code 0 is delivery",
            ),
            setting("repeat_minutes", "60", "when what nobody acknowledged is sent again"),
        ],
        outro: "",
    },
    Section {
        path: "metrics",
        heading: "`[metrics]`",
        intro: "`GET /metrics` in Prometheus form. On the gateway's own address it takes the bearer token that stands in\n`DATA/metrics.token`, a file that only its owner reads.",
        settings: &[setting(
            "listen",
            "none",
            "a second address that serves `/metrics` alone, without a token: loopback only",
        )],
        outro: "",
    },
    Section {
        path: "storage",
        heading: "`[storage]`",
        intro: "",
        settings: &[
            setting("sql_env", "SQLite in the data directory", "environment variable that holds a `postgres://` URL"),
            setting("sql_file", "none", "file that holds the same"),
            setting(
                "reserve_bytes",
                "67,108,864, or a sixteenth of a small file system",
                "disk set aside for operators' own events when it is full; 0 for none",
            ),
        ],
        outro: "",
    },
    Section {
        path: "outgoing",
        heading: "`[outgoing]`",
        intro: "",
        settings: &[setting("ca_bundles", "none", "PEM files of authorities trusted beside the system's")],
        outro: "",
    },
];

const UPSTREAMS: &str =
    "Each upstream has a default route for its models. The name `practice` is the practice model's while that is on.
`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are obeyed for everything that is not on this machine.

`GET /v1/models` lists the models known by name that the key may use: those that configuration and the key name, and,
where a route names them by pattern, those the upstream lists itself (asked with a limit of 2 seconds, kept for a
minute). `GET /v1/models/ID` answers for every id that the key may use.

Every answer names its event in `x-haris-event`, refusals included; of a flood of refusals without a key, those that are
only counted name the last that was recorded. Where the event could not be made durable (503 `audit_unavailable`, and
what `dangerously_allow` lets pass), the answer says `x-haris-recorded: no` instead, and `x-haris-request` is the id
under which the log on standard error speaks of it; `x-haris-recorded: request` means that the request's event is there
and the answer's is not. There is no event, and no header, where nothing was decided (the lists of models). A request
whose target and headers have over 16 KiB, or that has over 128 headers, gets a 431 in words. Over 128 KiB or 1,024
headers the HTTP library answers before anybody reads who asks: that 431 has no body and no header, and its event is a
stranger's.";

const ROUTES: &str = "Verdicts are `allow`, `observe` (shadow mode), `redact` and `block`. A rule id (`secret.aws-access-key`) is more
specific than its kind (`secret`). Without settings:

| | requests | answers |
|---|---|---|
| personal data (qid, iban, card, phone, email, passport, account, name, address, dob, ip, national-id) | redact outside `country`, observe inside | redact |
| secret, hidden-unicode | redact | redact |
| injection | block | observe |
| exfiltration | block | redact |
| swift, unsafe | observe | observe |";

const HEAD: &str = "# Configuration

<!-- Made by `haris config reference`. -->

`haris serve --config haris.toml` (or `HARIS_CONFIG`). Everything has a default; unknown keys are errors. No secret
stands in this file: keys and database URLs come from an environment variable (`…_env`) or a file (`…_file`).

`haris config check` reads a file as a start would and changes nothing; `haris config show` prints what is in force with
every default. On SIGHUP a running server reads its file again: upstreams, routes, `country` and `outgoing` take effect
at once, what else changed is named and waits for a restart. A file with a mistake leaves the old configuration in force.
";

const TAIL: &str = "
## Environment

`HARIS_DATA`, `HARIS_KEYS`, `HARIS_CONFIG` stand for the options of the same name; `HARIS_LOG` filters the JSON log
on stderr (`info`, `debug`, `haris_gateway=debug`). `NO_COLOR` is obeyed.
";

/// The reference, in Markdown.
pub(crate) fn reference() -> String {
    let mut out = HEAD.to_owned();
    for section in SECTIONS {
        if !section.heading.is_empty() {
            let _ = write!(out, "\n## {}\n", section.heading);
        }
        if !section.intro.is_empty() {
            let _ = write!(out, "\n{}\n", section.intro);
        }
        out.push_str("\n| setting | default | meaning |\n|---|---|---|\n");
        for setting in section.settings {
            let _ = writeln!(out, "| `{}` | {} | {} |", setting.key, setting.default, setting.meaning);
        }
        if !section.outro.is_empty() {
            let _ = write!(out, "\n{}\n", section.outro);
        }
    }
    out.push_str("\n## `[limits]`\n\nIn bytes, seconds and counts. None may be zero, `drain_seconds` excepted.\n\n");
    out.push_str("| setting | default | meaning |\n|---|---|---|\n");
    let limits = Limits::default();
    for limit in LIMITS {
        let meaning = limit.meaning.trim().trim_end_matches('.');
        let _ = writeln!(out, "| `{}` | {} | {} |", limit.key, grouped((limit.value)(&limits)), lower(meaning));
    }
    out.push_str(TAIL);
    out
}

/// `8,388,608`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Keys that are no settings, each with the near one if there is one: `limits.body_byte is no setting; did you mean …`.
pub(crate) fn unknown_keys(file: &toml::Table) -> Vec<String> {
    let mut unknown = Vec::new();
    walk("", "", file, &mut unknown);
    unknown
}

fn walk(path: &str, shown: &str, table: &toml::Table, unknown: &mut Vec<String>) {
    let join = |base: &str, key: &str| if base.is_empty() { key.to_owned() } else { format!("{base}.{key}") };
    for (key, value) in table {
        let (inner, shown_inner) = (join(path, key), join(shown, key));
        match known(path, key) {
            Known::Setting | Known::Free => {}
            Known::Table => match value {
                toml::Value::Table(table) => walk(&inner, &shown_inner, table, unknown),
                toml::Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        if let toml::Value::Table(table) = item {
                            walk(&format!("{inner}[]"), &format!("{shown_inner}[{index}]"), table, unknown);
                        }
                    }
                }
                // Of the wrong type: reading it says so.
                _ => {}
            },
            Known::Names => {
                if let toml::Value::Table(table) = value {
                    walk(&format!("{path}.NAME"), &shown_inner, table, unknown);
                }
            }
            Known::Not => {
                let near = nearest(key, candidates(path))
                    .map(|near| format!("; did you mean `{}`?", join(shown, near)))
                    .unwrap_or_default();
                unknown.push(format!("`{shown_inner}` is no setting{near}"));
            }
        }
    }
}

enum Known {
    Setting,
    /// What is in it is the user's own.
    Free,
    /// A table of settings, or a list of such.
    Table,
    /// A name that the user gave to a table of settings.
    Names,
    Not,
}

fn known(path: &str, key: &str) -> Known {
    if path == "limits" {
        return if LIMITS.iter().any(|limit| limit.key == key) { Known::Setting } else { Known::Not };
    }
    if let Some(setting) = section(path).and_then(|section| section.settings.iter().find(|one| one.key == key)) {
        return if setting.free { Known::Free } else { Known::Setting };
    }
    let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if SECTIONS.iter().any(|section| section.path == format!("{path}.NAME")) {
        return Known::Names;
    }
    let begins = |section: &Section| {
        let path = section.path.trim_end_matches("[]");
        path == inner || path.strip_prefix(&inner).is_some_and(|rest| rest.starts_with('.'))
    };
    if inner == "limits" || SECTIONS.iter().any(begins) { Known::Table } else { Known::Not }
}

fn section(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

/// What may stand in the table at `path`.
fn candidates(path: &str) -> Vec<&'static str> {
    if path == "limits" {
        return LIMITS.iter().map(|limit| limit.key).collect();
    }
    let mut names: Vec<&str> =
        section(path).map(|section| section.settings.iter().map(|one| one.key).collect()).unwrap_or_default();
    if path.is_empty() {
        names.extend(
            SECTIONS.iter().filter_map(|section| section.path.split(['.', '[']).next()).filter(|p| !p.is_empty()),
        );
        names.push("limits");
    }
    names
}

/// The candidate with the fewest edits, if those are few for its length.
fn nearest<'c>(word: &str, candidates: Vec<&'c str>) -> Option<&'c str> {
    let (edits, near) = candidates.into_iter().map(|one| (distance(word, one), one)).min()?;
    (edits <= 2.max(near.len() / 3)).then_some(near)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::Config;

    fn unknown(text: &str) -> Vec<String> {
        unknown_keys(&text.parse().unwrap())
    }

    #[test]
    fn unknown_keys_suggest_the_near_one() {
        for (text, expected) in [
            ("listn = 1", "`listn` is no setting; did you mean `listen`?"),
            ("[limits]\nbody_byte = 1", "`limits.body_byte` is no setting; did you mean `limits.body_bytes`?"),
            ("[alert]\nsyslog = 1", "`alert` is no setting; did you mean `alerts`?"),
            ("[upstreams.bank]\nurll = 1", "`upstreams.bank.urll` is no setting; did you mean `upstreams.bank.url`?"),
            ("[[routes]]\n[[routes]]\nmodel = 1", "`routes[1].model` is no setting; did you mean `routes[1].models`?"),
            ("frobnicate = 1", "`frobnicate` is no setting"),
        ] {
            assert_eq!(unknown(text), [expected], "{text}");
        }
        assert_eq!(unknown("a1 = 1\nb2 = 1").len(), 2, "all are named");
        assert!(
            unknown("[[routes]]\n[routes.request]\n\"secret.anything\" = 1\n[upstreams.any-name]\nurl = 1").is_empty()
        );
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, edits) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), edits);
        }
    }

    /// Keys that the structs write, as the table names their places.
    fn keys(path: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if matches!(known(path, key), Known::Free) {
                        into.insert(format!("{path}.{key}"));
                        continue;
                    }
                    match value {
                        Value::Object(_) if path == "upstreams" => keys("upstreams.NAME", value, into),
                        Value::Object(_) => keys(key, value, into),
                        Value::Array(items) if items.iter().any(Value::is_object) => {
                            items.iter().for_each(|item| keys(&format!("{key}[]"), item, into));
                        }
                        _ => {
                            into.insert(format!("{path}.{key}"));
                        }
                    }
                }
            }
            other => panic!("{path}: {other}"),
        }
    }

    #[test]
    fn the_table_names_every_setting_and_no_other() {
        let text = "[[witnesses]]\nname = \"w\"\nurl = \"http://h\"\nkeys = []\n[upstreams.a]\nurl = \"http://h\"\nprovider = \"p\"\nplace = \"QA\"\nmodels = [\"*\"]\n\
                    [[routes]]\nname = \"r\"\nmodels = [\"*\"]\nupstream = \"a\"\non_witness_lag = \"allow\"\n";
        let mut written = BTreeSet::new();
        keys("", &Config::parse(text).unwrap().value(), &mut written);
        let mut listed: BTreeSet<String> = SECTIONS
            .iter()
            .flat_map(|section| section.settings.iter().map(move |one| format!("{}.{}", section.path, one.key)))
            .collect();
        listed.extend(LIMITS.iter().map(|limit| format!("limits.{}", limit.key)));
        assert_eq!(written, listed);
    }

    #[test]
    fn the_document_is_what_is_made_from_the_table() {
        let document = include_str!("../../../../../docs/configuration.md");
        assert!(document == reference(), "run: haris config reference > docs/configuration.md");
    }
}
