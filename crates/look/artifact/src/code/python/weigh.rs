//! How much one call weighs: what it does, with which operands, and when it would run.

use super::{Act, Runs, Weight, act};
use crate::code::shell::{self, Command};
use crate::syntax::builtin::is_builtin;
use crate::syntax::decode::decoder;
use crate::syntax::fold::Call;
use crate::syntax::value::Value;

pub(super) fn weigh(call: &Call, act: Act, early: bool, runs: Runs) -> Option<(Weight, String)> {
    if call.disguised && !matches!(act, Act::Deserialise | Act::Hook | Act::Destroy) {
        return Some((Weight::Block, format!("{}, under a disguised name", act.words())));
    }
    if call.unwrapped && !matches!(act, Act::Deserialise | Act::Hook) && act != Act::Code {
        return Some((Weight::Block, format!("{}, in code that it unwraps", act.words())));
    }
    match act {
        Act::Process => process(call, early, runs),
        Act::Code => code(call, early, runs),
        Act::Native => {
            let weight = if early && runs == Runs::OnLoad { Weight::Block } else { Weight::Review };
            Some((weight, act.words().to_owned()))
        }
        Act::Network => network(call, early, runs),
        Act::Spy => Some((Weight::Block, act.words().to_owned())),
        Act::Destroy => destroy(call, early, runs),
        Act::Deserialise => {
            let safe = call.named.iter().any(|(name, value)| {
                (name == "weights_only" && *value == Value::Bool(true))
                    || (name == "Loader" && value.path().is_some_and(|path| path.contains("Safe")))
            }) || call.symbol.ends_with("numpy.load");
            if safe {
                return None;
            }
            let remote = call.arguments.iter().any(comes_from_outside);
            let weight = if remote { Weight::Block } else { Weight::Note };
            Some((weight, act.words().to_owned()))
        }
        Act::Hook => None,
    }
}

fn process(call: &Call, early: bool, runs: Runs) -> Option<(Weight, String)> {
    let line = command_line(call);
    if let Some(line) = &line {
        match shell::read(line) {
            Command::Hostile(why) => return Some((Weight::Block, format!("starts a process: {why}"))),
            Command::Everyday => return Some((Weight::Note, "starts an everyday process".to_owned())),
            Command::Other => {}
        }
        if runs != Runs::OnLoad && shell::is_notebook_habit(line) {
            return Some((Weight::Note, "starts an everyday process".to_owned()));
        }
    }
    if call.symbol.ends_with("webbrowser.open") || call.symbol.contains("timeit") {
        return Some((Weight::Note, "starts a browser or a timer".to_owned()));
    }
    let weight = match runs {
        Runs::OnLoad => Weight::Block,
        Runs::Notebook if line.is_some() => Weight::Block,
        Runs::Beside if early => Weight::Block,
        Runs::Notebook | Runs::Beside => Weight::Review,
    };
    Some((weight, "starts a process".to_owned()))
}

/// The command that a process call is given, as far as it is known.
fn command_line(call: &Call) -> Option<String> {
    let first = call
        .arguments
        .first()
        .or_else(|| call.named.iter().find(|(name, _)| name == "args").map(|(_, value)| value))?;
    match first {
        Value::List(items) => {
            let words: Vec<String> =
                items.iter().map(|item| item.as_text().unwrap_or_else(|| "…".to_owned())).collect();
            (!words.is_empty() && words[0] != "…").then(|| words.join(" "))
        }
        Value::Symbol(path) if path.ends_with("sys.executable") => Some("python".to_owned()),
        other => other.as_text(),
    }
}

fn comes_from_outside(value: &Value) -> bool {
    let Some(path) = value.path() else { return false };
    let called = path.split("()").next().unwrap_or("");
    path.contains("()")
        && (matches!(act(called), Some(Act::Network)) || decoder(called).is_some() || called.contains("marshal.loads"))
}

