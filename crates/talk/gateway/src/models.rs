//! `GET /v1/models` and `GET /v1/models/{id}`: what the caller's key may use. Nothing is asked
//! upstream, so nothing is recorded.

use haris_policy::Policy;

use crate::json::write_string;
use crate::{Caller, Upstreams};

/// The list.
pub(crate) fn list(upstreams: &Upstreams, policy: &Policy, caller: &Caller) -> Vec<u8> {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, (model, provider)) in allowed(upstreams, policy, caller).into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        describe(model, provider, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

/// One model, if the caller may use it.
pub(crate) fn one(upstreams: &Upstreams, policy: &Policy, caller: &Caller, id: &str) -> Option<Vec<u8>> {
    let (model, provider) = allowed(upstreams, policy, caller).into_iter().find(|(model, _)| *model == id)?;
    let mut out = Vec::with_capacity(128);
    describe(model, provider, &mut out);
    Some(out)
}

/// A model is listed when its upstream names it, a route leads there, and the key allows it.
fn allowed<'u>(upstreams: &'u Upstreams, policy: &Policy, caller: &Caller) -> Vec<(&'u str, &'u str)> {
    let mut out: Vec<(&str, &str)> = upstreams
        .iter()
        .flat_map(|upstream| upstream.models.iter().map(move |model| (upstream, model)))
        .filter(|(upstream, model)| policy.route(model).is_some_and(|route| route.upstream == upstream.name))
        .filter(|(_, model)| caller.models.iter().any(|pattern| pattern.matches(model)))
        .map(|(upstream, model)| (model.as_str(), upstream.provider.as_str()))
        // An upstream may be told to serve `gpt-*`; that is a pattern and no model.
        .filter(|(model, _)| !model.contains('*'))
        .collect();
    out.sort_unstable();
    out.dedup_by_key(|(model, _)| *model);
    out
}

fn describe(model: &str, provider: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    write_string(model, out);
    // No date is known here; clients read the field as a number.
    out.extend_from_slice(b",\"object\":\"model\",\"created\":0,\"owned_by\":");
    write_string(provider, out);
    out.push(b'}');
}
