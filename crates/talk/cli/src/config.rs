//! `haris.toml`: what a person configures, read strictly.
//!
//! Unknown keys are errors. Secrets are never in this file: a provider's key and a database's URL
//! come from an environment variable or a file that it names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haris_domain::{Digest, canonical};
use haris_gateway::{Limits, Outgoing, ProxySource, Secret, Upstream};
use haris_policy::{Environment, RouteSettings, UpstreamFacts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;
use crate::country::{is_country, is_place};
use crate::witnesses::{AnchorSettings, WitnessSettings};

/// Where the server listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8787";
/// Nobody's configuration is longer.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The whole file. Everything has a default.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: Option<String>,
    /// The bank's country, ISO 3166 alpha-2: upstreams elsewhere get no personal data.
    pub(crate) country: Option<String>,
    /// The practice model; default on while there is no upstream and the listener is loopback.
    pub(crate) practice: Option<bool>,
    /// Name of both logs, as a URL without scheme; fixed at the first start.
    pub(crate) origin: Option<String>,
    /// Threads that serve requests; default one per core.
    pub(crate) threads: Option<NonZeroUsize>,
    /// Where rows are kept.
    pub(crate) storage: StorageSettings,
    /// How calls leave this machine.
    pub(crate) outgoing: OutgoingSettings,
    /// Services that answer, by name.
    pub(crate) upstreams: BTreeMap<String, UpstreamSettings>,
    /// Routes, in order; the first that matches wins.
    pub(crate) routes: Vec<RouteSettings>,
    /// Who cosigns checkpoints.
    pub(crate) witnesses: Vec<WitnessSettings>,
    /// How many of them must have cosigned lately; all of them by default.
    pub(crate) witness_quorum: Option<NonZeroUsize>,
    /// How old the newest cosignature of that many may be.
    pub(crate) witness_max_age_seconds: Option<NonZeroU64>,
    /// Where checkpoints are written besides.
    pub(crate) anchors: AnchorSettings,
    /// Bounds.
    pub(crate) limits: LimitSettings,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StorageSettings {
    /// Environment variable that holds a `postgres://` URL; SQLite in the data directory otherwise.
    sql_env: Option<String>,
    /// File that holds the same.
    sql_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutgoingSettings {
    /// PEM files of certificate authorities trusted beside the system's.
    ca_bundles: Vec<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamSettings {
    /// Base URL of an OpenAI-compatible service.
    url: String,
    /// Who runs it; recorded in every event.
    provider: String,
    /// Where it runs: ISO 3166 (`QA`, `US`, `IE-D`); recorded in every event.
    place: String,
    /// Environment variable that holds its key.
    #[serde(default)]
    key_env: Option<String>,
    /// File that holds its key.
    #[serde(default)]
    key_file: Option<PathBuf>,
    /// Patterns of the models it serves.
    models: Vec<String>,
}

macro_rules! limit_settings {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty => $field:ident $convert:expr;)*) => {
        /// Bounds, in bytes, seconds and counts. What is not given keeps its default.
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct LimitSettings {
            $($(#[doc = $doc])* $name: Option<$type>,)*
        }

        impl LimitSettings {
            pub(crate) fn apply(&self) -> Limits {
                let mut limits = Limits::default();
                $(if let Some(value) = self.$name { limits.$field = $convert(value); })*
                limits
            }
        }
    };
}

limit_settings! {
    /// A request's headers.
    header_bytes: NonZeroUsize => header_bytes NonZeroUsize::get;
    /// From a request's first byte to the end of its headers.
    header_read_seconds: NonZeroU64 => header_read seconds;
    /// A request's body.
    body_bytes: NonZeroUsize => body_bytes NonZeroUsize::get;
    /// From the end of the headers to the end of the body.
    body_read_seconds: NonZeroU64 => body_read seconds;
    /// Arrays and objects inside each other.
    json_depth: NonZeroUsize => json_depth NonZeroUsize::get;
    /// An answer after decompression.
    answer_bytes: NonZeroUsize => answer_bytes NonZeroUsize::get;
    /// To reach an upstream.
    connect_seconds: NonZeroU64 => connect seconds;
    /// From sending a request to the head of its answer.
    first_byte_seconds: NonZeroU64 => first_byte seconds;
    /// Between two pieces of an answer.
    idle_seconds: NonZeroU64 => idle seconds;
    /// The whole exchange with an upstream.
    total_seconds: NonZeroU64 => total seconds;
    /// How long a client may take nothing of what is ready for it.
    client_stall_seconds: NonZeroU64 => client_stall seconds;
    /// Requests of one caller at the same time.
    caller_requests: NonZeroUsize => caller_requests NonZeroUsize::get;
    /// Of those, streams.
    caller_streams: NonZeroUsize => caller_streams NonZeroUsize::get;
    /// Open connections.
    connections: NonZeroUsize => connections NonZeroUsize::get;
    /// Bodies and answers in memory.
    buffered_bytes: NonZeroUsize => buffered_bytes NonZeroUsize::get;
    /// How long open requests may go on after a stop was asked for.
    drain_seconds: u64 => drain Duration::from_secs;
}

fn seconds(count: NonZeroU64) -> Duration {
    Duration::from_secs(count.get())
}

impl Config {
    /// Reads the file, or gives the defaults when there is none to read.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = read_bounded(path)?;
        Self::parse(&text).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))
    }

    /// Reads the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        // A country written in another way would count every place as abroad, and nobody would see why.
        if let Some(country) = config.country.as_ref().filter(|country| !is_country(country)) {
            return Err(format!("country = \"{country}\": write its two letters of ISO 3166-1, such as QA"));
        }
        if let Some((name, upstream)) = config.upstreams.iter().find(|(_, upstream)| !is_place(&upstream.place)) {
            return Err(format!(
                "upstreams.{name}.place = \"{}\": write the country it runs in, by its two letters of ISO 3166-1 such \
                 as QA or US, or a part of it such as IE-D",
                upstream.place
            ));
        }
        if let Some((name, _)) = config.upstreams.iter().find(|(_, upstream)| upstream.models.is_empty()) {
            return Err(format!(
                "upstreams.{name}.models names no model, so nothing would reach it; write [\"*\"] for all"
            ));
        }
        Ok(config)
    }

    pub(crate) fn listen(&self, given: Option<&str>) -> Result<SocketAddr, Failure> {
        let text = given.or(self.listen.as_deref()).unwrap_or(LISTEN);
        text.parse().map_err(|_| {
            Failure::usage(format!(
                "`{text}` is no address to listen on; write it like 127.0.0.1:8787, or 127.0.0.1:0 for a free port"
            ))
        })
    }

    /// The database's URL.
    pub(crate) fn sql(&self, data: &Path) -> Result<String, Failure> {
        let storage = &self.storage;
        match secret("storage", "sql", storage.sql_env.as_deref(), storage.sql_file.as_deref())? {
            Some(url) => Ok(url),
            None => Ok(format!("sqlite:{}", data.join("haris.db").display())),
        }
    }

    pub(crate) fn outgoing(&self, limits: &Limits) -> Result<Outgoing, Failure> {
        let mut extra_ca_pem = Vec::new();
        for path in &self.outgoing.ca_bundles {
            let pem = std::fs::read(path);
            extra_ca_pem
                .push(pem.map_err(|error| Failure::usage(format!("could not read {}: {error}", path.display())))?);
        }
        Ok(Outgoing { proxy: ProxySource::Environment, extra_ca_pem, connect: limits.connect })
    }

    /// The configured upstreams, with their keys read.
    pub(crate) fn upstreams(&self) -> Result<Vec<Upstream>, Failure> {
        let mut upstreams = Vec::new();
        for (name, settings) in &self.upstreams {
            let what = format!("upstreams.{name}");
            let url = settings.url.parse();
            let key = secret(&what, "key", settings.key_env.as_deref(), settings.key_file.as_deref())?;
            upstreams.push(Upstream {
                name: name.clone(),
                url: url.map_err(|_| Failure::usage(format!("{what}.url = \"{}\" is no URL", settings.url)))?,
                provider: settings.provider.clone(),
                place: settings.place.clone(),
                key: key.map(Secret::new),
                models: settings.models.clone(),
            });
        }
        Ok(upstreams)
    }

    /// What the policy must know of the configured upstreams.
    pub(crate) fn facts(&self) -> Vec<UpstreamFacts> {
        let facts = |(name, settings): (&String, &UpstreamSettings)| UpstreamFacts {
            name: name.clone(),
            models: settings.models.clone(),
            inside_country: self.is_inside(&settings.place),
            environment: Environment::Production,
        };
        self.upstreams.iter().map(facts).collect()
    }

    fn is_inside(&self, place: &str) -> bool {
        let country = self.country.as_deref().unwrap_or("QA");
        let head = place.split('-').next().unwrap_or_default();
        head.eq_ignore_ascii_case(country)
    }

    /// Digest of the whole configuration; every decision names it.
    pub(crate) fn digest(&self) -> Digest {
        let bytes = canonical::to_vec(&self.value()).expect("a configuration holds text, booleans and small integers");
        crate::sha256(&bytes)
    }

    /// The configuration as a value, without secrets: it never held any.
    pub(crate) fn value(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("a configuration has a JSON form");
        forget_floats(&mut value);
        value
    }
}

