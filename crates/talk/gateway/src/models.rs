//! `GET /v1/models` and `GET /v1/models/{id}`: what the caller's key may use. No caller's words go
//! upstream for it, so nothing is recorded.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use haris_domain::{Context, Verdict};
use haris_policy::{Direction, Policy, Route};

use crate::json::write_string;
use crate::{Caller, Upstream, Wiring};

/// The list: every model that is known by name, of those that the key may use. Configuration often
/// names them by pattern; then the key may name some, and the upstream is asked for its list.
pub(crate) async fn list(wiring: &Wiring, policy: &Policy, caller: &Caller) -> Vec<u8> {
    let mut models: BTreeMap<String, &str> = BTreeMap::new();
    let configured = policy.routes().iter().flat_map(|route| &route.models).chain(&caller.models);
    let exact = configured.filter(|pattern| pattern.is_exact()).map(ToString::to_string);
    let served = wiring.upstreams.iter().flat_map(|upstream| upstream.models.iter().cloned());
    for model in exact.chain(served.filter(|model| !model.contains('*'))) {
        if let Some((_, upstream)) = allowed(wiring, policy, caller, &model) {
            models.insert(model, &upstream.provider);
        }
    }
    for (upstream, names) in join_all(patterned(wiring, policy)).await {
        for name in names.iter() {
            // What an upstream lists counts only where it serves it, and is text from outside.
            if let Some((route, serving)) = allowed(wiring, policy, caller, name)
                && serving.name == upstream
                && !models.contains_key(name)
                && is_clean(wiring, route, name)
            {
                models.insert(name.clone(), &serving.provider);
            }
        }
    }
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, (model, provider)) in models.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        describe(&model, provider, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

/// One model, if the caller may use it.
pub(crate) fn one(wiring: &Wiring, policy: &Policy, caller: &Caller, id: &str) -> Option<Vec<u8>> {
    let (_, upstream) = allowed(wiring, policy, caller, id)?;
    let mut out = Vec::with_capacity(128);
    describe(id, &upstream.provider, &mut out);
    Some(out)
}

/// Where a model leads that the caller may use.
fn allowed<'w>(
    wiring: &'w Wiring,
    policy: &'w Policy,
    caller: &Caller,
    model: &str,
) -> Option<(&'w Route, &'w Upstream)> {
    if model.is_empty() || !caller.models.iter().any(|pattern| pattern.matches(model)) {
        return None;
    }
    let route = policy.route(model)?;
    Some((route, wiring.upstreams.find(&route.upstream)?))
}

/// Upstreams to which a pattern leads, with what they list.
fn patterned<'w>(
    wiring: &'w Wiring,
    policy: &'w Policy,
) -> impl Iterator<Item = impl Future<Output = (&'w str, std::sync::Arc<[String]>)>> {
    let leads_there = |upstream: &&Upstream| {
        let routes = policy.routes().iter().filter(|route| route.upstream == upstream.name);
        routes.flat_map(|route| &route.models).any(|pattern| !pattern.is_exact())
    };
    let ready = |upstream: &'w Upstream| wiring.upstreams.ready(&upstream.name);
    wiring
        .upstreams
        .iter()
        .filter(leads_there)
        .filter_map(ready)
        .map(|ready| async move { (ready.upstream.name.as_str(), ready.listed().await) })
}

fn is_clean(wiring: &Wiring, route: &Route, name: &str) -> bool {
    let found = wiring.engine.inspect(name, Context::Output).detections;
    found.iter().all(|detection| route.verdict(Direction::Answer, detection) < Verdict::Redact)
}

fn describe(model: &str, provider: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    write_string(model, out);
    // No date is known here; clients read the field as a number.
    out.extend_from_slice(b",\"object\":\"model\",\"created\":0,\"owned_by\":");
    write_string(provider, out);
    out.push(b'}');
}
