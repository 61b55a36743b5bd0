//! With pending items, each call takes its time, and those under way at once are counted.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use tokio::sync::oneshot;

use super::{Shared, invocation};

/// A thread that sleeps as long as calls take. (tokio's timer counts whole milliseconds and rounds up: 5 ms are 6.3 with it.)
#[derive(Debug)]
pub(super) struct Timer {
    delay: Duration,
    now: fn() -> Instant,
    calls: mpsc::Sender<(Instant, oneshot::Sender<()>)>,
}

impl Timer {
    /// Every call takes the same time, so they are due in the order in which they come.
    pub(super) fn start(delay: Duration, now: fn() -> Instant) -> Self {
        let (calls, coming) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        thread::spawn(move || {
            for (due, is_due) in coming {
                thread::sleep(due.saturating_duration_since(now()));
                // It fails where the client has hung up.
                let _ = is_due.send(());
            }
        });
        Self { delay, now, calls }
    }

    async fn wait(&self) {
        if self.delay.is_zero() {
            return;
        }
        let (is_due, due) = oneshot::channel();
        let sent = self.calls.send(((self.now)() + self.delay, is_due));
        sent.expect("the thread ends after its timer");
        due.await.expect("the thread tells of every call");
    }
}

/// A call that is under way.
pub(super) struct Pace<'a>(&'a Shared, &'a Timer);

impl<'a> Pace<'a> {
    /// Counts a call. Nothing where calls take no time: without pending items, and for the function's runtime.
    pub(super) fn begin(
        target: Option<&str>,
        method: &Method,
        path: &str,
        shared: &'a Shared,
    ) -> Option<Self> {
        if path.starts_with(invocation::PREFIX) {
            return None;
        }
        let timer = shared.timer.as_ref()?;
        let operation = match target {
            Some(target) => target
                .split_once('.')
                .map_or(target, |(_, operation)| operation)
                .to_owned(),
            None => format!("S3 {method}"),
        };
        let mut state = shared.state();
        state.calls_at_once += 1;
        let now = state.calls_at_once;
        let counts = &mut state.counts.reprocessed;
        *counts.calls.entry(operation).or_default() += 1;
        counts.most_at_once = counts.most_at_once.max(now);
        Some(Self(shared, timer))
    }

    /// Waits as long as a call takes. What it asked for has been done before, as with a client that gives up waiting.
    pub(super) async fn end(self) {
        self.1.wait().await;
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.0.state().calls_at_once -= 1;
    }
}
