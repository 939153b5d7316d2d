//! The watch of a running server: looks every few seconds, and tells whoever the configuration names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haris_ledger::ProcessCounters;
use haris_operations::{ClockStep, Context, GatewayStatus, Watch};
use haris_outbox::{Message, Outbox};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::home::Home;

/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until told to stop.
pub(crate) fn spawn(
    home: &Home,
    context: Context,
    outbox: Option<Outbox>,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (started, vitals, watch) = (home.started, home.vitals.clone(), Arc::new(Watch::default()));
    tokio::spawn(async move {
        let mut trouble = None;
        let mut told = 0;
        // A step is told by two records of both clocks: the first of them stands at the start.
        beat(&context, started).await;
        loop {
            let monotonic = started.elapsed();
            let micros = u64::try_from(monotonic.as_micros()).unwrap_or(u64::MAX);
            let stepped = vitals.look_at_clock(context.now(), micros);
            if let Some(step) = &stepped {
                clock_moved(&context, step).await;
                if step.number > told {
                    told = step.number;
                    beat(&context, started).await;
                }
            }
            if let Err(error) = context.reserve.restore() {
                tracing::error!(%error, "the reserve for operators could not be set aside");
            }
            match watch.look(&context, monotonic).await {
                Ok(watched) => {
                    trouble = None;
                    vitals.look_at_disk(watched.status.disk.free_bytes, micros);
                    if let Some(outbox) = &outbox {
                        vitals.delivery(tell(outbox, watched.messages, &context, monotonic).await);
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if trouble.as_ref() != Some(&error) {
                        tracing::error!(error, "could not look at how everything is");
                        trouble = Some(error);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.changed() => return,
            }
        }
    })
}

/// The clock may stand in a day for which no data key is loaded: requests are refused until there is one.
async fn clock_moved(context: &Context, step: &ClockStep) {
    tracing::warn!(micros = step.micros, number = step.number, "the wall clock moved against the monotonic one");
    if let Err(error) = context.ledger.ensure_day_keys(context.now()).await {
        tracing::error!(%error, "could not make a data key for the day that the clock shows now");
    }
}

/// Puts both clocks on record at once, so that the ledger tells the step by itself, and when it was.
async fn beat(context: &Context, started: Instant) {
    let Some(gateway) = &context.gateway else { return };
    if let Err(error) = context.ledger.heartbeat(counted(&gateway.status(), started), context.now()).await {
        tracing::error!(%error, "could not record a heartbeat");
    }
}

/// What a heartbeat says of the gateway.
pub(crate) fn counted(status: &GatewayStatus, started: Instant) -> ProcessCounters {
    ProcessCounters {
        monotonic_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        received: status.requests + status.refused,
        answered: status.requests.saturating_sub(status.in_flight),
        refused: status.refused,
    }
}

/// Sends what is due; gives what went wrong.
async fn tell(outbox: &Outbox, messages: Vec<Message>, context: &Context, monotonic: Duration) -> Option<String> {
    let mut due = Vec::with_capacity(messages.len());
    for message in messages {
        // Nobody is told that something is over who was never told that it began.
        let begun = message.key.strip_suffix(":cleared");
        if begun.is_none() || outbox.was_delivered(begun.unwrap_or_default()).await {
            due.push(message);
        }
    }
    outbox.tend(&due, context.now(), monotonic).await.err().map(|error| error.to_string())
}
