//! The models that an upstream says it serves, for routes that name them by pattern.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::json::{self, Node};
use crate::record;
use crate::upstream::Ready;

/// A caller who lists models waits at most this long for an upstream.
const WAIT: Duration = Duration::from_secs(2);

/// An answer is good for this long.
const FRESH: Duration = Duration::from_secs(60);

/// An upstream that gave none is asked again after this.
const RETRY: Duration = Duration::from_secs(10);

/// Longer lists are not read.
const LIST_BYTES_MAX: usize = 1 << 20;
const NAMES_MAX: usize = 1000;

/// What an upstream said last.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// One question at a time: whoever comes meanwhile waits for the same answer.
    last: tokio::sync::Mutex<Option<(Instant, Arc<[String]>)>>,
}

impl Ready {
    /// The models that this upstream lists; none when it offers no list.
    pub(crate) async fn listed(&self) -> Arc<[String]> {
        let mut last = self.listing.last.lock().await;
        if let Some((at, names)) = &*last
            && at.elapsed() < if names.is_empty() { RETRY } else { FRESH }
        {
            return Arc::clone(names);
        }
        let asked = tokio::time::timeout(WAIT, self.ask_for_models()).await;
        let names: Arc<[String]> = asked.ok().flatten().unwrap_or_default().into();
        *last = Some((Instant::now(), Arc::clone(&names)));
        names
    }

    async fn ask_for_models(&self) -> Option<Vec<String>> {
        let mut response = self.get_models().await.ok().filter(|response| response.status().is_success())?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.ok()? {
            body.extend_from_slice(&part);
            if body.len() > LIST_BYTES_MAX {
                return None;
            }
        }
        Some(self.names_in(&body))
    }

    fn names_in(&self, body: &[u8]) -> Vec<String> {
        const BOUNDS: json::Bounds = json::Bounds { depth: 16, values: 100_000 };
        let Ok(node) = json::parse(body, BOUNDS) else { return Vec::new() };
        let names = node.get("data").map(Node::items).unwrap_or_default().iter();
        names
            .filter_map(|model| model.get("id").and_then(Node::as_str))
            // A name is shown to callers: it looks like one, or it is left out.
            .filter(|name| record::model_name(name, false) == *name && !self.leaks_key(name.as_bytes()))
            .take(NAMES_MAX)
            .map(str::to_owned)
            .collect()
    }
}
