//! A compiled policy: routes in order, the first match wins.

use haris_domain::canonical;
use haris_domain::{Detection, Digest, Rule, Stored, Verdict};
use serde_json::{Value, json};

use crate::{BadPattern, Direction, Pattern, RouteSettings, Verdicts};

const RETAIN_DAYS: u32 = 90;

/// What to do with something that cannot be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnUnknown {
    /// Refuse the request.
    Refuse,
    /// Let it pass and record that it was not scanned.
    Record,
}

/// What to do when an event cannot be made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnAuditFailure {
    /// No audit, no service.
    Refuse,
    /// Let it pass unrecorded; counted and shown.
    Allow,
}

/// What to do when witnesses have not cosigned for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnWitnessLag {
    /// Go on; status, event and alert say so.
    Allow,
    /// No witness, no service.
    Refuse,
}

/// Whether traffic counts in controls and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Environment {
    /// It counts.
    Production,
    /// The practice model: left out of controls, roll-ups and reports.
    Practice,
}

impl Environment {
    /// `production` or `practice`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Practice => "practice",
        }
    }
}

/// What the policy must know of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamFacts {
    /// The name routes use.
    pub name: String,
    /// Models that its default route serves.
    pub models: Vec<String>,
    /// Whether it runs inside the bank's country.
    pub inside_country: bool,
    /// Whether its traffic counts.
    pub environment: Environment,
}

/// One way through the gateway.
#[derive(Clone, Debug)]
pub struct Route {
    /// Named in every decision.
    pub name: String,
    /// Which models take it.
    pub models: Vec<Pattern>,
    /// Which upstream answers.
    pub upstream: String,
    /// What is kept of texts.
    pub store: Stored,
    /// How many days payloads are kept.
    pub retain_days: u32,
    /// Fields that the protocol does not know.
    pub unknown_fields: OnUnknown,
    /// Images, audio and files.
    pub media: OnUnknown,
    /// When an event cannot be made durable.
    pub on_audit_failure: OnAuditFailure,
    /// When witnesses have not cosigned for too long.
    pub on_witness_lag: OnWitnessLag,
    /// Whether its traffic counts.
    pub environment: Environment,
    /// Verdicts on what callers send.
    pub request: Verdicts,
    /// Verdicts on what models answer.
    pub answer: Verdicts,
}

impl Route {
    /// The verdict on one detection.
    #[must_use]
    pub fn verdict(&self, direction: Direction, detection: &Detection) -> Verdict {
        self.verdicts(direction).of(detection)
    }

    /// All verdicts of one direction.
    #[must_use]
    pub fn verdicts(&self, direction: Direction) -> &Verdicts {
        match direction {
            Direction::Request => &self.request,
            Direction::Answer => &self.answer,
        }
    }

    fn takes(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model))
    }
}

/// Settings that cannot become a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPolicy {
    /// A word that is none of those possible.
    #[error("route `{route}`: {setting} = \"{given}\" is none of {possible}")]
    Word {
        /// The route.
        route: String,
        /// The setting.
        setting: String,
        /// What was written.
        given: String,
        /// What may be written.
        possible: &'static str,
    },
    /// Neither a detection kind nor a rule that this engine has.
    #[error("route `{route}`: `{name}` is neither a detection kind nor a rule id{}", near(.suggestion))]
    Unknown {
        /// The route.
        route: String,
        /// What was written.
        name: String,
        /// The nearest name there is.
        suggestion: Option<String>,
    },
    /// An upstream that the configuration does not name.
    #[error("route `{route}`: there is no upstream `{upstream}`; add [upstreams.{upstream}] or correct the name")]
    Upstream {
        /// The route.
        route: String,
        /// The upstream it names.
        upstream: String,
    },
    /// A model pattern that cannot match.
    #[error("route `{route}`")]
    Models {
        /// The route.
        route: String,
        /// What is wrong with the pattern.
        source: BadPattern,
    },
    /// Two routes of one name: decisions name routes.
    #[error("two routes are called `{route}`; decisions name their route, so give one another name")]
    Twice {
        /// The name.
        route: String,
    },
}

