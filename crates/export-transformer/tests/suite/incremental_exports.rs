//! Incremental exports through the real handler, in each format: what the window says of an item, of one that came, one that
//! changed and one that went.

use std::collections::BTreeMap;

use crate::simulation::{LAKE, SCHEMA_KEY, World, entry, gzip, run_paused, settings};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use export_jobs::{Format, SchemaMode, Settings, Span, Status};
use export_transformer::Outcome;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use records::changes::{LogLine, SnapshotSource};
use serde_json::{Value, json};
use storage::ExportView;

/// The window: an hour.
const FROM: u64 = 1_795_230_000;
const TO: u64 = 1_795_233_600;

/// An item that came, one that changed, one that went, one that came and went, and one whose kind the window changed.
const LINES: [&str; 5] = [
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795230001000002"}},"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"},"kind":{"S":"order"},"price":{"N":"12.50"},"tags":{"SS":["x","y"]}}}"#,
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795230002999999"}},"Keys":{"id":{"S":"b"}},"OldImage":{"id":{"S":"b"},"kind":{"S":"order"},"price":{"N":"1"}},"NewImage":{"id":{"S":"b"},"kind":{"S":"order"},"price":{"N":"2"}}}"#,
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795230003000000"}},"Keys":{"id":{"S":"c"}},"OldImage":{"id":{"S":"c"},"kind":{"S":"line"},"price":{"N":"3"}}}"#,
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795233599999999"}},"Keys":{"id":{"S":"d"}}}"#,
    r#"{"Metadata":{"WriteTimestampMicros":{"N":"1795230005000000"}},"Keys":{"id":{"S":"e"}},"OldImage":{"id":{"S":"e"},"kind":{"S":"line"}},"NewImage":{"id":{"S":"e"},"kind":{"S":"order"},"price":{"S":"free"}}}"#,
];

fn world(settings: Settings) -> World {
    let span = Span::Incremental {
        from_time: FROM,
        to_time: TO,
        export_view: ExportView::NewAndOldImages,
    };
    let body = gzip(format!("{}\n", LINES.join("\n")).as_bytes());
    let file = entry(&body, LINES.len() as u64);
    World::with_span(settings, span, body, file)
}

/// Transforms the file and gives the names of the objects behind the window's.
async fn transform(world: &World, rows_written: u64) -> Vec<String> {
    let report = world.invoke().await.unwrap();
    let rows = LINES.len() as u64;
    assert_eq!(
        (report.status, report.rows_read, report.rows_written),
        (Outcome::Completed, rows, rows_written)
    );
    let part = world.part().await.unwrap();
    assert_eq!(part.processing_status, Status::Completed);
    assert_eq!(
        (part.rows_read, part.rows_written, part.rows_filtered),
        (rows, rows_written, rows - rows_written)
    );
    let names = world.visible().into_keys();
    names
        .map(|key| {
            let (_, name) = key
                .split_once("full-20261121T040000Z/")
                .unwrap_or(("", &key));
            name.to_owned()
        })
        .collect()
}

#[test]
fn an_incremental_export_becomes_plain_lines_with_both_images() {
    run_paused(async {
        let world = world(settings(Format::JsonLines, 1 << 20));
        assert_eq!(
            transform(&world, 5).await,
            ["tl_type=item/abcd-00000.jsonl.gz"]
        );
        let lines: Vec<String> = world.rows_of_objects().into_values().flatten().collect();
        assert_eq!(
            lines,
            [
                r#"{"Metadata":{"WriteTimestampMicros":1795230001000002},"Keys":{"id":"a"},"NewImage":{"id":"a","kind":"order","price":12.50,"tags":["x","y"]}}"#,
                r#"{"Metadata":{"WriteTimestampMicros":1795230002999999},"Keys":{"id":"b"},"NewImage":{"id":"b","kind":"order","price":2},"OldImage":{"id":"b","kind":"order","price":1}}"#,
                r#"{"Metadata":{"WriteTimestampMicros":1795230003000000},"Keys":{"id":"c"},"OldImage":{"id":"c","kind":"line","price":3}}"#,
                r#"{"Metadata":{"WriteTimestampMicros":1795233599999999},"Keys":{"id":"d"}}"#,
                r#"{"Metadata":{"WriteTimestampMicros":1795230005000000},"Keys":{"id":"e"},"NewImage":{"id":"e","kind":"order","price":"free"},"OldImage":{"id":"e","kind":"line"}}"#,
            ]
        );
    });
}

#[test]
fn an_item_of_a_window_is_in_the_data_set_of_its_newest_image_and_a_removal_is_never_filtered() {
    run_paused(async {
        let world = world(Settings {
            discriminator: Some("kind".to_owned()),
            shaping: Some(
                r#"{"columns":{"price":{"drop":true}},"keep":{"id":["a","c","e"]}}"#.to_owned(),
            ),
            ..settings(Format::JsonLines, 1 << 20)
        });
        transform(&world, 5).await;
        let by_set: BTreeMap<String, Vec<String>> = world
            .rows_of_objects()
            .into_iter()
            .map(|(key, lines)| {
                let set = key.split("tl_type=").nth(1).unwrap().split('/').next();
                (set.unwrap().to_owned(), lines)
            })
            .collect();
        let names: Vec<&str> = by_set.keys().map(String::as_str).collect();
        assert_eq!(names, ["line", "order", "tl_other"]);
        let images = |set: &str| -> Vec<(String, bool)> {
            let lines = by_set[set].iter();
            lines
                .map(|line| {
                    assert!(!line.contains("price"), "{line}");
                    let line: Value = serde_json::from_str(line).unwrap();
                    let id = line["Keys"]["id"].as_str().unwrap().to_owned();
                    (id, line.get("NewImage").is_some())
                })
                .collect()
        };
        let row = |id: &str, has_image| (id.to_owned(), has_image);
        // What b came to is not kept: for the reader, it went.
        let orders = [row("a", true), row("b", false), row("e", true)];
        assert_eq!(images("order"), orders);
        assert_eq!(images("line"), [row("c", false)]);
        assert_eq!(images("tl_other"), [row("d", false)]);
    });
}

