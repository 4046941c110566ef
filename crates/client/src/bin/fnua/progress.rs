//! A sign of life for what takes more than a second.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// A line on standard error, from one second on, that goes away when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    appearing: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts waiting. Nothing is ever shown when not `wanted` or when nobody sees it.
    pub(crate) fn start(wanted: bool, message: String) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_message(message);
        let shown = wanted && io::stderr().is_terminal();
        let appearing = shown.then(|| tokio::spawn(appear(bar.clone())));
        Self { bar, appearing }
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }
}

async fn appear(bar: ProgressBar) {
    tokio::time::sleep(PATIENCE).await;
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.enable_steady_tick(TICK);
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(appearing) = self.appearing.take() {
            appearing.abort();
        }
        self.bar.finish_and_clear();
    }
}
