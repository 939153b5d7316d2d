//! Decisions as they happen.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use haris_access::Session;
use haris_operations::{EventsInput, ListEvents, Refusal, RefusalCode};
use maud::html;

use crate::door::{In, cookie};
use crate::events::{Asked, row, search, table};
use crate::words::text;
use crate::{Console, page};

const SHOWN: usize = 30;
/// Viewers ask the ledger this often; what happened in between arrives together.
const EVERY: Duration = Duration::from_secs(1);
/// A viewer who would be sent more than this at once is told how many are left out.
const AT_ONCE: usize = 100;
/// More viewers than these are turned away: watching must not cost the guard its work.
const VIEWERS_MAX: usize = 100;
/// A session is looked at again this often: one that ended is sent nothing more.
const CHECK_EVERY: u32 = 15;

static VIEWERS: AtomicUsize = AtomicUsize::new(0);

pub(crate) async fn show(State(console): State<Console>, In(session): In, Query(asked): Query<Asked>) -> Response {
    let input = EventsInput { filter: asked.live_filter(), limit: Some(SHOWN), ..EventsInput::default() };
    let (answer, names) = match (console.ask::<ListEvents>(&session, &input).await, console.names().await) {
        (Ok(answer), Ok(names)) => (answer, names),
        (Err(refusal), _) | (_, Err(refusal)) => return page::refusal(Some(&session), &refusal),
    };
    let body = html! {
        (search("/live", &asked))
        div.live data-stream=(asked.stream_url()) {
            p.state {
                button.quiet type="button" data-pause hidden { "Pause" }
                " " span #live-state role="status" { "Load the page again to see what is new." }
            }
            (table(answer.events.iter().rev(), &names))
        }
        @if answer.events.is_empty() {
            (page::empty("Nothing yet", "Decisions appear here within a second of the request.", Some("curl …/v1/chat/completions")))
        }
    };
    page::page(&session, "/live", "Live", body)
}

/// Counts one viewer for as long as it lives.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let free = |viewers| (viewers < VIEWERS_MAX).then_some(viewers + 1);
        VIEWERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        VIEWERS.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Viewer {
    console: Console,
    session: Session,
    secret: String,
    input: EventsInput,
    rounds: u32,
    _place: Place,
}

pub(crate) async fn stream(
    State(console): State<Console>,
    In(session): In,
    headers: http::HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(place) = Place::take() else {
        let refusal = Refusal::new(RefusalCode::Unavailable, "too many people are watching: close another live page");
        return page::refusal(Some(&session), &refusal);
    };
    let filter = asked.live_filter();
    // From here on: what is already there stands on the page.
    let now = EventsInput { filter: filter.clone(), limit: Some(1), ..EventsInput::default() };
    let next = match console.ask::<ListEvents>(&session, &now).await {
        Ok(answer) => answer.next,
        Err(refusal) => return page::refusal(Some(&session), &refusal),
    };
    let secret = cookie(&console, &headers, "session").unwrap_or_default();
    let input = EventsInput { filter, after: Some(next), limit: Some(AT_ONCE), ..EventsInput::default() };
    let viewer = Viewer { console, session, secret, input, rounds: 0, _place: place };
    let events = stream::unfold(viewer, |mut viewer| async move {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Viewer {
    /// What happened since the last time, once something did; nothing when the session is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::time::sleep(EVERY).await;
            self.rounds += 1;
            if self.rounds.is_multiple_of(CHECK_EVERY) {
                let session = self.console.context.access.session(&self.secret).await.ok()??;
                self.session = session;
            }
            let answer = self.console.ask::<ListEvents>(&self.session, &self.input).await.ok()?;
            self.input.after = Some(answer.next);
            if answer.events.is_empty() {
                continue;
            }
            let newest = answer.events.iter().rev().take(AT_ONCE);
            let names = self.console.names().await.ok()?;
            let rows = html! { @for event in newest { (row(event, &names)) } };
            let id = answer.events.last().map(|event| text(event, "id").to_owned()).unwrap_or_default();
            return Some(Event::default().event("rows").id(id).data(rows.into_string()));
        }
    }
}

impl Asked {
    /// Decisions, unless somebody asks for other kinds.
    fn live_filter(&self) -> Vec<String> {
        let mut filter = self.filter();
        filter.retain(|condition| condition != "kind=*");
        if !filter.iter().any(|condition| condition.starts_with("kind=")) {
            filter.push("kind=gw.request.*".to_owned());
        }
        filter
    }

    fn stream_url(&self) -> String {
        self.url("/live/stream", "")
    }
}
