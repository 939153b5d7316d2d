//! `haris events`: decisions and other events, as they happen or one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use haris_operations::{
    EventAnswer, EventsInput, ListEvents, RevealAnswer, RevealEvent, RevealInput, ShowEvent, ShowInput,
};
use serde_json::Value;

use crate::output::{self, Format};
use crate::remote::{Office, block_on};
use crate::{Failure, Place};

/// How often `--follow` asks.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// `haris events`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Subcommand)]
enum Command {
    /// One event: verdict, rules, spans, timing, proof.
    Show {
        /// Its id: the x-haris-event header of an answer, or the first column of the list.
        id: String,
        /// Show the stored text too; doing so is an event.
        #[arg(long, requires = "reason")]
        reveal: bool,
        /// Why the text must be seen.
        #[arg(long, requires = "reveal")]
        reason: Option<String>,
        #[command(flatten)]
        place: Place,
        /// How to print [default: table on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
}

#[derive(clap::Args)]
struct List {
    /// Go on with new events as they come.
    #[arg(long, short)]
    follow: bool,
    /// A condition, `key=value`: `verdict=block`, `kind=gw.*`, `detections.rule=secret.*`,
    /// `actor=caller:ID`, `from=2026-11-24`, `to=…`, `limit=500`. All given ones must hold.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// So many at most, the newest [default: 50].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: Option<u32>,
    /// Older ones: what the list before said to go on with, `evidence=12,traffic=340`; in JSON it is `older`.
    #[arg(long, value_name = "CURSOR", conflicts_with = "follow", value_parser = cursor)]
    before: Option<Cursor>,
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal]; with --follow, JSON is one event a line.
    #[arg(long)]
    format: Option<Format>,
}

/// Indices in each log.
type Cursor = BTreeMap<String, u64>;

/// As a person copies it from a list, or a program from JSON.
fn cursor(text: &str) -> Result<Cursor, String> {
    let said = || "write it as a list of events gave it, such as evidence=12,traffic=340".to_owned();
    let cursor: Cursor = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|_| said())?
    } else {
        let part = |part: &str| {
            let (log, index) = part.split_once('=')?;
            Some((log.trim().to_owned(), index.trim().parse().ok()?))
        };
        text.split(',').map(part).collect::<Option<Cursor>>().ok_or_else(said)?
    };
    let known = |log: &String| haris_domain::Log::named(log).is_some();
    if cursor.keys().all(known) { Ok(cursor) } else { Err(said()) }
}

fn written(cursor: &Cursor) -> String {
    cursor.iter().map(|(log, index)| format!("{log}={index}")).collect::<Vec<_>>().join(",")
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Some(Command::Show { id, reveal: _, reason, place, format }) => {
            let (event, texts) = block_on(show(&place, id, reason))?;
            print_one(&event, texts.as_ref(), Format::or_by_terminal(format))
        }
        None => block_on(list(arguments.list)),
    }
}

async fn show(
    place: &Place,
    id: String,
    reason: Option<String>,
) -> Result<(EventAnswer, Option<RevealAnswer>), Failure> {
    // Whoever sees a text is on record; whoever only asks of an event changes nothing.
    let office = if reason.is_some() { Office::any(place).await? } else { Office::looking(place).await? };
    office.say_what_waits().await;
    let work = async {
        let event = office.ask::<ShowEvent>(&ShowInput { id: id.clone() }).await?;
        let texts = match reason {
            Some(reason) => Some(office.ask::<RevealEvent>(&RevealInput { id, reason }).await?),
            None => None,
        };
        Ok((event, texts))
    };
    let shown = work.await;
    office.close().await?;
    shown
}