fn near(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// All routes, in order.
#[derive(Clone, Debug)]
pub struct Policy {
    version: String,
    routes: Vec<Route>,
}

impl Policy {
    /// Compiles the configured routes, followed by a default route for each upstream's own models.
    ///
    /// # Errors
    /// When a word, rule, upstream or pattern is not known.
    pub fn compile(settings: &[RouteSettings], upstreams: &[UpstreamFacts], rules: &[Rule]) -> Result<Self, BadPolicy> {
        let mut routes: Vec<Route> = Vec::new();
        for one in settings {
            let upstream = upstreams.iter().find(|upstream| upstream.name == one.upstream);
            let upstream = upstream
                .ok_or_else(|| BadPolicy::Upstream { route: one.name.clone(), upstream: one.upstream.clone() })?;
            routes.push(configured(one, upstream, rules)?);
        }
        for upstream in upstreams {
            routes.push(default_route(upstream, &format!("default-{}", upstream.name))?);
        }
        for (index, route) in routes.iter().enumerate() {
            if routes[..index].iter().any(|earlier| earlier.name == route.name) {
                return Err(BadPolicy::Twice { route: route.name.clone() });
            }
        }
        Ok(Self { version: version(settings, upstreams), routes })
    }

    /// The first route that takes `model`.
    #[must_use]
    pub fn route(&self, model: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.takes(model))
    }

    /// All routes, in order.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Digest of everything the policy was compiled from; every decision names it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn default_route(upstream: &UpstreamFacts, name: &str) -> Result<Route, BadPolicy> {
    Ok(Route {
        name: name.to_owned(),
        models: patterns(name, &upstream.models)?,
        upstream: upstream.name.clone(),
        store: Stored::Redacted,
        retain_days: RETAIN_DAYS,
        unknown_fields: OnUnknown::Refuse,
        media: OnUnknown::Record,
        on_audit_failure: OnAuditFailure::Refuse,
        on_witness_lag: OnWitnessLag::Allow,
        environment: upstream.environment,
        request: Verdicts::default_for(Direction::Request, upstream.inside_country),
        answer: Verdicts::default_for(Direction::Answer, upstream.inside_country),
    })
}

fn configured(settings: &RouteSettings, upstream: &UpstreamFacts, rules: &[Rule]) -> Result<Route, BadPolicy> {
    let mut route = default_route(upstream, &settings.name)?;
    route.models = patterns(&settings.name, &settings.models)?;
    let word = |setting: &str, given: &str, possible| BadPolicy::Word {
        route: settings.name.clone(),
        setting: setting.to_owned(),
        given: given.to_owned(),
        possible,
    };
    if let Some(given) = &settings.store {
        route.store = Stored::named(given).ok_or_else(|| word("store", given, "none, redacted, full"))?;
    }
    route.retain_days = settings.retain_days.unwrap_or(route.retain_days);
    let on_unknown = |setting, given: &Option<String>, default| match given.as_deref() {
        None => Ok(default),
        Some("refuse") => Ok(OnUnknown::Refuse),
        Some("record") => Ok(OnUnknown::Record),
        Some(given) => Err(word(setting, given, "refuse, record")),
    };
    route.unknown_fields = on_unknown("unknown_fields", &settings.unknown_fields, route.unknown_fields)?;
    route.media = on_unknown("media", &settings.media, route.media)?;
    route.on_audit_failure = match settings.on_audit_failure.as_deref() {
        None | Some("refuse") => OnAuditFailure::Refuse,
        Some("dangerously_allow") => OnAuditFailure::Allow,
        Some(given) => return Err(word("on_audit_failure", given, "refuse, dangerously_allow")),
    };
    route.on_witness_lag = match settings.on_witness_lag.as_deref() {
        None | Some("allow") => OnWitnessLag::Allow,
        Some("refuse") => OnWitnessLag::Refuse,
        Some(given) => return Err(word("on_witness_lag", given, "allow, refuse")),
    };
    for (direction, given, verdicts) in
        [("request", &settings.request, &mut route.request), ("answer", &settings.answer, &mut route.answer)]
    {
        for (name, verdict) in given {
            known(&settings.name, name, rules)?;
            let verdict = Verdict::named(verdict)
                .ok_or_else(|| word(&format!("{direction}.{name}"), verdict, "allow, observe, redact, block"))?;
            verdicts.set(name, verdict);
        }
    }
    Ok(route)
}

fn known(route: &str, name: &str, rules: &[Rule]) -> Result<(), BadPolicy> {
    let kinds = haris_domain::DetectionKind::ALL.iter().map(|kind| kind.name());
    let names: Vec<&str> = kinds.chain(rules.iter().map(|rule| rule.id.as_ref())).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let nearest = names.iter().min_by_key(|candidate| distance(name, candidate));
    let suggestion = nearest.filter(|candidate| distance(name, candidate) <= 1 + name.len() / 4);
    Err(BadPolicy::Unknown {
        route: route.to_owned(),
        name: name.to_owned(),
        suggestion: suggestion.map(|candidate| (*candidate).to_owned()),
    })
}

