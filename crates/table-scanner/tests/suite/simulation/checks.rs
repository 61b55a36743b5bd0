//! What holds of a scan, whatever happened to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use export_jobs::{PartRow, ScanRow, Status};
use records::changes::{Completion, LogLine, Merge, MergeRule};
use records::{Item, item_from_dynamodb_json, write_item_plain_json};
use serde_json::Value as Json;
use storage::memory::MemoryObjects;
use table_scanner::Progress;

use super::{LAKE, World, id_of, key};

/// A row of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub object: String,
    pub id: u32,
    /// As plain JSON.
    pub item: Json,
    /// Of change records.
    pub event_id: Option<String>,
}

/// The lines of all compressed objects under a prefix, with their objects.
pub fn lines_under(lake: &MemoryObjects, prefix: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (key, body) in lake.snapshot(LAKE) {
        if key.starts_with(prefix) && key.ends_with(".gz") {
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(&body[..])
                .read_to_string(&mut text)
                .expect("a gzip object of text");
            lines.extend(text.lines().map(|line| (key.clone(), line.to_owned())));
        }
    }
    lines
}

pub fn plain(item: &Item) -> Json {
    let mut json = Vec::new();
    write_item_plain_json(item, &mut json);
    serde_json::from_slice(&json).expect("an item is written as JSON")
}

impl World {
    pub fn scan_row(&self) -> ScanRow {
        let rows = self.ledger.inner().inner.rows();
        let row = rows
            .into_iter()
            .find(|row| row.part == "scan")
            .expect("it was begun");
        serde_json::from_value(Json::Object(row.attributes)).expect("a scan's row")
    }

    pub fn parts(&self) -> Vec<PartRow> {
        let rows = self.ledger.inner().inner.rows().into_iter();
        rows.filter(|row| row.part.starts_with("segment-"))
            .map(|row| serde_json::from_value(Json::Object(row.attributes)).expect("a part's row"))
            .collect()
    }

    /// The rows of the output as far as they are visible.
    pub fn rows(&self) -> Vec<Row> {
        let lake = self.lake.inner();
        let item_of = |object: String, line: &str| {
            let item: Json = serde_json::from_str(line).expect("a line of JSON");
            let id = item["id"]
                .as_u64()
                .expect("an id")
                .try_into()
                .expect("a small one");
            Row {
                object,
                id,
                item,
                event_id: None,
            }
        };
        let mut rows: Vec<Row> = lines_under(lake, "tables/")
            .into_iter()
            .map(|(object, line)| item_of(object, &line))
            .collect();
        for (object, line) in lines_under(lake, "changes/") {
            let LogLine::Change(change) = LogLine::parse(&line).expect("a line of the log") else {
                panic!("{object} has a completion: {line}");
            };
            let image = change.new_image.expect("a row has its item").get();
            let item = item_from_dynamodb_json(image).expect("an item");
            assert_eq!(change.keys, key(id_of(&item)), "{line}");
            rows.push(Row {
                object,
                id: id_of(&item),
                item: plain(&item),
                event_id: Some(change.event_id.into_owned()),
            });
        }
        rows
    }

    /// Nothing is visible that no segment's row has.
    pub fn check_visible(&self) {
        let listed: BTreeSet<String> = self
            .parts()
            .into_iter()
            .flat_map(|part| part.objects)
            .map(|object| object.key)
            .collect();
        for key in self.lake.inner().snapshot(LAKE).into_keys() {
            let is_row = key.contains("/segment-") || key.contains("-segment-");
            assert!(
                !is_row || listed.contains(&key),
                "history {}: {key} is visible and not committed",
                self.seed
            );
        }
    }

    /// All that holds when the scan is finished.
    pub fn check(&self, finished: &Json) {
        let seed = self.seed;
        assert_eq!(
            finished["status"], "COMPLETED",
            "history {seed}: {finished}"
        );
        self.check_visible();
        let scan = self.scan_row();
        assert_eq!(scan.processing_status, Status::Completed);
        let (begun, ended) = (
            scan.snapshot_time * 1_000,
            scan.snapshot_end.unwrap() * 1_000,
        );
        let rows = self.rows();
        self.check_counts(&rows, finished);

        let mut seen = BTreeSet::new();
        let states = self.states.borrow();
        for row in &rows {
            assert!(
                seen.insert(row.id),
                "history {seed}: {row:?} is there twice"
            );
            let of_item = &states[&row.id];
            let had = of_item.iter().enumerate().any(|(at, (since, state))| {
                let until = of_item.get(at + 1).map_or(u64::MAX, |(until, _)| *until);
                let is_so = state.as_ref().map(plain) == Some(row.item.clone());
                is_so && *since <= ended && until >= begun
            });
            assert!(
                had,
                "history {seed}: {row:?} was never so between {begun} and {ended}"
            );
        }
        for (id, of_item) in states.iter() {
            let is_stable = of_item
                .iter()
                .all(|(since, _)| *since < begun || *since > ended);
            let last_before = of_item.iter().rev().find(|(since, _)| *since < begun);
            if let (true, Some((_, Some(_)))) = (is_stable, last_before) {
                assert!(
                    seen.contains(id),
                    "history {seed}: item {id} is not in the scan"
                );
            }
        }
        if self.setting.format == "changes" {
            self.check_event_ids(&rows, &scan);
            self.check_merge(&scan);
        }
        let mut tally = self.tally.borrow_mut();
        tally.rows += rows.len() as u64;
        tally.objects += finished["objects"].as_u64().unwrap();
    }

