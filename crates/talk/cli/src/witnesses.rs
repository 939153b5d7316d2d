//! Witnesses and lesser anchors, as the configuration names them.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use haris_ledger::Ledger;
use haris_witnessing::{Anchors, Cosigners, Peer, Settings, Syslog};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::config::Config;
use crate::home::clock;

/// How old the newest cosignature may be unless the configuration says otherwise.
const MAX_AGE_SECONDS: u64 = 60;

/// One `[[witnesses]]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessSettings {
    /// What status and events call it.
    name: String,
    /// Its submission prefix.
    url: String,
    /// Verifier keys that it signs with.
    keys: Vec<String>,
}

/// The `[anchors]` table.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AnchorSettings {
    /// A file that checkpoints are appended to.
    file: Option<PathBuf>,
    /// `unix:/dev/log`, `udp:HOST:PORT` or `tcp:HOST:PORT`.
    syslog: Option<String>,
}

/// What the configuration says of witnesses, read before anything is opened.
pub(crate) struct Witnessing {
    settings: Option<Settings>,
    file: Option<PathBuf>,
    syslog: Option<Syslog>,
}

impl Witnessing {
    pub(crate) fn of(config: &Config) -> Result<Self, Failure> {
        let syslog = config.anchors.syslog.as_deref().map(str::parse::<Syslog>).transpose();
        let syslog = syslog.map_err(|error| Failure::because("[anchors]", &error))?;
        Ok(Self { settings: settings(config)?, file: config.anchors.file.clone(), syslog })
    }

    /// Both for this ledger; neither has begun.
    pub(crate) fn with(self, ledger: &Ledger) -> (Option<Cosigners>, Option<Anchors>) {
        let cosigners = self.settings.map(|settings| Cosigners::new(settings, ledger.clone(), clock));
        let wanted = self.file.is_some() || self.syslog.is_some();
        let anchors = wanted.then(|| Anchors::new(ledger.clone(), clock, self.file, self.syslog));
        (cosigners, anchors)
    }
}

fn settings(config: &Config) -> Result<Option<Settings>, Failure> {
    let count = config.witnesses.len();
    let quorum = config.witness_quorum.map(NonZeroUsize::get);
    if let Some(quorum) = quorum.filter(|quorum| *quorum > count) {
        return Err(Failure::usage(format!("witness_quorum = {quorum}: there are {count} [[witnesses]]")));
    }
    if count == 0 {
        let wants = config.routes.iter().find(|route| route.on_witness_lag.as_deref() == Some("refuse"));
        return match wants {
            Some(route) => Err(Failure::usage(format!(
                "route `{}`: on_witness_lag = \"refuse\", and there are no [[witnesses]] that could lag",
                route.name
            ))),
            None => Ok(None),
        };
    }
    let outgoing = config.outgoing(&config.limits.apply())?;
    let mut peers: Vec<Peer> = Vec::with_capacity(count);
    for one in &config.witnesses {
        let bad = |why: String| Failure::usage(format!("[[witnesses]] {}: {why}", one.name));
        let url: reqwest::Url = one.url.parse().map_err(|_| bad(format!("url = \"{}\" is no URL", one.url)))?;
        let client = outgoing.client(&url).map_err(|error| Failure::because("[[witnesses]]", &error))?;
        let peer =
            Peer::new(&one.name, url, &one.keys, client).map_err(|error| Failure::because("[[witnesses]]", &error))?;
        if peers.iter().any(|known| known.name == peer.name || known.keys.iter().any(|key| peer.keys.contains(key))) {
            return Err(bad("another one has its name or a key of it".to_owned()));
        }
        peers.push(peer);
    }
    let max_age = config.witness_max_age_seconds.map_or(MAX_AGE_SECONDS, NonZeroU64::get);
    Ok(Some(Settings { peers, quorum, max_age: Duration::from_secs(max_age) }))
}
