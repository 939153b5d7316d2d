//! SIGHUP: the configuration is read again. What may change at once does; a mistake leaves what was in force.

use std::path::PathBuf;
use std::sync::Arc;

use haris_domain::{Actor, Draft, kind};
use haris_operations::Vitals;
use haris_text::Engine;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::compile::{self, Practice};
use crate::config::Config;
use crate::guard::Guard;
use crate::home::{clock, differing};
use crate::{Failure, serve};

/// Settings that take effect at once; everything else waits for a restart.
const AT_ONCE: [&str; 4] = ["upstreams", "routes", "country", "outgoing"];

/// What reading again needs.
pub(crate) struct Reload {
    pub(crate) path: Option<PathBuf>,
    pub(crate) config: Config,
    pub(crate) engine: Arc<Engine>,
    pub(crate) practice: Option<Practice>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) vitals: Arc<Vitals>,
}

impl Reload {
    /// Reads again at each SIGHUP until told to stop.
    pub(crate) fn spawn(mut self, mut hangup: Signal, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    heard = hangup.recv() => if heard.is_none() { return },
                    _ = stop.changed() => return,
                }
                let error = self.read_again().await.err();
                if let Some(failure) = &error {
                    tracing::error!(why = failure.message, "the old configuration stays in force");
                }
                self.vitals.configuration(error.map(|failure| failure.message));
            }
        })
    }

    async fn read_again(&mut self) -> Result<(), Failure> {
        let read = Config::read(self.path.as_deref()).and_then(|config| {
            let rules = compile::rules(&config, &self.engine, self.practice.as_ref())?;
            compile::rest(&config, None)?;
            Ok((config, rules))
        });
        let (config, rules) = match read {
            Ok(read) => read,
            Err(failure) => {
                // Why stands in the log and in `status`: what a person wrote has no place in a leaf.
                let draft = Draft::new(&kind::CONFIG_REFUSED, clock(), Actor::service("haris"))
                    .with("in_force", self.config.digest().to_string());
                let recorded = self.guard.ledger.append(vec![(draft, Vec::new())]).await;
                return Err(recorded.err().map_or(failure, |error| Failure::because("ledger", &error)));
            }
        };
        let mut changed = Vec::new();
        differing("", &self.config.value(), &config.value(), &mut changed);
        let (now, later): (Vec<String>, Vec<String>) =
            changed.into_iter().partition(|name| AT_ONCE.contains(&name.split('.').next().unwrap_or_default()));
        let draft = Draft::new(&kind::CONFIG_RELOADED, clock(), Actor::service("haris"))
            .with("config", config.digest().to_string())
            .with("changed", now.clone())
            .with("after_restart", later.clone());
        // On record before it is in force.
        let drafts = vec![(draft, Vec::new()), (serve::policy_loaded(&rules), Vec::new())];
        let recorded = self.guard.ledger.append(drafts).await;
        recorded.map_err(|error| Failure::because("ledger", &error))?;
        self.guard.rules.store(Arc::new(rules));
        tracing::info!(?now, ?later, "the configuration was read again; `later` waits for a restart");
        self.config = config;
        Ok(())
    }
}
