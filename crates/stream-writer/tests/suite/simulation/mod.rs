//! A table with its stream, and the event source mapping's contract: what AWS promises of deliveries, and all that it does not.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use records::changes::{Codec, LogLine, Merge, MergeRule};
use serde_json::value::RawValue;
use storage::failing::{Crash, Failing, FaultPlan, Landing, Rates};
use storage::memory::MemoryObjects;
use storage::{Clock, TestClock};
use stream_writer::{Config, Dependencies, handle};

pub const TABLE: &str = "offers";
pub const LAKE: &str = "lake";

/// What an unhurried invocation has.
const MINUTE: Duration = Duration::from_secs(60);

pub fn config() -> Config {
    Config {
        table: TABLE.to_owned(),
        lake_bucket: LAKE.to_owned(),
        codec: Codec::Gzip,
        endpoint_url: None,
    }
}

pub fn lake() -> MemoryObjects {
    MemoryObjects::new().with_bucket(LAKE)
}

/// One record of the stream.
#[derive(Debug, Clone)]
pub struct Record {
    pub json: String,
    pub sequence: String,
    /// Absent where the log cannot have it.
    pub id: Option<String>,
    /// Which key it is of, by which it finds its lane.
    pub key: usize,
}

/// Where the deliveries may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliveries {
    /// As the argument of `docs/SEMANTICS.md` wants it for each record to be in the lake once: a batch that comes again after it
    /// may have been stored begins where it began.
    BeginAsBefore,
    /// Anywhere: bisected after a lost answer, repeated from an older checkpoint with other cuts and lanes.
    BeginAnywhere,
}

/// How often something happened that the histories are about.
#[derive(Debug, Default)]
pub struct Tally {
    pub invocations: usize,
    pub answers_lost: usize,
    pub partial_answers: usize,
    pub enlarged: usize,
    pub shortened: usize,
    pub expired: usize,
    pub rewound: usize,
    pub late: usize,
    pub conflicts: usize,
}

/// The table, its stream and the lake.
pub struct World {
    random: ChaCha8Rng,
    pub shards: Vec<Vec<Record>>,
    /// What the table holds in the end: values by key.
    pub table: BTreeMap<usize, u64>,
    pub lake: Failing<MemoryObjects>,
    pub clock: TestClock,
    deliveries: Deliveries,
    payload_bytes: usize,
    /// Batches that are in the on-failure destination.
    expired: Vec<Vec<Record>>,
    pub tally: Tally,
}

/// What the mapping learnt from an invocation.
enum Heard {
    /// The position in the batch from which on it has to come again.
    Failure(usize),
    Success,
    Nothing,
}