async fn list(list: List) -> Result<(), Failure> {
    let format = Format::or_by_terminal(list.format);
    let office = if list.follow { Office::server(&list.place).await? } else { Office::looking(&list.place).await? };
    office.say_what_waits().await;
    let limit = list.limit.and_then(|limit| usize::try_from(limit).ok());
    let mut input = EventsInput { filter: list.filter, limit, before: list.before, ..EventsInput::default() };
    let first = office.ask::<ListEvents>(&input).await;
    if !list.follow {
        office.close().await?;
        let answer = first?;
        if format == Format::Json {
            return output::json(&answer);
        }
        if answer.events.is_empty() {
            let searched = answer.searched;
            output::line(&match answer.older {
                None => "No event matches. Events appear here within a second of a request to the gateway.".to_owned(),
                Some(_) => format!("No event matches among the newest {searched}."),
            })?;
        } else {
            let rows: Vec<_> = answer.events.iter().map(row).collect();
            output::table(HEAD, &rows)?;
        }
        return match &answer.older {
            Some(older) => output::line(&format!("older ones: --before {}", written(older))),
            None => Ok(()),
        };
    }
    let mut answer = first?;
    if format == Format::Table {
        output::line(&line(&HEAD.map(str::to_owned)))?;
    }
    loop {
        for event in &answer.events {
            match format {
                Format::Json => output::line(&event.to_string())?,
                Format::Table => output::line(&line(&row(event)))?,
            }
        }
        if !answer.more {
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
        input.after = Some(answer.next);
        input.limit = None;
        answer = office.ask::<ListEvents>(&input).await?;
    }
}

const HEAD: [&str; 6] = ["ID", "TIME", "KIND", "ACTOR", "VERDICT", "WHAT"];

/// Fixed widths, for lines that are printed before the longest is known.
fn line(cells: &[String; 6]) -> String {
    let [id, at, kind, actor, verdict, what] = cells;
    format!("{id:36}  {at:19}  {kind:22}  {actor:26}  {verdict:8}  {what}").trim_end().to_owned()
}

fn row(event: &Value) -> [String; 6] {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = &event["data"];
    let mut verdict = word(&data["verdict"]);
    if verdict.is_empty() && event["kind"].as_str().is_some_and(|kind| kind.starts_with("gw.")) {
        verdict = "refuse".to_owned();
    }
    [
        word(&event["id"]),
        word(&event["at"]).get(..19).unwrap_or_default().to_owned(),
        word(&event["kind"]),
        word(&event["actor"]),
        verdict,
        what(data),
    ]
}

/// The few words that tell one event of its kind from another.
fn what(data: &Value) -> String {
    let mut words: Vec<String> = Vec::new();
    for key in ["model", "outcome", "reason", "name", "caller", "event", "operation"] {
        words.extend(data[key].as_str().map(str::to_owned));
    }
    let mut rules: Vec<_> =
        data["detections"].as_array().into_iter().flatten().filter_map(|found| found["rule"].as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    words.extend(rules.into_iter().map(str::to_owned));
    words.join(" ")
}

fn print_one(answer: &EventAnswer, texts: Option<&RevealAnswer>, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        let mut value = serde_json::to_value(answer).map_err(|error| Failure::because("output", &error))?;
        if let Some(texts) = texts {
            value["revealed"] = serde_json::to_value(texts).map_err(|error| Failure::because("output", &error))?;
        }
        return output::json(&value);
    }
    let event = &answer.event;
    let mut rows = vec![["id".to_owned(), text(&event["id"])]];
    for key in ["at", "kind", "actor", "log", "index"] {
        rows.push([key.to_owned(), text(&event[key])]);
    }
    // What was decided first; what was found has a table of its own.
    let mut data: Vec<_> = event["data"].as_object().into_iter().flatten().collect();
    data.retain(|(key, value)| *key != "detections" && value.as_array().is_none_or(|list| !list.is_empty()));
    data.sort_by_key(|(key, _)| *key != "verdict");
    rows.extend(data.into_iter().map(|(key, value)| [key.clone(), text(value)]));
    rows.push(["proof".to_owned(), text(&answer.proof["state"])]);
    for key in ["checkpoint_size", "sealed_at"] {
        if !answer.proof[key].is_null() {
            rows.push([key.to_owned(), text(&answer.proof[key])]);
        }
    }
    for (name, state) in &answer.payloads {
        rows.push([format!("payload {name}"), state.clone()]);
    }
    output::table(["FIELD", "VALUE"], &rows)?;
    print_found("FOUND", &event["data"]["detections"])?;
    if let Some(counterpart) = &answer.counterpart {
        output::line(&format!("\nbelongs with {} ({})", text(&counterpart["id"]), text(&counterpart["kind"])))?;
        print_found("FOUND THERE", &counterpart["data"]["detections"])?;
    }
    for (name, text) in texts.iter().flat_map(|texts| &texts.texts) {
        output::line(&format!("\n--- {name}"))?;
        output::line(text.as_deref().unwrap_or("(nothing is stored)"))?;
    }
    Ok(())
}

/// What detections say of themselves: rule, field, span, action.
pub(crate) fn print_found(title: &str, detections: &Value) -> Result<(), Failure> {
    let found = detections.as_array().map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = found
        .iter()
        .map(|one| {
            let span = format!("{}..{}", text(&one["start"]), text(&one["end"]));
            [text(&one["rule"]), text(&one["kind"]), text(&one["field"]), span, text(&one["action"])]
        })
        .collect();
    output::line("")?;
    output::table([title, "KIND", "FIELD", "SPAN", "ACTION"], &rows)
}

/// A value as a person reads it: text without its quotes.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let older = Cursor::from([("evidence".to_owned(), 12), ("traffic".to_owned(), 340)]);
        assert_eq!(cursor(&written(&older)).unwrap(), older);
        assert_eq!(cursor(&serde_json::to_string(&older).unwrap()).unwrap(), older);
        for bad in ["", "12", "evidence", "evidence=x", "evidence=-1", "logs=1", "{", "[1]", "{\"evidence\":-1}"] {
            assert!(cursor(bad).is_err(), "{bad}");
        }
    }
}
