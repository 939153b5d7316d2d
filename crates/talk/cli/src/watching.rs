//! The watch of a running server: looks every few seconds, and tells whoever the configuration names.

use std::sync::Arc;
use std::time::Duration;

use haris_operations::{Context, Watch};
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
        loop {
            let monotonic = started.elapsed();
            let micros = u64::try_from(monotonic.as_micros()).unwrap_or(u64::MAX);
            let stepped = vitals.look_at_clock(context.now(), micros);
            if let Some(step) = &stepped {
                tracing::warn!(micros = step.micros, "the wall clock moved against the monotonic one");
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
