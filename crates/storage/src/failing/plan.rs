use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::test_clock::tokio_now;
use crate::{ErrorKind, PutItem};

const BATCH: &str = "BatchWriteItem";
const PUT: &str = "PutObject";
const UPDATE: &str = "UpdateItem";
const EXPORT: &str = "ExportTableToPointInTime";
const READ: &str = "GetObject";

/// What goes wrong with one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The store does nothing and this error comes back.
    Fail(ErrorKind),
    /// The store does its work, but the caller gets `Unanswered`.
    AnswerLost,
    /// The store acts after half of the time and the answer comes after all of it.
    Slow(Duration),
    /// `BatchWriteItem`: this many items, chosen at random, are handed back unprocessed; `Throttled` if that is all of them.
    Unprocessed(usize),
    /// `BatchWriteItem`: this many items, chosen at random, are written, and the caller gets `Unanswered`.
    PartlyDone(usize),
    /// `BatchWriteItem`, `PutObject`, `UpdateItem`, `ExportTableToPointInTime`: the caller gets `Unanswered` at once, and the
    /// items or the object are written, or the export is begun, later (what is written on a condition: only if that holds by
    /// then).
    Late(Landing),
    /// `GetObject`: the body fails with `Unanswered` after this many bytes.
    BodyError(u64),
    /// `GetObject`: after this many bytes nothing more comes, and no error either.
    BodyStall(u64),
    /// `GetObject`: the body ends after this many bytes as if it were complete.
    BodyEnd(u64),
}

impl Fault {
    fn suits(&self, operation: &str) -> bool {
        match self {
            Self::Fail(_) | Self::AnswerLost | Self::Slow(_) => true,
            Self::Late(_) => matches!(operation, BATCH | PUT | UPDATE | EXPORT),
            Self::Unprocessed(_) | Self::PartlyDone(_) => operation == BATCH,
            Self::BodyError(_) | Self::BodyStall(_) | Self::BodyEnd(_) => operation == READ,
        }
    }
}

/// When an attempt that was given up arrives at the store after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// Right after the store has carried out this many later writes of those that can land late (0: before whatever the store
    /// does next), or when the test calls [`Failing::settle`](crate::failing::Failing::settle).
    AfterBatches(u32),
    /// After this time: before whatever the store does next.
    AfterTime(Duration),
}

/// How an operation on which the process dies ends for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// It never reached the store.
    Before,
    /// The store did it.
    After,
    /// The store did it later (`BatchWriteItem`, `PutObject`, `UpdateItem`, `ExportTableToPointInTime`; any other operation: as
    /// `After`).
    Late(Landing),
}

/// How often an operation goes wrong at random: each number is out of 1,000 calls; together at most 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// `Unanswered` without anything done.
    pub unanswered: u32,
    /// [`Fault::AnswerLost`].
    pub answer_lost: u32,
    /// `Throttled`.
    pub throttled: u32,
    /// [`Fault::Slow`], up to `longest_delay`.
    pub slow: u32,
    /// [`Fault::Unprocessed`], any number of items.
    pub unprocessed: u32,
    /// [`Fault::PartlyDone`], any number of items.
    pub partly_done: u32,
    /// [`Fault::Late`], after up to `longest_delay`.
    pub late: u32,
    /// A body that fails, stalls or ends within its first 256 KiB.
    pub body: u32,
    /// Bounds the random times.
    pub longest_delay: Duration,
}

/// Which operations fail, shared by all stores of one simulated process. Clones are the same plan.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    plan: Arc<Mutex<Plan>>,
    crashed: Arc<Notify>,
}