/// Sizes beyond 2^53 have no canonical form; as text they do.
fn forget_floats(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_i64().is_none_or(|n| n.unsigned_abs() >= 1 << 53) => {
            *value = Value::String(number.to_string());
        }
        Value::Array(items) => items.iter_mut().for_each(forget_floats),
        Value::Object(map) => map.values_mut().for_each(forget_floats),
        _ => {}
    }
}

fn read_bounded(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::usage(format!("could not read {}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > CONFIG_BYTES_MAX {
        return Err(failed(format!("{length} bytes are no configuration")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// A secret from an environment variable or a file, never from the configuration itself.
fn secret(section: &str, name: &str, variable: Option<&str>, file: Option<&Path>) -> Result<Option<String>, Failure> {
    let text = match (variable, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Failure::usage(format!("[{section}]: give {name}_env or {name}_file, not both")));
        }
        (Some(variable), None) => std::env::var(variable).map_err(|_| {
            Failure::usage(format!("[{section}]: {name}_env names {variable}, which is not set in the environment"))
        })?,
        (None, Some(file)) => read_bounded(file)?,
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::usage(format!("[{section}]: the {name} is empty")));
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.listen(None).unwrap().to_string(), LISTEN);
        assert_eq!(config.limits.apply(), Limits::default());
        assert_eq!(config.sql(Path::new("/d")).unwrap(), "sqlite:/d/haris.db");
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("listn = \"x\"", "listn"),
            ("[limits]\nbody_byte = 1", "body_byte"),
            ("[upstreams.a]\nurl = \"http://h\"", "provider"),
            ("[upstreams.a]\nurl = \"http://h\"\nkey = \"sk-1\"", "key"),
            ("listen = ", "line 1"),
            ("country = \"Qatar\"", "two letters"),
            ("country = \"ZZ\"", "two letters"),
            (
                "[upstreams.a]\nurl = \"http://h\"\nprovider = \"p\"\nplace = \"zz9\"\nmodels = [\"*\"]",
                "upstreams.a.place = \"zz9\"",
            ),
            ("threads = 0", "nonzero"),
            ("[limits]\nbody_bytes = 0", "nonzero"),
            ("[upstreams.a]\nurl = \"http://h\"\nprovider = \"p\"\nplace = \"US\"\nmodels = []", "names no model"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn places_are_inside_or_outside_the_country() {
        let config = Config::parse("country = \"QA\"").unwrap();
        for (place, inside) in [("QA", true), ("qa", true), ("QA-DA", true), ("US", false), ("QAX", false), ("", false)]
        {
            assert_eq!(config.is_inside(place), inside, "{place}");
        }
    }

    #[test]
    fn every_setting_changes_the_digest_and_huge_ones_have_one() {
        let digest = |text: &str| Config::parse(text).unwrap().digest();
        assert_eq!(digest(""), digest("# a comment"));
        assert_ne!(digest(""), digest("country = \"AE\""));
        assert_ne!(digest(""), digest("[limits]\nbody_bytes = 9223372036854775807"));
    }
}
