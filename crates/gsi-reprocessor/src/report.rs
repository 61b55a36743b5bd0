//! What a run did, what is left, and how long that takes.

use std::time::Duration;

use serde::Serialize;

/// What became of the items that a run took. `taken` is the sum of all but `set_aside`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Entries taken from the index.
    pub taken: u64,
    /// Items whose object is there and that are marked done.
    pub done: u64,
    /// Items that were not pending any more when they were read, or were changed while they were processed.
    pub skipped: u64,
    /// Items that could not be processed.
    pub failed: u64,
    /// Those of them that have had their tries, and were set aside.
    pub set_aside: u64,
    /// Items left as they are because a service failed or the time was over.
    pub unfinished: u64,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.done += other.done;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.set_aside += other.set_aside;
        self.unfinished += other.unfinished;
    }
}

/// Why a run took no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The index had no more.
    Empty,
    /// It took as many as it may.
    Limit,
    /// The function's time was over.
    Deadline,
    /// Another worker has the lane; nothing was taken.
    Busy,
    /// Another worker may have the lane by now.
    LeaseLost,
    /// A service failed: for all items that were tried, or for the index.
    Trouble,
}

/// What a run did in one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// The lane's number.
    pub lane: u32,
    /// Why it ended.
    pub ended: Ended,
    /// What became of its items.
    #[serde(flatten)]
    pub counts: Counts,
    /// Runs of this lane so far.
    pub runs: u64,
    /// Items that they marked done.
    pub total_done: u64,
    /// Items that they set aside.
    pub total_set_aside: u64,
}

/// What is pending after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Items, or as many as were counted.
    pub items: u64,
    /// Whether there are no more.
    pub is_all: bool,
}

/// The answer of the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What became of the items of all lanes.
    #[serde(flatten)]
    pub counts: Counts,
    /// Items that are pending in these lanes, as the index has it; at least so many if `left_exact` is false; absent if they
    /// were not counted.
    pub left: Option<u64>,
    /// Whether all that is left was counted.
    pub left_exact: bool,
    /// Items that were done in a second.
    pub items_per_second: u64,
    /// How long the rest takes at this rate: with a run like this one in every period of the schedule. At least so long if
    /// `left_exact` is false; so is the next one.
    pub eta_on_schedule_seconds: Option<u64>,
    /// How long the rest takes if runs follow one another without a pause, all lanes at the same time.
    pub eta_drain_seconds: Option<u64>,
    /// Lane by lane.
    pub lanes: Vec<LaneReport>,
}

impl Report {
    /// Sums up what was done in `elapsed`.
    pub fn new(
        lanes: Vec<LaneReport>,
        left: Option<Left>,
        elapsed: Duration,
        period: Duration,
    ) -> Self {
        let mut counts = Counts::default();
        for lane in &lanes {
            counts.add(lane.counts);
        }
        let millis = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        // A lane that nobody worked on here says nothing about the pace of a drain.
        let busy = lanes.iter().filter(|lane| lane.counts.done > 0).count() as u64;
        let eta = |left: u64, done: u64, seconds: u64| match (left, done) {
            (0, _) => Some(0),
            (_, 0) => None,
            (left, done) => Some(left.div_ceil(done).saturating_mul(seconds)),
        };
        Self {
            counts,
            left: left.map(|left| left.items),
            left_exact: left.is_some_and(|left| left.is_all),
            items_per_second: counts.done.saturating_mul(1_000) / millis,
            eta_on_schedule_seconds: left
                .and_then(|left| eta(left.items, counts.done, period.as_secs())),
            eta_drain_seconds: left.and_then(|left| match (left.items, counts.done) {
                (0, _) => Some(0),
                (_, 0) => None,
                (left, done) => {
                    let whole = u128::from(left) * u128::from(millis);
                    let rate = u128::from(done) * 1_000 * u128::from(busy.max(1));
                    u64::try_from(whole.div_ceil(rate)).ok()
                }
            }),
            lanes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(done: u64) -> LaneReport {
        LaneReport {
            lane: 0,
            ended: Ended::Limit,
            counts: Counts {
                taken: done + 1,
                done,
                skipped: 1,
                ..Counts::default()
            },
            runs: 1,
            total_done: done,
            total_set_aside: 0,
        }
    }

    fn report(lanes: Vec<LaneReport>, left: Option<u64>) -> Report {
        let left = left.map(|items| Left {
            items,
            is_all: true,
        });
        Report::new(
            lanes,
            left,
            Duration::from_secs(10),
            Duration::from_secs(1_800),
        )
    }

    #[test]
    fn twenty_five_million_rows_are_a_hundred_days_on_the_schedule_and_hours_in_the_drain() {
        let report = report(vec![lane(5_000)], Some(25_000_000));
        assert_eq!(report.items_per_second, 500);
        assert_eq!(report.eta_on_schedule_seconds, Some(5_000 * 1_800));
        assert_eq!(report.eta_drain_seconds, Some(50_000));
        assert_eq!(report.counts.taken, 5_001);
    }

    #[test]
    fn lanes_are_drained_at_the_same_time() {
        let report = report(vec![lane(500), lane(500), lane(0)], Some(100_000));
        // 1,000 items took 10 s one lane after the other; two at a time take half of that.
        assert_eq!(report.eta_drain_seconds, Some(500));
        assert_eq!(report.eta_on_schedule_seconds, Some(100 * 1_800));
    }

    #[test]
    fn nothing_left_takes_no_time_and_nothing_done_says_nothing() {
        assert_eq!(report(vec![lane(0)], Some(0)).eta_drain_seconds, Some(0));
        assert_eq!(report(vec![lane(0)], Some(9)).eta_drain_seconds, None);
        assert_eq!(report(vec![lane(9)], None).eta_on_schedule_seconds, None);
        let json = serde_json::to_value(report(vec![lane(9)], None)).unwrap();
        assert_eq!(json["done"], 9);
        assert_eq!(json["left"], serde_json::Value::Null);
        assert_eq!(json["lanes"][0]["ended"], "limit");
        assert_eq!(json["lanes"][0]["taken"], 10);
    }
}