    fn check_counts(&self, rows: &[Row], finished: &Json) {
        let objects: BTreeSet<&String> = rows.iter().map(|row| &row.object).collect();
        let told = (finished["rows"].as_u64(), finished["objects"].as_u64());
        let there = (Some(rows.len() as u64), Some(objects.len() as u64));
        assert_eq!(told, there, "history {}", self.seed);
        for part in self.parts() {
            let progress = Progress::of(&part).expect("a segment's checkpoint");
            assert!(progress.staged.is_empty() && progress.is_whole);
            let listed: u64 = part.objects.iter().map(|object| object.rows).sum();
            assert_eq!(part.rows_read, listed, "history {}: {part:?}", self.seed);
            assert_eq!(part.rows_read, part.rows_written + part.rows_filtered);
            assert_eq!(progress.objects, part.objects.len() as u64);
        }
    }

    /// The rows of a segment are numbered from 0 without a gap, and no number comes twice.
    fn check_event_ids(&self, rows: &[Row], scan: &ScanRow) {
        let mut by_segment: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for row in rows {
            let id = row.event_id.clone().expect("a change has an id");
            let rest = id
                .strip_prefix(&format!("scan-{}-", scan.snapshot_time))
                .unwrap_or_else(|| panic!("{id} is of another scan"));
            let (segment, ordinal) = rest.split_once('-').expect("a segment and a row");
            assert!(
                row.object.contains(&format!("segment-{segment}-")),
                "{row:?}"
            );
            let ordinals = by_segment.entry(segment.to_owned()).or_default();
            ordinals.push(ordinal.parse().expect("a number"));
        }
        for (segment, mut ordinals) in by_segment {
            ordinals.sort_unstable();
            let expected: Vec<u64> = (0..ordinals.len() as u64).collect();
            assert_eq!(
                ordinals, expected,
                "history {}: segment {segment}",
                self.seed
            );
        }
    }

    /// The scan's rows and the stream's records make the table, as of the scan's end and as of now.
    fn check_merge(&self, scan: &ScanRow) {
        let completions: Vec<Completion> = self
            .lake
            .inner()
            .snapshot(LAKE)
            .into_iter()
            .filter(|(key, _)| key.contains("/source=complete/"))
            .map(|(_, body)| {
                let line = String::from_utf8(body.to_vec()).expect("text");
                match LogLine::parse(line.trim_end()).expect("a line") {
                    LogLine::Complete(completion) => completion,
                    LogLine::Change(change) => panic!("{change:?}"),
                }
            })
            .collect();
        let [completion] = completions[..] else {
            panic!("history {}: {completions:?}", self.seed);
        };
        let end = scan.snapshot_end.expect("it is completed");
        assert_eq!((completion.time, completion.end), (scan.snapshot_time, end));
        let scanned = lines_under(self.lake.inner(), "changes/");
        let streamed = self.stream.borrow();
        for until in [end, end + 1_000_000] {
            let mut merge = Merge::new(MergeRule::new(&[completion], until));
            for line in scanned.iter().map(|(_, line)| line).chain(streamed.iter()) {
                match LogLine::parse(line).expect("a line") {
                    LogLine::Change(change) => merge.push(*change),
                    LogLine::Complete(_) => panic!("{line}"),
                }
            }
            let merged: BTreeMap<u32, Item> = merge
                .finish()
                .filter_map(|state| {
                    let item = item_from_dynamodb_json(&*state.new_image?).expect("an item");
                    Some((id_of(&item), item))
                })
                .collect();
            let states = self.states.borrow();
            let table: BTreeMap<u32, Item> = states
                .iter()
                .filter_map(|(id, of_item)| {
                    let before = |since: u64| since < until.saturating_mul(1_000);
                    let last = of_item.iter().rev().find(|(since, _)| before(*since));
                    Some((*id, last?.1.clone()?))
                })
                .collect();
            assert_eq!(merged, table, "history {}: as of {until}", self.seed);
        }
    }
}