#[test]
fn an_incremental_export_becomes_change_records_of_its_window() {
    run_paused(async {
        let world = world(settings(Format::Changes, 1 << 20));
        let name = "changes/table=offers/source=export/dt=2026-11-21/hour=04/01790000000000-aaaaaaaa-abcd-00000.jsonl.gz";
        assert_eq!(transform(&world, 5).await, [name]);
        let lines: Vec<String> = world.rows_of_objects().into_values().flatten().collect();
        let mut told = Vec::new();
        for (number, (line, id)) in lines.iter().zip(["a", "b", "c", "d", "e"]).enumerate() {
            let LogLine::Change(change) = LogLine::parse(line).unwrap() else {
                panic!("{line}");
            };
            let raw: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                change.event_id,
                format!("01790000000000-aaaaaaaa-abcd-{number}")
            );
            assert_eq!(raw["source"], SnapshotSource::Export.name());
            assert_eq!(
                (&raw["snapshotTime"], &raw["windowStart"]),
                (&json!(TO), &json!(FROM))
            );
            let change = &raw["dynamodb"];
            assert_eq!(change["Keys"], json!({"id": {"S": id}}));
            told.push((
                raw["eventName"].as_str().unwrap().to_owned(),
                change["ApproximateCreationDateTime"].as_u64().unwrap(),
                change["NewImage"]["price"].clone(),
                change["OldImage"]["price"].clone(),
            ));
        }
        let row = |kind: &str, second, new, old| (kind.to_owned(), second, new, old);
        let n = |price: &str| json!({"N": price});
        assert_eq!(
            told,
            [
                row("MODIFY", FROM + 1, n("12.50"), Value::Null),
                row("MODIFY", FROM + 2, n("2"), n("1")),
                row("REMOVE", FROM + 3, Value::Null, n("3")),
                row("REMOVE", TO - 1, Value::Null, Value::Null),
                row("MODIFY", FROM + 5, json!({"S": "free"}), Value::Null),
            ]
        );
    });
}

/// What a row of a Parquet file says: change, microseconds, id, price in hundredths, old image, what fits no column.
type Row = (
    String,
    i64,
    String,
    Option<i128>,
    Option<Value>,
    Option<Value>,
);

fn rows_of(file: &Bytes) -> Vec<Row> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let batches = builder.build().unwrap();
    batches
        .flat_map(|batch| {
            let batch: RecordBatch = batch.unwrap();
            let text = |name: &str, row: usize| -> Option<String> {
                let column = batch.column_by_name(name).unwrap().as_string::<i32>();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            let json = |name, row| text(name, row).map(|text| serde_json::from_str(&text).unwrap());
            let micros = batch.column_by_name("tl_write_micros").unwrap();
            let prices = batch.column_by_name("price").unwrap();
            let prices = prices.as_primitive::<Decimal128Type>();
            (0..batch.num_rows())
                .map(|row| {
                    (
                        text("tl_change", row).unwrap(),
                        micros.as_primitive::<Int64Type>().value(row),
                        text("id", row).unwrap(),
                        prices.is_valid(row).then(|| prices.value(row)),
                        json("tl_old_image", row),
                        json("_extra", row),
                    )
                })
                .collect::<Vec<Row>>()
        })
        .collect()
}

#[test]
fn an_incremental_export_becomes_parquet_with_its_changes() {
    run_paused(async {
        let world = world(Settings {
            schema: Some(SchemaMode::Declared),
            ..settings(Format::Parquet, 1 << 20)
        });
        let schema = json!({"version": 1, "entities": {"item": {"columns": [
            {"name": "id", "type": "string"},
            {"name": "kind", "type": "string"},
            {"name": "price", "type": "decimal(10,2)"},
        ]}}});
        world
            .objects
            .seed(LAKE, SCHEMA_KEY, schema.to_string(), &[]);
        assert_eq!(
            transform(&world, 5).await,
            ["tl_type=item/abcd-00000.parquet"]
        );
        let rows: Vec<Row> = world.visible().values().flat_map(rows_of).collect();
        let row = |change: &str, micros, id: &str, price, old, extra| {
            (change.to_owned(), micros, id.to_owned(), price, old, extra)
        };
        let old_b = json!({"id": {"S": "b"}, "kind": {"S": "order"}, "price": {"N": "1"}});
        let old_c = json!({"id": {"S": "c"}, "kind": {"S": "line"}, "price": {"N": "3"}});
        let old_e = json!({"id": {"S": "e"}, "kind": {"S": "line"}});
        let tags = json!({"tags": {"SS": ["x", "y"]}});
        let free = json!({"price": {"S": "free"}});
        let (put, delete) = ("PUT", "DELETE");
        assert_eq!(
            rows,
            [
                row(
                    put,
                    1_795_230_001_000_002,
                    "a",
                    Some(1250),
                    None,
                    Some(tags)
                ),
                row(
                    put,
                    1_795_230_002_999_999,
                    "b",
                    Some(200),
                    Some(old_b),
                    None
                ),
                row(delete, 1_795_230_003_000_000, "c", None, Some(old_c), None),
                row(delete, 1_795_233_599_999_999, "d", None, None, None),
                row(
                    put,
                    1_795_230_005_000_000,
                    "e",
                    None,
                    Some(old_e),
                    Some(free)
                ),
            ]
        );
    });
}