impl World {
    pub fn new(seed: u64, deliveries: Deliveries) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (shards, table) = history(&mut random);
        Self {
            shards,
            table,
            lake: Failing::new(lake(), FaultPlan::seeded(seed)),
            clock: TestClock::default(),
            deliveries,
            payload_bytes: random.random_range(800..20_000),
            expired: Vec::new(),
            tally: Tally::default(),
            random,
        }
    }

    /// Delivers everything, then what expired on the way, then lets land what was still on the wire.
    pub async fn run(&mut self) {
        let mut positions = vec![0; self.shards.len()];
        loop {
            let unfinished: Vec<usize> = (0..positions.len())
                .filter(|shard| positions[*shard] < self.shards[*shard].len())
                .collect();
            if unfinished.is_empty() {
                break;
            }
            let shard = unfinished[self.random.random_range(0..unfinished.len())];
            positions[shard] = self.poll(shard, positions[shard]).await;
        }
        for batch in std::mem::take(&mut self.expired) {
            let plan = FaultPlan::seeded(1);
            let heard = self.invoke(&batch, &plan, MINUTE).await;
            assert!(
                matches!(heard, Heard::Success),
                "a calm store takes everything"
            );
        }
        self.lake.settle().await;
    }

    /// Reads some records of a shard from a position on, divides them into lanes and delivers those; returns where to go on.
    async fn poll(&mut self, shard: usize, from: usize) -> usize {
        let records = &self.shards[shard];
        let to = (from + self.random.random_range(1..=30)).min(records.len());
        let lanes = self.random.random_range(1..=3);
        let mut queues: Vec<VecDeque<Record>> = vec![VecDeque::new(); lanes];
        for record in &records[from..to] {
            queues[record.key % lanes].push_back(record.clone());
        }
        while let Some(busy) = {
            let busy: Vec<usize> = (0..lanes)
                .filter(|lane| !queues[*lane].is_empty())
                .collect();
            (!busy.is_empty()).then(|| busy[self.random.random_range(0..busy.len())])
        } {
            let mut queue = std::mem::take(&mut queues[busy]);
            self.deliver(&mut queue).await;
            queues[busy] = queue;
            if self.deliveries == Deliveries::BeginAnywhere && self.chance(30) {
                // Another poller takes over, from an older checkpoint.
                self.tally.rewound += 1;
                return self.random.random_range(0..=from);
            }
        }
        if self.deliveries == Deliveries::BeginAnywhere && self.chance(60) {
            self.tally.rewound += 1;
            return self.random.random_range(0..to);
        }
        to
    }

    /// Delivers one batch from the front of a lane, and what is left of it, until it is handled or expired.
    async fn deliver(&mut self, queue: &mut VecDeque<Record>) {
        let wanted = self.random.random_range(1..=12);
        let mut size = self.fitting(queue, wanted);
        // Whether something of this batch may be in the lake although nobody said so.
        let mut may_be_stored = false;
        for _ in 0..5 {
            let batch: Vec<Record> = queue.iter().take(size).cloned().collect();
            let before = self.lake.inner().snapshot(LAKE).len();
            let (plan, time, may_land) = self.faults();
            let mut heard = self.invoke(&batch, &plan, time).await;
            if self.chance(30) {
                heard = Heard::Nothing;
            }
            may_be_stored |= may_land || self.lake.inner().snapshot(LAKE).len() > before;
            match heard {
                Heard::Success => {
                    queue.drain(..size);
                    return;
                }
                Heard::Failure(position) => {
                    self.tally.partial_answers += 1;
                    queue.drain(..position);
                    size -= position;
                }
                Heard::Nothing => self.tally.answers_lost += 1,
            }
            match self.random.random_range(0..4_u8) {
                0 => {
                    let more = size + self.random.random_range(0..6);
                    let larger = self.fitting(queue, more);
                    self.tally.enlarged += usize::from(larger > size);
                    size = size.max(larger);
                }
                1 if size > 1
                    && (!may_be_stored || self.deliveries == Deliveries::BeginAnywhere) =>
                {
                    self.tally.shortened += 1;
                    size = match self.random.random() {
                        true => size / 2,
                        false => self.random.random_range(1..size),
                    };
                }
                _ => {}
            }
        }
        self.tally.expired += 1;
        self.expired.push(queue.drain(..size).collect());
    }

    /// As many records from the front as were wanted and as a payload holds.
    fn fitting(&self, queue: &VecDeque<Record>, wanted: usize) -> usize {
        let mut bytes = 0;
        let fitting = queue
            .iter()
            .take(wanted)
            .take_while(|record| {
                bytes += record.json.len();
                bytes <= self.payload_bytes
            })
            .count();
        fitting.clamp(1, queue.len())
    }

    /// What goes wrong in the next invocation; how long it has; and whether a write of it may land after it has ended, before
    /// the history has.
    fn faults(&mut self) -> (FaultPlan, Duration, bool) {
        let plan = FaultPlan::seeded(self.random.random());
        if self.chance(400) {
            return (plan, MINUTE, false);
        }
        let mut may_land = false;
        plan.at_random(
            "GetObject",
            Rates {
                unanswered: 100,
                throttled: 50,
                body: 200,
                slow: 100,
                longest_delay: Duration::from_secs(20),
                ..Rates::default()
            },
        );
        plan.at_random(
            "PutObject",
            Rates {
                unanswered: 150,
                answer_lost: 150,
                throttled: 50,
                slow: 100,
                longest_delay: Duration::from_secs(20),
                ..Rates::default()
            },
        );
        if self.chance(400) {
            let landing = match self.random.random_range(0..3_u8) {
                // Not before the history has ended.
                0 => Landing::AfterBatches(u32::MAX),
                1 => Landing::AfterBatches(self.random.random_range(0..4)),
                _ => Landing::AfterTime(Duration::from_secs(self.random.random_range(0..90))),
            };
            let crash = match self.random.random_range(0..4_u8) {
                0 => Crash::Before,
                1 => Crash::After,
                _ => {
                    self.tally.late += 1;
                    may_land = landing != Landing::AfterBatches(u32::MAX);
                    Crash::Late(landing)
                }
            };
            plan.crash_at(self.random.random_range(1..=3), crash);
        }
        let seconds = match self.chance(200) {
            true => self.random.random_range(1..8),
            false => 120,
        };
        (plan, Duration::from_secs(seconds), may_land)
    }

    /// One invocation of the real handler.
    async fn invoke(&mut self, batch: &[Record], plan: &FaultPlan, time: Duration) -> Heard {
        self.tally.invocations += 1;
        let event = event(batch.iter().map(|record| &*record.json));
        let deadline = self.clock.now().plus(time);
        let dependencies = Dependencies {
            objects: self.lake.with_plan(plan.clone()),
            clock: self.clock,
            config: config(),
        };
        let answered = tokio::select! {
            biased;
            answer = handle(&event, deadline, &dependencies) => Some(answer),
            () = plan.crashed() => None,
        };
        assert!(
            self.clock.now() < deadline || answered.is_none(),
            "the function would have been killed before it answered"
        );
        self.tally.conflicts += plan.count("GetObject");
        match answered {
            Some(Ok(answer)) if !plan.is_dead() => match &answer.batch_item_failures[..] {
                [] => Heard::Success,
                [failure] => {
                    let number = failure.item_identifier.as_deref().unwrap_or_default();
                    let position = batch.iter().position(|record| record.sequence == number);
                    Heard::Failure(position.expect("an identifier is a number of the batch"))
                }
                several => panic!("one identifier is enough: {several:?}"),
            },
            _ => Heard::Nothing,
        }
    }

    fn chance(&mut self, of_1000: u32) -> bool {
        self.random.random_range(0..1000_u32) < of_1000
    }

    /// The lines of the log, object by object.
    pub fn log(&self) -> BTreeMap<String, Vec<String>> {
        log(self.lake.inner())
    }

    /// Every record that belongs into the log, by event id.
    pub fn placeable(&self) -> BTreeMap<&str, &str> {
        (self.shards.iter().flatten())
            .filter_map(|record| Some((record.id.as_deref()?, &*record.json)))
            .collect()
    }

    /// Those that do not.
    pub fn unplaceable(&self) -> BTreeSet<&str> {
        (self.shards.iter().flatten())
            .filter(|record| record.id.is_none())
            .map(|record| &*record.json)
            .collect()
    }
}