/// Levenshtein distance in bytes: enough for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn patterns(route: &str, models: &[String]) -> Result<Vec<Pattern>, BadPolicy> {
    let parse = |model: &String| model.parse().map_err(|source| BadPolicy::Models { route: route.to_owned(), source });
    models.iter().map(parse).collect()
}

fn version(settings: &[RouteSettings], upstreams: &[UpstreamFacts]) -> String {
    let facts = |upstream: &UpstreamFacts| -> Value {
        json!({
            "name": upstream.name, "models": upstream.models,
            "inside_country": upstream.inside_country, "environment": upstream.environment.name(),
        })
    };
    let compiled_from = json!({
        // The defaults are code: a release that changes them changes the policy.
        "haris": env!("CARGO_PKG_VERSION"),
        "routes": settings,
        "upstreams": upstreams.iter().map(facts).collect::<Vec<_>>(),
    });
    let bytes = canonical::to_vec(&compiled_from).expect("settings hold text and small integers only");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    Digest(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")).to_string()
}

#[cfg(test)]
mod tests {
    use haris_domain::DetectionKind;

    use super::*;

    fn upstream(inside_country: bool) -> UpstreamFacts {
        UpstreamFacts {
            name: "mock".into(),
            models: vec!["gpt-*".into()],
            inside_country,
            environment: Environment::Production,
        }
    }

    fn strict() -> RouteSettings {
        serde_json::from_value(json!({
            "name": "strict", "models": ["gpt-4o"], "upstream": "mock", "store": "none", "media": "refuse",
            "request": { "qid": "block" }, "answer": { "email": "observe" },
        }))
        .unwrap()
    }

    #[test]
    fn the_first_route_that_takes_the_model_wins() {
        let policy = Policy::compile(&[strict()], &[upstream(false)], &[]).unwrap();
        assert_eq!(policy.route("gpt-4o").unwrap().name, "strict");
        assert_eq!(policy.route("gpt-4o-mini").unwrap().name, "default-mock");
        assert!(policy.route("claude").is_none());
        let qid = Detection { rule: "pii.qatari-id".into(), kind: DetectionKind::Qid, span: 0..1, score: 1 };
        let email = Detection { kind: DetectionKind::Email, ..qid.clone() };
        let strict = policy.route("gpt-4o").unwrap();
        assert_eq!(strict.verdict(Direction::Request, &qid), Verdict::Block);
        assert_eq!(strict.verdict(Direction::Answer, &qid), Verdict::Redact);
        assert_eq!(strict.verdict(Direction::Answer, &email), Verdict::Observe);
        assert_eq!((strict.store, strict.media), (Stored::None, OnUnknown::Refuse));
    }

    #[test]
    fn every_change_of_settings_is_another_version() {
        let version = |settings: &[RouteSettings], inside| {
            Policy::compile(settings, &[upstream(inside)], &[]).unwrap().version().to_owned()
        };
        let base = version(&[strict()], false);
        assert_eq!(base, version(&[strict()], false));
        assert_ne!(base, version(&[strict()], true));
        assert_ne!(base, version(&[RouteSettings { retain_days: Some(1), ..strict() }], false));
        assert_ne!(base, version(&[], false));
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        let compile =
            |settings: RouteSettings| Policy::compile(&[settings], &[upstream(false)], &[]).unwrap_err().to_string();
        let check = |settings: RouteSettings, expected: &str| {
            let message = compile(settings);
            assert!(message.contains(expected), "{message}");
        };
        check(RouteSettings { upstream: "mok".into(), ..strict() }, "there is no upstream `mok`");
        check(RouteSettings { store: Some("all".into()), ..strict() }, "none, redacted, full");
        check(RouteSettings { name: "default-mock".into(), ..strict() }, "two routes are called");
        check(RouteSettings { on_witness_lag: Some("stop".into()), ..strict() }, "none of allow, refuse");
        let misspelt = RouteSettings { request: [("injectoin".into(), "block".into())].into(), ..strict() };
        check(misspelt, "did you mean `injection`?");
        let verdict = RouteSettings { request: [("qid".into(), "stop".into())].into(), ..strict() };
        check(verdict, "request.qid = \"stop\"");
    }
}