fn code(call: &Call, early: bool, runs: Runs) -> Option<(Weight, String)> {
    let first = call.arguments.first();
    let is = |name: &str| is_builtin(&call.symbol, name);
    if first.is_some_and(comes_from_outside) {
        return Some((Weight::Block, "executes what it decodes or fetches".to_owned()));
    }
    if is("compile") || is("__import__") {
        // Reading code is not running it; an import is judged by what is called on it.
        return None;
    }
    if call.symbol.ends_with("marshal.loads") || call.symbol.ends_with("marshal.load") {
        let weight = if runs == Runs::OnLoad || early { Weight::Block } else { Weight::Review };
        return Some((weight, "loads compiled code".to_owned()));
    }
    if is("eval") || is("exec") {
        let text = first.and_then(Value::as_text);
        if let Some(text) = text {
            // The source was read as part of this one: what it does is judged by its own calls.
            let wrapped = text.len() > 40 && is("exec");
            return wrapped.then(|| (Weight::Review, "executes a program that it holds as text".to_owned()));
        }
        let weight = match runs {
            Runs::OnLoad if early => Weight::Block,
            Runs::OnLoad => Weight::Review,
            _ if is("exec") && early => Weight::Review,
            _ => Weight::Note,
        };
        return Some((weight, "executes text that is only known when it runs".to_owned()));
    }
    let weight = match runs {
        Runs::OnLoad if early => Weight::Block,
        Runs::OnLoad => Weight::Review,
        _ if early => Weight::Review,
        _ => Weight::Note,
    };
    Some((weight, Act::Code.words().to_owned()))
}

fn network(call: &Call, early: bool, runs: Runs) -> Option<(Weight, String)> {
    let target = call.arguments.iter().chain(call.named.iter().map(|(_, value)| value)).find_map(Value::as_text);
    let bare = target.as_deref().is_some_and(is_suspicious_target);
    if bare {
        let weight = if runs == Runs::OnLoad || early { Weight::Block } else { Weight::Review };
        return Some((weight, "talks to a machine of no name or of a service for anonymous data".to_owned()));
    }
    let weight = match runs {
        Runs::OnLoad if early => Weight::Block,
        Runs::OnLoad => Weight::Review,
        Runs::Notebook => Weight::Note,
        Runs::Beside
            if call.on_import && !matches!(call.symbol.rsplit('.').next(), Some("socket" | "gethostbyname")) =>
        {
            Weight::Review
        }
        Runs::Beside => Weight::Note,
    };
    Some((weight, Act::Network.words().to_owned()))
}

/// A numeric address outside the private and local ranges, or a place where data is dropped.
fn is_suspicious_target(text: &str) -> bool {
    const DROPS: &[&str] = &[
        "ngrok",
        "webhook.site",
        "requestbin",
        "pipedream.net",
        "burpcollaborator",
        "oastify",
        "interact.sh",
        "oast.",
        "pastebin.com",
        "transfer.sh",
        "discord.com/api/webhooks",
        "discordapp.com/api/webhooks",
        "api.telegram.org",
        ".onion",
        "hookbin",
        "beeceptor",
        "canarytokens",
        "dnslog",
        "ix.io",
        "0x0.st",
        "termbin",
        "serveo.net",
    ];
    let lower = text.to_ascii_lowercase();
    if DROPS.iter().any(|place| lower.contains(place)) {
        return true;
    }
    let host =
        lower.split("://").nth(1).map_or(lower.as_str(), |rest| rest).split(['/', ':', '?']).next().unwrap_or("");
    let octets: Vec<u8> = host.split('.').filter_map(|part| part.parse().ok()).collect();
    octets.len() == 4 && host.split('.').count() == 4 && !matches!(octets[..], [127 | 0, ..])
}

fn destroy(call: &Call, early: bool, runs: Runs) -> Option<(Weight, String)> {
    let target = call.arguments.first().and_then(Value::as_text).unwrap_or_default();
    let wholesale = matches!(target.as_str(), "/" | "~" | "C:\\" | "/home" | "/etc" | "/usr" | "/var")
        || call.arguments.first().and_then(Value::path).is_some_and(|path| path.contains("expanduser"));
    if wholesale {
        return Some((Weight::Block, "deletes files wholesale".to_owned()));
    }
    let weight = match runs {
        Runs::OnLoad if early && call.symbol.ends_with("rmtree") => Weight::Review,
        _ => Weight::Note,
    };
    Some((weight, Act::Destroy.words().to_owned()))
}
