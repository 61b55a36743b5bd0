//! Who may write the rows of an inbox key: the lease, the version that waits, the version that is done. No IO, no clock.
//!
//! BatchWriteItem takes no condition, so this one row per inbox key decides. Each function is a transition that is written
//! with a condition on the row's revision: of two that start from the same row, one wins and the other reads again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::Timestamp;

use crate::event::ObjectVersion;
use crate::sequencer::Sequencer;

/// The lease of a worker on an inbox key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The version that it works on.
    pub object: ObjectVersion,
    /// A value of the worker's own, so that no two leases are ever equal.
    pub owner: String,
    /// Milliseconds since 1970.
    pub end: u64,
}

/// The row of an inbox key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inbox {
    /// Raised by each new owner.
    pub fence: u64,
    /// Who works, or worked until it died.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<Lease>,
    /// Milliseconds since 1970 before which nobody may write: attempts of an earlier owner may still land.
    pub quiet_until: u64,
    /// The newest version that has not been started (or that was handed over unfinished).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pending: Option<ObjectVersion>,
    /// Whether somebody has worked on the pending version before.
    pub pending_begun: bool,
    /// Versions that were begun and then overtaken by a newer one; the owner says so in their rows.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub overtaken: Vec<ObjectVersion>,
    /// The newest version that has ended, completed or failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub done: Option<Sequencer>,
}

/// How long leases and late attempts last.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Length of a lease.
    pub lease: Duration,
    /// How long an attempt that got no answer may still land.
    pub settle: Duration,
}

/// What an arrival leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This version, or a newer one, has ended already.
    Done,
    /// A newer version is under way or waits; this one will never be written.
    Outdated,
    /// Somebody works on this key, or late attempts may land: the version waits for that worker's end or for the sweep.
    Waits,
    /// The caller owns the key now and works on this version.
    Owned(ObjectVersion),
    /// There is nothing to do (a sweep of a key without work).
    Idle,
}

/// How an owner leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The version has ended, completed or failed.
    Done,
    /// The version is to be gone on with, by the next owner.
    HandedOver,
    /// A newer version waits; this one is dropped.
    Superseded,
}

impl Inbox {
    /// Whether a sweep has to look at this key.
    pub fn is_open(&self) -> bool {
        self.lease.is_some() || self.pending.is_some()
    }

