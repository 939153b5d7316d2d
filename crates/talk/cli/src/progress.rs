//! A sign of life on a terminal, for what takes longer than a second.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Whoever waits less long than this needs no sign.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the sign moves.
const TICK: Duration = Duration::from_millis(120);
/// How often what it says is brought up to date.
const SAY_EVERY: Duration = Duration::from_millis(500);

/// Shows that work goes on until it is dropped; nothing where stderr is no terminal.
pub(crate) struct Waiting(Option<(Sender<()>, JoinHandle<()>)>);

impl Waiting {
    /// For what is said to be done: `checking the ledger`.
    pub(crate) fn while_(doing: &str) -> Self {
        let doing = doing.to_owned();
        Self::saying(move || doing.clone())
    }

    /// The same, asked again and again: `checking the ledger: 5000 of 20000 entries`.
    pub(crate) fn saying(doing: impl Fn() -> String + Send + 'static) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let (done, over) = mpsc::channel();
        let shown = std::thread::spawn(move || {
            if over.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}").expect("the template is constant");
            let bar = ProgressBar::new_spinner().with_style(style).with_message(doing()).with_elapsed(PATIENCE);
            bar.enable_steady_tick(TICK);
            while over.recv_timeout(SAY_EVERY) == Err(RecvTimeoutError::Timeout) {
                bar.set_message(doing());
            }
            bar.finish_and_clear();
        });
        Self(Some((done, shown)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((done, shown)) = self.0.take() {
            drop(done);
            // Waited for, so that the line is cleared before the answer is printed over it.
            let _ = shown.join();
        }
    }
}
