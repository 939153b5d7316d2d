//! Asks witnesses to cosign this ledger's checkpoints, beside everything else.
//!
//! Both logs go to every witness, each checkpoint with the proof that it continues what the witness knows. The traffic
//! log would be bound through its anchors in the evidence log too, but those come every five minutes, and the operator
//! should be bound within seconds. A witness that has nothing new to see is asked again for the same, so that its
//! silence is noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haris_domain::{Actor, Draft, EventKind, Log, Timestamp, kind};
use haris_ledger::Ledger;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::peer::{Outcome, contradicts};
use crate::state::{PeerState, age};
use crate::{Peer, WitnessStatus};

/// A burst of events makes a checkpoint a second; one submission a second and log is enough, and costs next to nothing.
const EVERY: Duration = Duration::from_secs(1);
/// After a failure, and then twice as long each time, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How long a start waits for what witnesses know. One that is down must not keep the bank from working; it is compared
/// with as soon as it answers.
const COMPARE: Duration = Duration::from_secs(5);

/// How witnesses are used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask.
    pub peers: Vec<Peer>,
    /// How many of them must have cosigned lately; none means all.
    pub quorum: Option<usize>,
    /// How old the newest cosignature of a quorum may be.
    pub max_age: Duration,
}

/// The log's side of its witnesses. Cheap to clone.
#[derive(Clone)]
pub struct Cosigners(Arc<Inner>);

struct Inner {
    settings: Settings,
    ledger: Ledger,
    clock: fn() -> Timestamp,
    started: Instant,
    states: Mutex<Vec<PeerState>>,
    /// Logs that have something to cosign.
    in_use: [AtomicBool; 2],
    lagging: Arc<AtomicBool>,
}

impl Cosigners {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(settings: Settings, ledger: Ledger, clock: fn() -> Timestamp) -> Self {
        ledger.know_witnesses(settings.peers.iter().flat_map(|peer| peer.keys.iter().cloned()).collect());
        let states = Mutex::new(settings.peers.iter().map(|_| PeerState::default()).collect());
        let lagging = Arc::new(AtomicBool::new(false));
        let (started, in_use) = (Instant::now(), Default::default());
        Self(Arc::new(Inner { settings, ledger, clock, started, states, in_use, lagging }))
    }

