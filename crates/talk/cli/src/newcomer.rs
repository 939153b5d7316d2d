//! The first minute: a practice model to watch the guard work on, and three ready commands.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;

use haris_domain::Actor;
use haris_gateway::Upstream;
use haris_operations::{AddCaller, AddCallerInput, Context, Operation as _, RevokeCaller, RevokeCallerInput};
use haris_policy::{Environment, UpstreamFacts};
use tokio::net::TcpListener;

use crate::{Failure, home};

/// The practice model's upstream and its caller have this name.
pub(crate) const PRACTICE: &str = "practice";

/// Serves the practice model on a free loopback port.
pub(crate) async fn serve_teller() -> Result<(Upstream, UpstreamFacts), Failure> {
    let failed = |error: std::io::Error| Failure::because("could not start the practice model", &error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, haris_practice::router()).await {
            tracing::error!(%error, "the practice model stopped");
        }
    });
    let upstream = Upstream {
        name: PRACTICE.to_owned(),
        url: format!("http://{address}/v1").parse().expect("an address makes a URL"),
        provider: "Haris".to_owned(),
        place: "this process".to_owned(),
        key: None,
        models: vec![haris_practice::MODEL.to_owned()],
    };
    let facts = UpstreamFacts {
        name: PRACTICE.to_owned(),
        models: upstream.models.clone(),
        inside_country: true,
        environment: Environment::Practice,
    };
    Ok((upstream, facts))
}

/// Where the practice caller's key is, for the printed commands.
enum Key {
    /// Shown on the terminal, and nowhere else.
    Shown(String),
    /// In a file that only its owner reads.
    InFile(String),
}

/// Three commands to try, with a key for the practice model.
///
/// A key is shown on a terminal only; where the output may end in a log, it goes to a file of the
/// owner's, and the commands read it there.
/// `accepted` tells whether a key is one that opens the gateway: the file may hold one that was revoked since.
pub(crate) async fn three_commands(
    context: &Context,
    data: &Path,
    url: &str,
    accepted: impl Fn(&str) -> bool,
) -> Result<String, Failure> {
    let file = data.join("practice.key");
    let key = if std::io::stdout().is_terminal() {
        Key::Shown(issue(context).await?)
    } else {
        let known = std::fs::read_to_string(&file).is_ok_and(|text| accepted(text.trim()));
        if !known {
            let key = issue(context).await?;
            home::write_private(&file, &format!("{key}\n"))
                .map_err(|error| Failure::because(&format!("could not write {}", file.display()), &error))?;
        }
        Key::InFile(std::path::absolute(&file).unwrap_or(file).display().to_string())
    };
    let bearer = match key {
        Key::Shown(key) => key,
        Key::InFile(path) => format!("$(cat '{path}')"),
    };
    let mut text = String::new();
    for (title, prompt) in [
        ("a clean question", haris_practice::PROMPT_CLEAN),
        ("a leak that comes back redacted", haris_practice::PROMPT_LEAK),
        ("an injection that is blocked", haris_practice::PROMPT_INJECTION),
    ] {
        let body = serde_json::json!({
            "model": haris_practice::MODEL, "messages": [{ "role": "user", "content": prompt }],
        });
        let _ = writeln!(text, "\n# {title}");
        let _ = writeln!(
            text,
            "curl -sS {url}/chat/completions -H \"Authorization: Bearer {bearer}\" -H 'Content-Type: application/json' -d '{body}'"
        );
    }
    Ok(text)
}

/// A fresh key for the practice model; the one before, which nobody can be shown again, is revoked.
async fn issue(context: &Context) -> Result<String, Failure> {
    let actor = Actor::service("practice");
    let old = RevokeCallerInput { caller: PRACTICE.to_owned() };
    // None there, or revoked already: both mean there is nothing to revoke.
    let _ = RevokeCaller::run(context, &actor, old).await;
    let input = AddCallerInput {
        name: PRACTICE.to_owned(),
        models: vec![haris_practice::MODEL.to_owned()],
        expires_days: None,
        owner: None,
    };
    Ok(AddCaller::run(context, &actor, input).await?.key)
}
