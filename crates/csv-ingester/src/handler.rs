//! The handler: an event in, a report out.

use lambda_support::{Failure, FailureKind, peak_memory_bytes};
use serde_json::Value;
use storage::{Clock, Ledger, Notices, ObjectStore, StorageError, TableStore, Timestamp};
use tracing::{info, warn};

use crate::claims::{InboxKey, change_inbox, inbox_key, open_inboxes, read_inbox};
use crate::dependencies::{Dependencies, Invocation};
use crate::event::{ObjectVersion, Request, decode};
use crate::inbox::{Timing, Verdict};
use crate::object::{TIME_TO_LEAVE, Worked, end_overtaken, work_on};
use crate::report::{ObjectReport, Outcome, Report};

/// Handles one event. An error means that something was not done and that a repeat of the event can help, or that a person has
/// to change something first; whatever else the event asked for has been done.
pub async fn handle<O, T, L, N, C>(
    event: &Value,
    invocation: Invocation,
    dependencies: &Dependencies<O, T, L, N, C>,
) -> Result<Report, Failure>
where
    O: ObjectStore + 'static,
    T: TableStore,
    L: Ledger,
    N: Notices,
    C: Clock,
{
    let mut handler = Handler {
        dependencies,
        stop_at: Timestamp(
            invocation
                .deadline
                .0
                .saturating_sub(TIME_TO_LEAVE.as_millis() as u64),
        ),
        random: invocation.random,
        report: Report::default(),
        failure: None,
    };
    match decode(event).map_err(|error| Failure::new(FailureKind::Invalid, &error))? {
        Request::Test => info!("S3 tested the notification; there is nothing to do"),
        Request::Objects(objects) => {
            for object in objects {
                let key = InboxKey {
                    bucket: object.bucket.clone(),
                    key: object.key.clone(),
                };
                handler.drain_key(&key, Some(&object)).await;
            }
        }
        Request::Sweep => handler.sweep().await,
    }
    handler.report.peak_memory_bytes = peak_memory_bytes();
    match handler.failure {
        Some(failure) => Err(failure),
        None => Ok(handler.report),
    }
}

struct Handler<'a, O, T, L, N, C> {
    dependencies: &'a Dependencies<O, T, L, N, C>,
    stop_at: Timestamp,
    random: u64,
    report: Report,
    /// The first failure; the others are in the log.
    failure: Option<Failure>,
}

impl<O, T, L, N, C> Handler<'_, O, T, L, N, C>
where
    O: ObjectStore + 'static,
    T: TableStore,
    L: Ledger,
    N: Notices,
    C: Clock,
{
    /// Starts whatever waits. One key that cannot be worked on keeps no other from its turn. Its failure is in its ledger row
    /// and in the log; the next sweep tries again, so Lambda need not.
    async fn sweep(&mut self) {
        let ledger = &self.dependencies.ledger;
        let jobs = match open_inboxes(ledger).await {
            Ok(jobs) => jobs,
            Err(error) => return self.fail(&error),
        };
        for job in jobs {
            if self.dependencies.clock.now() >= self.stop_at {
                info!("time is up; the next sweep goes on");
                break;
            }
            match inbox_key(ledger, &job).await {
                Ok(Some(key)) => self.drain_key(&key, None).await,
                Ok(None) => {}
                Err(error) => self.fail(&error),
            }
        }
        if let Some(failure) = self.failure.take() {
            warn!(error = failure.message, "work is left for the next sweep");
        }
    }

    /// Takes an inbox key if it is free, works on its newest version, and on whatever newer one has come meanwhile.
    async fn drain_key(&mut self, key: &InboxKey, arrived: Option<&ObjectVersion>) {
        let mut arrived = arrived;
        loop {
            match self.take_and_work(key, arrived).await {
                Ok(true) => arrived = None,
                Ok(false) => return,
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Whether there may be more to do for the key.
    async fn take_and_work(
        &mut self,
        key: &InboxKey,
        arrived: Option<&ObjectVersion>,
    ) -> Result<bool, StorageError> {
        let Dependencies {
            ledger,
            clock,
            config,
            ..
        } = self.dependencies;
        let timing = Timing {
            lease: config.lease,
            settle: config.settle,
        };
        if clock.now() >= self.stop_at && arrived.is_none() {
            return Ok(false);
        }
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let owner = format!("{:016x}", self.random);
        let (verdict, fence, taken) = change_inbox(ledger, clock, key, |inbox, now| {
            let verdict = inbox.arrive(arrived, &owner, now, timing);
            (verdict, inbox.fence, now)
        })
        .await?;
        let object = match (verdict, arrived) {
            (Verdict::Owned(object), _) => object,
            (Verdict::Idle, _) | (_, None) => return Ok(false),
            (verdict, Some(arrived)) => {
                let outcome = match verdict {
                    Verdict::Done => Outcome::AlreadyDone,
                    Verdict::Outdated => Outcome::Superseded,
                    Verdict::Waits | Verdict::Owned(_) | Verdict::Idle => Outcome::Waiting,
                };
                self.report
                    .objects
                    .push(ObjectReport::idle(arrived, outcome));
                return Ok(false);
            }
        };
        let worked = work_on(
            self.dependencies,
            &object,
            fence,
            taken,
            self.stop_at,
            self.random,
        )
        .await?;
        let Worked {
            report,
            ending,
            quiet_until,
            failure,
        } = worked;
        let more = report.outcome != Outcome::Deferred;
        self.report.objects.push(report);
        if let Some(failure) = failure {
            self.note(failure);
        }
        let overtaken = read_inbox(ledger, key).await?.overtaken;
        end_overtaken(self.dependencies, &overtaken).await?;
        let kept = change_inbox(ledger, clock, key, |inbox, _| {
            let kept = inbox.release(fence, &ending, quiet_until);
            if kept {
                inbox.overtaken.retain(|object| !overtaken.contains(object));
            }
            kept
        })
        .await?;
        if !kept {
            warn!(
                s3.key = key.key,
                "the key was lost to another worker before it could be released"
            );
        }
        Ok(more && kept)
    }

    fn fail(&mut self, error: &StorageError) {
        self.note(Failure::from(error));
    }

    fn note(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some(failure);
        } else {
            warn!(
                error = failure.message,
                "a further failure in the same invocation"
            );
        }
    }
}
