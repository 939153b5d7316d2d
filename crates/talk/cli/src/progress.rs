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

/// Shows that work goes on until it is dropped; nothing where stderr is no terminal.
pub(crate) struct Waiting(Option<(Sender<()>, JoinHandle<()>)>);

impl Waiting {
    /// For what is said to be done: `checking the ledger`.
    pub(crate) fn while_(doing: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let doing = doing.to_owned();
        let (done, over) = mpsc::channel();
        let shown = std::thread::spawn(move || {
            if over.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}").expect("the template is constant");
            let bar = ProgressBar::new_spinner().with_style(style).with_message(doing).with_elapsed(PATIENCE);
            bar.enable_steady_tick(TICK);
            let _ = over.recv();
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
