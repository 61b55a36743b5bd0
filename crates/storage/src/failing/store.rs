use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;

use super::plan::{Crash, Fault, FaultPlan, Landing, Verdict};
use crate::test_clock::tokio_now;
use crate::{ErrorKind, StorageError};

/// A store that fails as its plan says.
#[derive(Debug, Clone)]
pub struct Failing<T> {
    pub(super) inner: T,
    pub(super) plan: FaultPlan,
    /// Writes given up by their callers that have not arrived yet.
    wire: Arc<Mutex<Vec<LateWrite<T>>>>,
}

struct LateWrite<T> {
    due: Due,
    write: Write<T>,
}

/// What a late write does to the store, under the plan by which the store fails when it arrives. Nobody waits for its answer.
pub(super) type Write<T> =
    Box<dyn for<'a> FnOnce(&'a T, &'a FaultPlan) -> LocalBoxFuture<'a, ()> + Send>;

#[derive(Debug)]
enum Due {
    /// After this many later writes.
    After(u32),
    At(Instant),
}

impl<T> fmt::Debug for LateWrite<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LateWrite")
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

impl<T> Failing<T> {
    /// `inner`, failing by `plan`.
    #[must_use]
    pub fn new(inner: T, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            wire: Arc::default(),
        }
    }

    /// The store underneath, which never fails.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The same store as the next process meets it: what the last one left on the wire still arrives.
    #[must_use]
    pub fn with_plan(&self, plan: FaultPlan) -> Self
    where
        T: Clone,
    {
        Self {
            inner: self.inner.clone(),
            plan,
            wire: Arc::clone(&self.wire),
        }
    }

    /// Lets everything arrive that is still on the wire, in the order it was sent; returns how many writes that were.
    pub async fn settle(&self) -> usize {
        self.arrive(|_| true).await
    }

    /// Does one operation with what the plan has for it, where that suits any operation.
    pub(super) async fn run<R>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<R, StorageError>>,
    ) -> Result<R, StorageError> {
        self.run_verdict(operation, self.plan.next(operation), work)
            .await
    }

    pub(super) async fn run_verdict<R>(
        &self,
        operation: &'static str,
        verdict: Verdict,
        work: impl Future<Output = Result<R, StorageError>>,
    ) -> Result<R, StorageError> {
        let work = async {
            self.arrive_due().await;
            work.await
        };
        match verdict {
            Verdict::Dead | Verdict::Crash(Crash::Before) => Err(dead(operation)),
            Verdict::Crash(Crash::After | Crash::Late(_)) => {
                let _ = work.await;
                Err(dead(operation))
            }
            Verdict::Fault(Fault::Fail(kind)) => Err(injected(kind, operation, "made to fail")),
            Verdict::Fault(Fault::AnswerLost) => {
                let _ = work.await;
                Err(answer_lost(operation))
            }
            Verdict::Fault(Fault::Slow(delay)) => {
                self.wait(operation, delay / 2).await?;
                let answer = work.await;
                self.wait(operation, delay - delay / 2).await?;
                answer
            }
            Verdict::Pass | Verdict::Fault(_) => work.await,
        }
    }

    /// Waits, unless the process dies meanwhile.
    async fn wait(&self, operation: &'static str, delay: Duration) -> Result<(), StorageError> {
        tokio::time::sleep(delay).await;
        match self.plan.is_dead() {
            true => Err(dead(operation)),
            false => Ok(()),
        }
    }

    /// Puts a write on the wire where the verdict is that it lands late, and says what its caller hears of it; gives back any
    /// other verdict.
    pub(super) fn postpone(
        &self,
        operation: &'static str,
        verdict: Verdict,
        write: impl FnOnce() -> Write<T>,
    ) -> Result<Verdict, StorageError> {
        let (landing, error) = match verdict {
            Verdict::Fault(Fault::Late(landing)) => (landing, answer_lost(operation)),
            Verdict::Crash(Crash::Late(landing)) => (landing, dead(operation)),
            verdict => return Ok(verdict),
        };
        let due = match landing {
            Landing::AfterBatches(writes) => Due::After(writes),
            Landing::AfterTime(delay) => Due::At(tokio_now() + delay),
        };
        let write = write();
        self.wire().push(LateWrite { due, write });
        Err(error)
    }

    /// Does a write that those on the wire may be waiting for.
    pub(super) async fn counted<R>(&self, work: impl Future<Output = R>) -> R {
        let answer = work.await;
        for late in self.wire().iter_mut() {
            if let Due::After(writes) = &mut late.due {
                *writes = writes.saturating_sub(1);
            }
        }
        self.arrive_due().await;
        answer
    }

    /// Lets those writes arrive whose time has come.
    async fn arrive_due(&self) {
        let now = tokio_now();
        self.arrive(|due| match due {
            Due::After(writes) => *writes == 0,
            Due::At(time) => *time <= now,
        })
        .await;
    }

    async fn arrive(&self, is_due: impl Fn(&Due) -> bool) -> usize {
        let late: Vec<LateWrite<T>> = self
            .wire()
            .extract_if(.., |late| is_due(&late.due))
            .collect();
        let count = late.len();
        for LateWrite { write, .. } in late {
            write(&self.inner, &self.plan).await;
        }
        count
    }

    fn wire(&self) -> MutexGuard<'_, Vec<LateWrite<T>>> {
        self.wire
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

pub(super) fn dead(operation: &'static str) -> StorageError {
    injected(ErrorKind::Unanswered, operation, "the process has died")
}

pub(super) fn answer_lost(operation: &'static str) -> StorageError {
    injected(ErrorKind::Unanswered, operation, "the answer was lost")
}

pub(super) fn injected(kind: ErrorKind, operation: &'static str, message: &str) -> StorageError {
    StorageError::new(kind, operation, "the failing store", message)
}