    /// Whether a version newer than `sequencer` waits.
    pub fn newer_waits(&self, sequencer: &Sequencer) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.sequencer > *sequencer)
    }

    /// An event says that `arrived` exists; or (without it) the sweep, or an owner that ended, asks for whatever waits.
    pub fn arrive(
        &mut self,
        arrived: Option<&ObjectVersion>,
        owner: &str,
        now: Timestamp,
        timing: Timing,
    ) -> Verdict {
        if let Some(arrived) = arrived
            && self
                .done
                .as_ref()
                .is_some_and(|done| *done >= arrived.sequencer)
        {
            return Verdict::Done;
        }
        let working = self.lease.as_ref().map(|lease| &lease.object);
        let newest = [working, self.pending.as_ref(), arrived]
            .into_iter()
            .flatten()
            .max_by(|a, b| a.sequencer.cmp(&b.sequencer))
            .cloned();
        let Some(newest) = newest else {
            return Verdict::Idle;
        };
        if now.0 < self.free_at(timing) {
            if self
                .lease
                .as_ref()
                .is_none_or(|lease| lease.object.sequencer < newest.sequencer)
            {
                self.set_pending(newest.clone());
            }
        } else {
            self.fence += 1;
            self.set_pending(newest.clone());
            self.pending = None;
            self.pending_begun = false;
            if let Some(dead) = self.lease.take()
                && dead.object != newest
            {
                self.overtaken.push(dead.object);
            }
            self.lease = Some(Lease {
                object: newest.clone(),
                owner: owner.to_owned(),
                end: now.plus(timing.lease).0,
            });
            return Verdict::Owned(newest);
        }
        match arrived {
            Some(arrived) if arrived.sequencer < newest.sequencer => Verdict::Outdated,
            _ => Verdict::Waits,
        }
    }

    /// Replaces the version that waits, and remembers one that somebody had begun.
    fn set_pending(&mut self, newest: ObjectVersion) {
        if self.pending.as_ref() == Some(&newest) {
            return;
        }
        if let Some(older) = self.pending.replace(newest)
            && self.pending_begun
        {
            self.overtaken.push(older);
        }
        self.pending_begun = false;
    }

    /// From when a new owner may write. An owner that died may have sent its last attempt just before its lease ended.
    fn free_at(&self, timing: Timing) -> u64 {
        let abandoned = self
            .lease
            .as_ref()
            .map_or(0, |lease| Timestamp(lease.end).plus(timing.settle).0);
        abandoned.max(self.quiet_until)
    }

    /// The owner with this fence goes on. Nothing if it has lost the key; then it must write no more.
    pub fn renew(&mut self, fence: u64, now: Timestamp, timing: Timing) -> Option<Timestamp> {
        let lease = self.owned(fence)?;
        // A lease that has run out may have been seen as such by somebody whose write is on its way.
        if lease.end <= now.0 {
            return None;
        }
        lease.end = now.plus(timing.lease).0;
        Some(Timestamp(lease.end))
    }

    /// The owner with this fence leaves; `quiet_until` is when its last attempt without an answer cannot land any more.
    /// False if it had lost the key before.
    pub fn release(&mut self, fence: u64, ending: &Ending, quiet_until: Timestamp) -> bool {
        if self.owned(fence).is_none() {
            return false;
        }
        let Some(lease) = self.lease.take() else {
            return false;
        };
        self.quiet_until = self.quiet_until.max(quiet_until.0);
        match ending {
            Ending::Done => {
                self.done = self.done.take().max(Some(lease.object.sequencer));
            }
            Ending::HandedOver if self.newer_waits(&lease.object.sequencer) => {
                self.overtaken.push(lease.object);
            }
            Ending::HandedOver => {
                self.pending = Some(lease.object);
                self.pending_begun = true;
            }
            Ending::Superseded => {}
        }
        true
    }

    fn owned(&mut self, fence: u64) -> Option<&mut Lease> {
        if self.fence == fence {
            self.lease.as_mut()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        lease: Duration::from_secs(60),
        settle: Duration::from_secs(300),
    };

    fn version(sequencer: &str) -> ObjectVersion {
        ObjectVersion {
            bucket: "inbox".to_owned(),
            key: "a.csv".to_owned(),
            version: None,
            etag: None,
            sequencer: Sequencer::parse(sequencer).expect("hexadecimal"),
        }
    }

    fn arrive(inbox: &mut Inbox, sequencer: &str, now: u64) -> Verdict {
        inbox.arrive(Some(&version(sequencer)), "me", Timestamp(now), TIMING)
    }

    fn sweep(inbox: &mut Inbox, now: u64) -> Verdict {
        inbox.arrive(None, "sweep", Timestamp(now), TIMING)
    }

    #[test]
    fn one_owner_at_a_time_and_the_newest_waits() {
        let mut inbox = Inbox::default();
        assert_eq!(arrive(&mut inbox, "5", 0), Verdict::Owned(version("5")));
        assert_eq!(
            arrive(&mut inbox, "5", 1),
            Verdict::Waits,
            "a duplicate starts nothing"
        );
        assert_eq!(inbox.pending, None);
        assert_eq!(arrive(&mut inbox, "7", 2), Verdict::Waits);
        assert_eq!(arrive(&mut inbox, "6", 3), Verdict::Outdated);
        assert_eq!(arrive(&mut inbox, "4", 4), Verdict::Outdated);
        assert_eq!(inbox.pending, Some(version("7")));
        assert!(inbox.newer_waits(&version("5").sequencer));
        assert!(inbox.release(1, &Ending::Superseded, Timestamp(0)));
        assert_eq!(sweep(&mut inbox, 5), Verdict::Owned(version("7")));
        assert_eq!(inbox.fence, 2);
        assert!(inbox.release(2, &Ending::Done, Timestamp(0)));
        assert!(!inbox.is_open());
        for older in ["4", "5", "6", "7"] {
            assert_eq!(
                arrive(&mut inbox, older, 1_000_000),
                Verdict::Done,
                "{older}"
            );
        }
        assert_eq!(sweep(&mut inbox, 1_000_000), Verdict::Idle);
    }

    #[test]
    fn after_a_death_the_key_is_free_when_its_last_attempt_cannot_land() {
        let mut inbox = Inbox::default();
        arrive(&mut inbox, "5", 0);
        assert_eq!(sweep(&mut inbox, 60_000 + 299_999), Verdict::Waits);
        assert_eq!(
            sweep(&mut inbox, 60_000 + 300_000),
            Verdict::Owned(version("5"))
        );
        assert_eq!(
            inbox.renew(1, Timestamp(400_000), TIMING),
            None,
            "the dead one must not come back"
        );
        assert!(!inbox.release(1, &Ending::Done, Timestamp(0)));
        assert_eq!(
            inbox.renew(2, Timestamp(400_000), TIMING),
            Some(Timestamp(460_000))
        );
    }

    #[test]
    fn an_owner_whose_lease_ran_out_cannot_renew_it() {
        let mut inbox = Inbox::default();
        arrive(&mut inbox, "5", 0);
        assert_eq!(inbox.renew(1, Timestamp(60_000), TIMING), None);
    }

    #[test]
    fn late_attempts_of_an_orderly_end_hold_the_next_version_back() {
        let mut inbox = Inbox::default();
        arrive(&mut inbox, "5", 0);
        assert!(inbox.release(1, &Ending::Done, Timestamp(310_000)));
        assert_eq!(arrive(&mut inbox, "6", 20_000), Verdict::Waits);
        assert!(inbox.is_open());
        assert_eq!(sweep(&mut inbox, 309_999), Verdict::Waits);
        assert_eq!(sweep(&mut inbox, 310_000), Verdict::Owned(version("6")));
    }

    #[test]
    fn versions_begun_and_overtaken_are_remembered_for_the_owner() {
        let mut inbox = Inbox::default();
        arrive(&mut inbox, "5", 0);
        arrive(&mut inbox, "6", 1);
        arrive(&mut inbox, "7", 2);
        assert_eq!(sweep(&mut inbox, 360_000), Verdict::Owned(version("7")));
        assert_eq!(inbox.overtaken, [version("5")], "6 was never begun");
        inbox.overtaken.clear();
        assert!(inbox.release(2, &Ending::HandedOver, Timestamp(500_000)));
        arrive(&mut inbox, "8", 400_000);
        assert_eq!(
            inbox.overtaken,
            [version("7")],
            "begun, handed over, overtaken"
        );
        inbox.overtaken.clear();
        assert_eq!(sweep(&mut inbox, 500_000), Verdict::Owned(version("8")));
        arrive(&mut inbox, "9", 500_001);
        assert!(inbox.release(3, &Ending::HandedOver, Timestamp(0)));
        assert_eq!(inbox.overtaken, [version("8")]);
    }

    #[test]
    fn a_version_handed_over_waits_unless_a_newer_one_does() {
        let mut inbox = Inbox::default();
        arrive(&mut inbox, "5", 0);
        assert!(inbox.release(1, &Ending::HandedOver, Timestamp(0)));
        assert_eq!(inbox.pending, Some(version("5")));
        assert_eq!(arrive(&mut inbox, "5", 10), Verdict::Owned(version("5")));
        assert_eq!(arrive(&mut inbox, "8", 11), Verdict::Waits);
        assert!(inbox.release(2, &Ending::HandedOver, Timestamp(0)));
        assert_eq!(inbox.pending, Some(version("8")));
    }

    #[test]
    fn an_older_event_after_a_death_starts_the_newest_version() {
        let mut inbox = Inbox::default();
        arrive(&mut inbox, "5", 0);
        assert_eq!(
            arrive(&mut inbox, "4", 360_000),
            Verdict::Owned(version("5"))
        );
    }
}