    /// Whether cosignatures are too old, as of now; kept up to date while [`Cosigners::run`] runs.
    #[must_use]
    pub fn lagging(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.lagging)
    }

    /// How many keys of witnesses sign when all is well.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.settings.peers.iter().map(|peer| peer.keys.len()).sum()
    }

    /// Holds what each witness shows of this log against what is here. Before anything is signed: an old copy that was
    /// put back, or another history, must not get a second signature.
    ///
    /// # Errors
    /// With the reason, when a witness holds a checkpoint that this log has signed and does not continue. Nothing is
    /// signed from then on.
    pub async fn compare(&self) -> Result<(), String> {
        let mut asked = JoinSet::new();
        for (at, peer) in self.0.settings.peers.iter().enumerate() {
            for log in Log::ALL {
                let (this, peer) = (self.clone(), peer.clone());
                asked.spawn(async move {
                    let note = peer.newest(this.0.ledger.origin(log)).await.map_err(|e| e.to_string())?;
                    let Some(note) = note else { return Ok(None) };
                    let standing = this.0.ledger.standing(log, &note).await.map_err(|error| error.to_string())?;
                    let contradicted = contradicts(&peer.name, log, standing)
                        .map_err(|why| format!("what it shows of the {log} log says nothing: {why}"))?;
                    Ok::<_, String>(contradicted.map(|why| (at, why)))
                });
            }
        }
        let found = async {
            while let Some(answer) = asked.join_next().await {
                match answer.unwrap_or_else(|error| Err(error.to_string())) {
                    Ok(None) => {}
                    Ok(Some((_, why))) => return Err(why),
                    Err(why) => tracing::warn!(why, "a witness could not be compared with; it will be when it answers"),
                }
            }
            Ok(())
        };
        match tokio::time::timeout(COMPARE, found).await {
            Ok(Err(why)) => {
                self.0.ledger.bar_signing(why.clone());
                Err(why)
            }
            Ok(Ok(())) => Ok(()),
            Err(_) => {
                tracing::warn!("not every witness answered in time; they are compared with when they do");
                Ok(())
            }
        }
    }

    /// Asks every witness for every new checkpoint, and watches their age, until `stop` says true or its sender is gone.
    #[must_use]
    pub fn run(&self, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let mut tasks: Vec<_> = (0..self.0.settings.peers.len())
            .map(|at| {
                let (this, stop) = (self.clone(), stop.clone());
                tokio::spawn(async move { this.ask(at, stop).await })
            })
            .collect();
        if !tasks.is_empty() {
            let (this, stop) = (self.clone(), stop.clone());
            tasks.push(tokio::spawn(async move { this.watch(stop).await }));
        }
        tasks
    }

    /// One more round, after the last seal of a process; waits no longer than `patience`.
    pub async fn finish(&self, patience: Duration) {
        let mut rounds = JoinSet::new();
        for at in 0..self.0.settings.peers.len() {
            let this = self.clone();
            rounds.spawn(async move { this.round(at).await });
        }
        let all = async { while rounds.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("not every witness has seen the last events; the next start shows them");
        }
    }

    /// How the witnesses stand.
    #[must_use]
    pub fn status(&self) -> WitnessStatus {
        let settings = &self.0.settings;
        let states = self.0.states.lock();
        let witnesses = settings.peers.iter().zip(states.iter()).map(|(peer, state)| state.face(&peer.name)).collect();
        drop(states);
        let contradicted = self.0.ledger.signing_barred();
        WitnessStatus {
            quorum: self.quorum(),
            max_age_seconds: settings.max_age.as_secs(),
            age_seconds: self.age().as_secs(),
            lagging: self.0.lagging.load(Ordering::Relaxed),
            contradicted,
            witnesses,
        }
    }

    fn quorum(&self) -> usize {
        let all = self.0.settings.peers.len();
        self.0.settings.quorum.map_or(all, |quorum| quorum.min(all))
    }

    fn age(&self) -> Duration {
        let in_use = [0, 1].map(|log: usize| self.0.in_use[log].load(Ordering::Relaxed));
        age(&self.0.states.lock(), self.quorum(), in_use, self.0.started, Instant::now())
    }

    async fn ask(&self, at: usize, mut stop: watch::Receiver<bool>) {
        let mut sealed = self.0.ledger.on_sealed();
        let fresh = (self.0.settings.max_age / 3).max(EVERY);
        let mut retry = RETRY;
        while !*stop.borrow() {
            sealed.borrow_and_update();
            // A round that is dropped half-way loses at most an answer: the next one asks where the witness is.
            let done = tokio::select! {
                done = self.round(at) => done,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let pause = async {
                if done {
                    tokio::time::sleep(EVERY).await;
                    let _ = tokio::time::timeout(fresh, sealed.changed()).await;
                } else {
                    tokio::time::sleep(retry).await;
                }
            };
            tokio::select! {
                () = pause => {}
                // Also when the sender is gone: nobody is left to work for.
                _ = stop.wait_for(|stop| *stop) => return,
            }
            retry = if done { RETRY } else { (retry * 2).min(RETRY_MAX) };
        }
    }

    /// Submits both logs to one witness; whether it cosigned all there is.
    async fn round(&self, at: usize) -> bool {
        let inner = &*self.0;
        let Some(peer) = inner.settings.peers.get(at) else { return true };
        let mut error = None;
        for log in Log::ALL {
            let mut known = inner.states.lock().get(at).and_then(|state| state.cosigned[log as usize]);
            let outcome = peer.cosign(&inner.ledger, log, &mut known).await;
            let in_use = !matches!(outcome, Ok(Outcome::Nothing));
            if in_use {
                inner.in_use[log as usize].store(true, Ordering::Relaxed);
            }
            if let Some(state) = inner.states.lock().get_mut(at) {
                state.cosigned[log as usize] = known;
                if matches!(outcome, Ok(Outcome::Cosigned)) {
                    state.fresh[log as usize] = Some(Instant::now());
                    state.last_at = Some((inner.clock)());
                }
            }
            match outcome {
                Ok(Outcome::Nothing | Outcome::Cosigned) => {}
                Ok(Outcome::Contradicted(why)) => {
                    error = Some(why.clone());
                    self.contradicted(why).await;
                }
                Err(failed) => error = Some(format!("{log} log: {failed}")),
            }
        }
        let done = error.is_none();
        if let Some(state) = inner.states.lock().get_mut(at) {
            if state.error != error {
                match &error {
                    Some(why) => tracing::warn!(witness = peer.name, why, "a witness does not cosign"),
                    None => tracing::info!(witness = peer.name, "a witness cosigns again"),
                }
            }
            state.error = error;
        }
        done
    }

    /// Nothing is signed any more. The event is recorded, for whoever looks into it; it cannot be sealed.
    async fn contradicted(&self, why: String) {
        if self.0.ledger.signing_barred().is_some() {
            return;
        }
        self.0.ledger.bar_signing(why.clone());
        let draft = self.draft(&kind::WITNESS_CONTRADICTED).with("why", why);
        self.record(draft).await;
    }

    async fn watch(&self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let (age, barred) = (self.age(), self.0.ledger.signing_barred().is_some());
            let late = barred || age > self.0.settings.max_age;
            if self.0.lagging.swap(late, Ordering::Relaxed) == late {
                continue;
            }
            let kind = if late { &kind::WITNESS_LAGGED } else { &kind::WITNESS_RESUMED };
            if late {
                tracing::error!(age_seconds = age.as_secs(), "witnesses have not cosigned for too long");
            } else {
                tracing::info!("witnesses cosign again");
            }
            self.record(self.draft(kind).with("age_seconds", age.as_secs())).await;
        }
    }

    fn draft(&self, kind: &'static EventKind) -> Draft {
        let status = self.status();
        let faces = status.witnesses.iter();
        let witnesses: Vec<_> =
            faces.map(|one| json!({ "name": one.name, "evidence": one.evidence, "traffic": one.traffic })).collect();
        Draft::new(kind, (self.0.clock)(), Actor::service("haris"))
            .with("quorum", status.quorum)
            .with("max_age_seconds", status.max_age_seconds)
            .with("witnesses", witnesses)
    }

    async fn record(&self, draft: Draft) {
        let kind = draft.kind.name;
        if let Err(error) = self.0.ledger.append(vec![(draft, Vec::new())]).await {
            tracing::error!(%error, kind, "could not record how the witnesses stand");
        }
    }
}