pub fn event<'a>(records: impl Iterator<Item = &'a str>) -> Box<RawValue> {
    let records: Vec<&str> = records.collect();
    RawValue::from_string(format!(r#"{{"Records":[{}]}}"#, records.join(",")))
        .expect("records are JSON")
}

/// The lines of a lake's log, object by object.
pub fn log(lake: &MemoryObjects) -> BTreeMap<String, Vec<String>> {
    lake.snapshot(LAKE)
        .into_iter()
        .filter(|(key, _)| key.starts_with("changes/"))
        .map(|(key, content)| {
            let content = std::io::read_to_string(MultiGzDecoder::new(&content[..]))
                .expect("an object of the log is gzip");
            (key, content.lines().map(str::to_owned).collect())
        })
        .collect()
}

/// The values by key that a log's lines come to.
pub fn merged<'a>(lines: impl Iterator<Item = &'a String>) -> BTreeMap<usize, u64> {
    let mut merge = Merge::new(MergeRule::new(&[], u64::MAX));
    for line in lines {
        match LogLine::parse(line) {
            Ok(LogLine::Change(change)) => merge.push(*change),
            other => panic!("{other:?} in the log: {line}"),
        }
    }
    merge
        .finish()
        .filter_map(|state| {
            let image: serde_json::Value = serde_json::from_str(&state.new_image?).expect("JSON");
            let number = |name: &str| image[name]["N"].as_str()?.parse::<u64>().ok();
            let key = usize::try_from(number("id")?).expect("keys are small");
            Some((key, number("v")?))
        })
        .collect()
}

/// A random history of a table, as its stream's shards have it, and what the table holds at its end.
fn history(random: &mut ChaCha8Rng) -> (Vec<Vec<Record>>, BTreeMap<usize, u64>) {
    let keys = random.random_range(1..=6);
    let mut shards: Vec<Vec<Record>> = vec![Vec::new(); random.random_range(1..=3)];
    // As on AWS, the numbers of different shards have different lengths.
    let mut numbers: Vec<u128> = (0..shards.len())
        .map(|shard| 10_u128.pow(18 + u32::try_from(shard).expect("few")) * 7)
        .collect();
    let mut table = BTreeMap::new();
    let mut seconds = 1_768_388_000 + random.random_range(0..400);
    for step in 0..random.random_range(1..=60_u64) {
        seconds += [0, 0, 0, 1, 20, 900, 4_000][random.random_range(0..7)];
        let key = random.random_range(0..keys);
        let shard = key % shards.len();
        numbers[shard] += random.random_range(1..1_000_000_000);
        let change = Change {
            key,
            step,
            // Rounding, and records that are made a little later than others.
            seconds: seconds - random.random_range(0..=1),
            sequence: numbers[shard].to_string(),
            ttl: random.random_range(0..4) == 0,
        };
        let record = match random.random_range(0..20_u8) {
            0 => change.unplaceable(random.random_range(0..5)),
            1..=5 if table.contains_key(&key) => {
                table.remove(&key);
                change.record("REMOVE", "")
            }
            _ => {
                let name = match table.insert(key, step) {
                    Some(_) => "MODIFY",
                    None => "INSERT",
                };
                // The last digit of a number of 38 must come through.
                let image = format!(
                    r#","NewImage":{{"id":{{"N":"{key}"}},"v":{{"N":"{step}"}},"big":{{"N":"9999999999999999999999999999999999999{}"}},"empty":{{"S":""}}}}"#,
                    step % 10
                );
                change.record(name, &image)
            }
        };
        shards[shard].push(record);
    }
    (shards, table)
}

struct Change {
    key: usize,
    step: u64,
    seconds: u64,
    sequence: String,
    ttl: bool,
}

impl Change {
    fn record(&self, name: &str, image: &str) -> Record {
        let Self {
            key,
            step,
            seconds,
            sequence,
            ttl,
        } = self;
        let id = format!("{:032x}", u128::from(*step) << 64 | *key as u128);
        let identity = match (name, ttl) {
            ("REMOVE", true) => {
                r#""userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},"#
            }
            _ => "",
        };
        Record {
            json: format!(
                r#"{{"eventID":"{id}","eventName":"{name}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1",{identity}"dynamodb":{{"ApproximateCreationDateTime":{seconds}.0,"Keys":{{"id":{{"N":"{key}"}}}}{image},"SequenceNumber":"{sequence}","SizeBytes":9,"StreamViewType":"NEW_AND_OLD_IMAGES"}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:123456789012:table/{TABLE}/stream/2026-01-14T00:00:00.000"}}"#
            ),
            sequence: sequence.clone(),
            id: Some(id),
            key: *key,
        }
    }

    /// A record that has no place in the log, in one of five ways.
    fn unplaceable(&self, way: u8) -> Record {
        let good = self.record("INSERT", "");
        let json = match way {
            0 => good.json.replace("\"dynamodb\":", "\"kinesis\":"),
            1 => good.json.replace("\"SequenceNumber\"", "\"Number\""),
            2 => good.json.replace("INSERT", "UPSERT"),
            3 => good.json.replace(":table/offers/", ":table/others/"),
            _ => good.json.replace("ApproximateCreationDateTime", "Time"),
        };
        Record {
            json,
            id: None,
            ..good
        }
    }
}