#[derive(Debug)]
struct Plan {
    random: ChaCha8Rng,
    /// Operations begun while the process was alive.
    operations: Vec<&'static str>,
    dead: bool,
    crash: Option<(usize, Crash)>,
    /// Operation, how many of its calls are still to come until the fault (1: the next one), fault.
    injected: Vec<(&'static str, usize, Fault)>,
    rates: BTreeMap<&'static str, Rates>,
    /// A batch with an item whose JSON holds this text is refused.
    poison: Option<String>,
    pace: Option<Pace>,
}

/// A bucket that holds a second's worth of items: the theoretical arrival time of the next item, and the time per item.
#[derive(Debug)]
struct Pace {
    next: Instant,
    per_item: Duration,
}

/// What a store does with one operation.
#[derive(Debug)]
pub(super) enum Verdict {
    Pass,
    Dead,
    Crash(Crash),
    Fault(Fault),
}

impl FaultPlan {
    /// A plan in which nothing goes wrong until it is told to. The seed decides what is left to chance.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            plan: Arc::new(Mutex::new(Plan {
                random: ChaCha8Rng::seed_from_u64(seed),
                operations: Vec::new(),
                dead: false,
                crash: None,
                injected: Vec::new(),
                rates: BTreeMap::new(),
                poison: None,
                pace: None,
            })),
            crashed: Arc::new(Notify::new()),
        }
    }

    /// The `nth` call of `operation` from now (1: the next one) goes wrong.
    ///
    /// # Panics
    /// If the operation cannot go wrong in this way.
    pub fn inject(&self, operation: &'static str, nth: usize, fault: Fault) {
        assert!(nth > 0, "calls are counted from 1");
        assert!(fault.suits(operation), "{operation} cannot have {fault:?}");
        self.lock().injected.push((operation, nth, fault));
    }

    /// Calls of `operation` go wrong at random.
    ///
    /// # Panics
    /// If the rates are over 1,000 together.
    pub fn at_random(&self, operation: &'static str, rates: Rates) {
        assert!(
            rates
                .faults(operation)
                .iter()
                .map(|(rate, _)| rate)
                .sum::<u32>()
                <= 1000,
            "rates are parts of 1,000 calls"
        );
        self.lock().rates.insert(operation, rates);
    }

    /// A batch with an item whose JSON holds `text` is refused as a whole, as DynamoDB does with an item that it does not like.
    pub fn refuse_items_with(&self, text: &str) {
        self.lock().poison = Some(text.to_owned());
    }

    /// The table takes this many items a second, with bursts of one second's worth; others are unprocessed or throttled.
    ///
    /// # Panics
    /// If `items_per_second` is 0.
    pub fn limit_writes(&self, items_per_second: u32) {
        let per_item = Duration::from_secs(1) / items_per_second;
        self.lock().pace = Some(Pace {
            next: tokio_now(),
            per_item,
        });
    }

    /// The process dies on its `nth` operation (from 1, over all stores): this and every later one ends in `Unanswered`, and no
    /// later one reaches a store.
    pub fn crash_at(&self, nth: usize, crash: Crash) {
        assert!(nth > 0, "operations are counted from 1");
        self.lock().crash = Some((nth, crash));
    }

    /// Returns when the process has died: race the code under test against it, and drop it as a killed process would be.
    pub async fn crashed(&self) {
        let notified = self.crashed.notified();
        if !self.is_dead() {
            notified.await;
        }
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// How many operations the process has begun: a sweep of crashes goes from 1 to this number in a run without one.
    pub fn operations(&self) -> usize {
        self.lock().operations.len()
    }

    /// The names of the operations begun, in order.
    pub fn log(&self) -> Vec<&'static str> {
        self.lock().operations.clone()
    }

    /// How many times `operation` was begun.
    pub fn count(&self, operation: &str) -> usize {
        self.lock()
            .operations
            .iter()
            .filter(|begun| **begun == operation)
            .count()
    }

    /// Counts one operation in and decides what becomes of it.
    pub(super) fn next(&self, operation: &'static str) -> Verdict {
        let mut plan = self.lock();
        if plan.dead {
            return Verdict::Dead;
        }
        plan.operations.push(operation);
        if let Some((nth, crash)) = plan.crash
            && plan.operations.len() == nth
        {
            plan.dead = true;
            self.crashed.notify_waiters();
            return Verdict::Crash(crash);
        }
        match plan.injected(operation).or_else(|| plan.chance(operation)) {
            Some(fault) => Verdict::Fault(fault),
            None => Verdict::Pass,
        }
    }

    /// `count` positions below `len`, chosen at random, in ascending order.
    pub(super) fn choose(&self, count: usize, len: usize) -> Vec<usize> {
        let mut plan = self.lock();
        let mut positions: Vec<usize> = (0..len).collect();
        while positions.len() > count {
            let drop = plan.random.random_range(0..positions.len());
            positions.remove(drop);
        }
        positions
    }

    /// Whether the store refuses the batch.
    pub(super) fn refuses(&self, items: &[PutItem]) -> bool {
        let plan = self.lock();
        plan.poison.as_ref().is_some_and(|poison| {
            items
                .iter()
                .any(|put| String::from_utf8_lossy(&put.item).contains(poison))
        })
    }

    /// How many of `wanted` items the table's pace allows now; they are taken from it.
    pub(super) fn admit(&self, wanted: usize) -> usize {
        let mut plan = self.lock();
        let Some(pace) = &mut plan.pace else {
            return wanted;
        };
        let now = tokio_now();
        let mut admitted = 0;
        while admitted < wanted && pace.next <= now {
            pace.next = pace.next.max(now - Duration::from_secs(1)) + pace.per_item;
            admitted += 1;
        }
        admitted
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Plan {
    fn injected(&mut self, operation: &str) -> Option<Fault> {
        let mut due = None;
        for (position, (wanted, calls, _)) in self.injected.iter_mut().enumerate() {
            if *wanted == operation {
                *calls -= 1;
                if *calls == 0 {
                    due = Some(position);
                }
            }
        }
        due.map(|position| self.injected.remove(position).2)
    }

    fn chance(&mut self, operation: &str) -> Option<Fault> {
        let rates = *self.rates.get(operation)?;
        let mut roll = self.random.random_range(0..1000_u32);
        for (rate, kind) in rates.faults(operation) {
            if roll < rate {
                return Some(self.draw(kind, rates.longest_delay));
            }
            roll -= rate;
        }
        None
    }

    /// A fault of the kind of `example` with random amounts in it.
    fn draw(&mut self, example: Fault, longest_delay: Duration) -> Fault {
        let random = &mut self.random;
        match example {
            Fault::Slow(_) => Fault::Slow(random.random_range(Duration::ZERO..=longest_delay)),
            Fault::Unprocessed(_) => Fault::Unprocessed(random.random_range(1..=25)),
            Fault::PartlyDone(_) => Fault::PartlyDone(random.random_range(0..=25)),
            Fault::Late(_) => {
                let after = random.random_range(Duration::ZERO..=longest_delay);
                Fault::Late(Landing::AfterTime(after))
            }
            Fault::BodyError(_) => {
                let after = random.random_range(0..=256 * 1024);
                match random.random_range(0..3_u8) {
                    0 => Fault::BodyError(after),
                    1 => Fault::BodyStall(after),
                    _ => Fault::BodyEnd(after),
                }
            }
            other => other,
        }
    }
}

impl Rates {
    /// The faults that the operation can have, each with how often.
    fn faults(&self, operation: &str) -> Vec<(u32, Fault)> {
        let mut faults = vec![
            (self.unanswered, Fault::Fail(ErrorKind::Unanswered)),
            (self.answer_lost, Fault::AnswerLost),
            (self.throttled, Fault::Fail(ErrorKind::Throttled)),
            (self.slow, Fault::Slow(Duration::ZERO)),
            (self.unprocessed, Fault::Unprocessed(1)),
            (self.partly_done, Fault::PartlyDone(0)),
            (self.late, Fault::Late(Landing::AfterTime(Duration::ZERO))),
            (self.body, Fault::BodyError(0)),
        ];
        faults.retain(|(_, fault)| fault.suits(operation));
        faults
    }
}
