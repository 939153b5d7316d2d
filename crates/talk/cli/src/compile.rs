//! From a configuration to what decides: the same steps for a start, a check, and a file that is read again.

use std::net::SocketAddr;

use haris_gateway::{InForce, Limits, Upstream, Upstreams, Versions};
use haris_policy::{Policy, UpstreamFacts};
use haris_text::Engine;

use crate::config::Config;
use crate::witnesses::Witnessing;
use crate::{Failure, newcomer};

/// The practice model, where one runs.
pub(crate) type Practice = (Upstream, UpstreamFacts);

/// Compiles everything that may change while a server runs. Opens nothing, and changes nothing.
pub(crate) fn rules(config: &Config, engine: &Engine, practice: Option<&Practice>) -> Result<InForce, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because("configuration", error);
    let limits = config.limits.apply();
    let (mut upstreams, mut facts) = (config.upstreams()?, config.facts());
    if let Some((upstream, fact)) = practice {
        let name = newcomer::PRACTICE;
        if config.upstreams.contains_key(name) {
            return Err(Failure::usage(format!(
                "[upstreams.{name}]: this is the practice model's name; choose another, or set practice = false"
            )));
        }
        upstreams.push(upstream.clone());
        facts.push(fact.clone());
    }
    let policy = Policy::compile(&config.routes, &facts, engine.rules()).map_err(|error| failed(&error))?;
    let upstreams = Upstreams::new(upstreams, &config.outgoing(&limits)?).map_err(|error| failed(&error))?;
    let versions = Versions {
        engine: format!("haris-text/{}", engine.version()),
        rules: rules_digest(engine),
        config: config.digest().to_string(),
    };
    Ok(InForce { policy, upstreams, versions })
}

/// Reads what a start reads besides: addresses, limits, witnesses, the sink of alerts, secrets.
pub(crate) fn rest(config: &Config, listen: Option<&str>) -> Result<(SocketAddr, Limits), Failure> {
    let address = config.listen(listen)?;
    config.sql(std::path::Path::new("."))?;
    config.alert_sink()?;
    config.metrics_listen()?;
    Witnessing::of(config)?;
    Ok((address, config.limits.apply()))
}

/// Digest over what every rule says of itself, with the engine's version.
fn rules_digest(engine: &Engine) -> String {
    let mut text = format!("{}\n", engine.version());
    for rule in engine.rules() {
        text.push_str(&format!("{}\t{}\t{}\t{}\n", rule.id, rule.severity, rule.title, rule.meaning));
    }
    crate::sha256(text.as_bytes()).to_string()
}
