use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use proptest::prelude::*;
use records::changes::{Codec, SnapshotSource};
use storage::memory::MemoryObjects;
use transcode::{LineForm, Schema};

use super::*;
use crate::settings::{Format, Settings};

const LAKE: &str = "lake";

fn plan(codec: Codec, split_bytes: u64) -> OutputPlan {
    OutputPlan {
        bucket: LAKE.to_owned(),
        table: "offers".to_owned(),
        key_names: vec!["id".to_owned()],
        window: "w".to_owned(),
        stem: "abcd".to_owned(),
        form: LineForm::Full,
        settings: Settings {
            format: Format::JsonLines,
            codec,
            split_bytes,
            shaping: None,
            schema: None,
            discriminator: Some("kind".to_owned()),
        },
        schema: None,
        source: SnapshotSource::Export,
        id: "export-id".to_owned(),
        event_prefix: "export-id".to_owned(),
        event_part: "abcd".to_owned(),
        snapshot_time: 0,
        window_start: None,
    }
}

/// Text of which three quarters are left when it is compressed: digits of base 64 without an order.
static NOISE: LazyLock<String> = LazyLock::new(|| {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let digit = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[(state >> 58) as usize])
    };
    (0..4_000_000).map(digit).collect()
});

/// A line of the kind, with this much text; lines of ids that are near each other have different ones.
fn line(id: u64, kind: &str, bytes: usize) -> String {
    let at = id as usize * 50_000 % (NOISE.len() - bytes);
    let text = &NOISE[at..at + bytes];
    format!(r#"{{"Item":{{"id":{{"N":"{id}"}},"kind":{{"S":"{kind}"}},"text":{{"S":"{text}"}}}}}}"#)
}

/// What becomes of a line, made in the simplest way.
fn plain(line: &str) -> String {
    let item = line
        .strip_prefix(r#"{"Item":"#)
        .unwrap()
        .strip_suffix('}')
        .unwrap();
    item.replace(r#"{"N":""#, "")
        .replacen(r#""},"kind":{"S":"#, r#","kind":"#, 1)
        .replacen(r#"},"text":{"S":"#, r#","text":"#, 1)
        .replacen(r#""}}"#, r#""}"#, 1)
}

async fn all(objects: &MemoryObjects, plan: &OutputPlan, lines: &[String]) -> Checkpoint {
    let mut outputs = Outputs::new(objects, plan).unwrap();
    for (number, line) in (0..).zip(lines) {
        outputs.add(number, line.as_bytes()).await.unwrap();
        assert!(outputs.held_bytes <= HELD_BYTES);
    }
    outputs.finish().await.unwrap()
}

/// The lines of each data set, of all its objects in their order.
fn read(objects: &MemoryObjects) -> BTreeMap<String, Vec<String>> {
    let mut read: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, body) in objects.snapshot(LAKE) {
        let kind = key
            .split("tl_type=")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        let text = match Codec::of_name(&key).unwrap() {
            Codec::Gzip => {
                let mut text = String::new();
                flate2::read::MultiGzDecoder::new(&body[..])
                    .read_to_string(&mut text)
                    .unwrap();
                text
            }
            Codec::Zstd => String::from_utf8(zstd::decode_all(&body[..]).unwrap()).unwrap(),
        };
        let lines = text.lines().map(str::to_owned);
        read.entry(kind.to_owned()).or_default().extend(lines);
    }
    read
}

fn expected(lines: &[String], kind_of: impl Fn(usize) -> String) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        expected
            .entry(kind_of(number))
            .or_default()
            .push(plain(line));
    }
    expected
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn promise_4_many_data_sets_share_what_is_held_and_each_row_is_in_one_object() {
    run(async {
        // 50 MB that compress to three quarters, in 40 data sets of which none fills a part.
        let kind_of = |number: usize| format!("kind-{:02}", (number * number) % 40);
        let lines: Vec<String> = (0..1_000)
            .map(|number| line(number as u64, &kind_of(number), 50_000))
            .collect();
        let plan = plan(Codec::Zstd, 1 << 30);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let whole = all(&objects, &plan, &lines).await;
        assert!(
            whole.objects.len() > whole.entities.len(),
            "some ended to make room"
        );
        // Those that did were the largest: each held about its share, at least. The last one of a data set has what is left.
        let sets = whole.entities.len();
        let listed = whole.listed();
        for (object, next) in listed.iter().zip(&listed[1..]) {
            let folder = |key: &str| key.rsplit_once('/').map(|(folder, _)| folder.to_owned());
            if folder(&object.key) == folder(&next.key) {
                assert!(object.bytes as usize > HELD_BYTES / sets / 2, "{object:?}");
            }
        }
        publish_all(&objects, &whole.objects).await.unwrap();
        assert!(read(&objects) == expected(&lines, kind_of));

        // Handed over in the middle, it ends in the same objects.
        let again = MemoryObjects::new().with_bucket(LAKE);
        let mut outputs = Outputs::new(&again, &plan).unwrap();
        for (number, line) in (0..960).zip(&lines) {
            outputs.add(number, line.as_bytes()).await.unwrap();
        }
        assert!(outputs.has_progressed());
        let so_far = outputs.checkpoint().await;
        let mut outputs = Outputs::resume(&again, &plan, so_far).unwrap();
        for (number, line) in (0..).zip(&lines) {
            outputs.add(number, line.as_bytes()).await.unwrap();
        }
        let resumed = outputs.finish().await.unwrap();
        assert_eq!(resumed.listed(), whole.listed());
        publish_all(&again, &resumed.objects).await.unwrap();
        assert!(again.snapshot(LAKE) == objects.snapshot(LAKE));
    });
}

/// A plan of Parquet whose entity `wide` has so many columns `c0`, `c1`, …, beside fifteen others: its row groups are of 1 MiB.
fn wide_plan(columns: usize) -> OutputPlan {
    let column = |index| format!(r#"{{"name":"c{index}","type":"string"}}"#);
    let columns: Vec<String> = (0..columns).map(column).collect();
    let entity = |(name, columns): (String, &[String])| {
        format!(r#""{name}":{{"columns":[{}]}}"#, columns.join(","))
    };
    let others = (0..15).map(|index| (format!("narrow-{index}"), &columns[..1]));
    let entities: Vec<String> = others
        .chain([("wide".to_owned(), &columns[..])])
        .map(entity)
        .collect();
    let schema = format!(
        r#"{{"version":1,"discriminator":"kind","entities":{{{}}}}}"#,
        entities.join(",")
    );
    let mut plan = plan(Codec::Zstd, 1 << 30);
    plan.settings.format = Format::Parquet;
    plan.schema = Some(Schema::parse(&schema).unwrap());
    plan
}

#[test]
fn promise_4_a_wide_file_ends_before_its_row_groups_take_much_memory_to_describe() {
    run(async {
        let lines: Vec<String> = (0..500)
            .map(|id| {
                let text = &NOISE[id * 1_000..][..50_000];
                let column = id % 2_000;
                format!(r#"{{"Item":{{"kind":{{"S":"wide"}},"c{column}":{{"S":"{text}"}}}}}}"#)
            })
            .collect();
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let whole = all(&objects, &wide_plan(2_000), &lines).await;
        assert!(whole.objects.len() > 1, "{}", whole.objects.len());
        assert_eq!(whole.rows().written, 500);
        let narrow = all(&objects, &wide_plan(1), &lines).await;
        assert_eq!(narrow.objects.len(), 1);
    });
}

#[test]
fn what_no_column_keeps_does_not_end_a_parquet_file() {
    run(async {
        let mut plan = wide_plan(1);
        plan.settings.shaping = Some(r#"{"columns":{"text":{"drop":true}}}"#.to_owned());
        let lines: Vec<String> = (0..400).map(|id| line(id, "wide", 100_000)).collect();
        assert!(lines.len() * lines[0].len() > HELD_BYTES);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let whole = all(&objects, &plan, &lines).await;
        assert_eq!(whole.objects.len(), 1);
    });
}

#[test]
fn long_names_of_data_sets_count_for_what_the_row_can_list() {
    run(async {
        // None of them has an object, but each has a place in the row.
        let mut plan = plan(Codec::Zstd, 1 << 30);
        plan.settings.shaping = Some(r#"{"keep":{"kind":["another"]}}"#.to_owned());
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let mut outputs = Outputs::new(&objects, &plan).unwrap();
        let refused = async {
            for id in 0..MAX_DATA_SETS as u64 {
                let line = line(id, &format!("{id:0800}"), 0);
                outputs.add(id, line.as_bytes()).await?;
            }
            outputs.cut().await
        };
        let error = refused.await.unwrap_err();
        assert!(matches!(error, OutputError::TooManyObjects), "{error}");
    });
}

#[test]
fn promise_4_a_function_with_more_memory_holds_more_and_makes_fewer_objects() {
    run(async {
        let kind_of = |number: usize| format!("kind-{:02}", number % 40);
        let lines: Vec<String> = (0..1_000)
            .map(|number| line(number as u64, &kind_of(number), 50_000))
            .collect();
        let plan = plan(Codec::Zstd, 1 << 30);
        let mut counts = Vec::new();
        let mut read_first = None;
        for held in [HELD_BYTES / 2, HELD_BYTES, 2 * HELD_BYTES] {
            let objects = MemoryObjects::new().with_bucket(LAKE);
            let mut outputs = Outputs::new(&objects, &plan).unwrap().holding(held);
            for (number, line) in (0..).zip(&lines) {
                outputs.add(number, line.as_bytes()).await.unwrap();
                assert!(outputs.held_bytes <= held);
            }
            let whole = outputs.finish().await.unwrap();
            publish_all(&objects, &whole.objects).await.unwrap();
            let rows = read(&objects);
            assert!(*read_first.get_or_insert_with(|| rows.clone()) == rows);
            counts.push(whole.objects.len());
        }
        assert!(counts[0] > counts[1] && counts[1] > counts[2], "{counts:?}");
        assert_eq!(counts[2], 40);
    });
}

#[test]
fn an_object_of_several_parts_is_one_text() {
    run(async {
        for codec in [Codec::Gzip, Codec::Zstd] {
            let lines: Vec<String> = (0..300).map(|id| line(id, "one", 50_000)).collect();
            let objects = MemoryObjects::new().with_bucket(LAKE);
            let whole = all(&objects, &plan(codec, 1 << 30), &lines).await;
            assert_eq!(whole.objects.len(), 1);
            assert!(whole.objects[0].staged.parts.len() > 1);
            publish_all(&objects, &whole.objects).await.unwrap();
            assert!(read(&objects) == expected(&lines, |_| "one".to_owned()));
            assert_eq!(
                whole.rows(),
                RowCounts {
                    written: 300,
                    filtered: 0
                }
            );
        }
    });
}

#[test]
fn an_object_that_was_begun_is_abandoned() {
    run(async {
        // 12 MB of which nine are left: one part, and a piece of the next one.
        let lines: Vec<String> = (0..240).map(|id| line(id, "one", 50_000)).collect();
        let plan = plan(Codec::Zstd, 1 << 30);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        for is_handed_over in [true, false] {
            let mut outputs = Outputs::new(&objects, &plan).unwrap();
            for (number, line) in (0..).zip(&lines) {
                outputs.add(number, line.as_bytes()).await.unwrap();
            }
            assert_eq!(objects.open_uploads().len(), 1);
            match is_handed_over {
                true => assert_eq!(outputs.checkpoint().await, Checkpoint::default()),
                false => outputs.discard().await,
            }
            assert!(objects.open_uploads().is_empty());
        }
    });
}

#[test]
fn promise_11_too_many_data_sets_are_refused() {
    run(async {
        let plan = plan(Codec::Gzip, 1 << 20);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let mut outputs = Outputs::new(&objects, &plan).unwrap();
        for number in 0..MAX_DATA_SETS as u64 {
            let line = line(number, &format!("kind-{number}"), 10);
            outputs.add(number, line.as_bytes()).await.unwrap();
        }
        let error = outputs
            .add(500, line(500, "more", 10).as_bytes())
            .await
            .unwrap_err();
        assert!(error.is_invalid());
        assert!(
            error
                .to_string()
                .contains("expected at most 500 values of the discriminator"),
            "{error}"
        );
        outputs.discard().await;

        let mut outputs = Outputs::new(&objects, &plan).unwrap();
        let error = outputs
            .add(0, line(0, &"x".repeat(1_100), 10).as_bytes())
            .await
            .unwrap_err();
        assert!(
            error.is_invalid() && error.to_string().contains("expected at most 1024"),
            "{error}"
        );
        assert!(objects.open_uploads().is_empty());
    });
}

#[test]
fn what_a_row_cannot_list_is_refused_and_discarded() {
    run(async {
        let plan = plan(Codec::Gzip, 1);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let mut outputs = Outputs::new(&objects, &plan).unwrap();
        let mut number = 0;
        let error = loop {
            match outputs
                .add(number, line(number, "one", 10).as_bytes())
                .await
            {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(
            error.to_string().contains("raise the size of a split"),
            "{error}"
        );
        let listed = serde_json::to_string(outputs.staged()).unwrap().len();
        assert!(
            (200_000..350_000).contains(&listed),
            "{listed} bytes of JSON"
        );
        outputs.discard().await;
        assert!(objects.open_uploads().is_empty());
    });
}

#[test]
fn a_scan_is_cut_between_lines_and_goes_on_with_other_ones() {
    run(async {
        let plan = plan(Codec::Gzip, 1 << 20);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let lines: Vec<String> = (0..20)
            .map(|id| line(id, ["a", "b"][id as usize % 2], 10))
            .collect();
        let mut outputs = Outputs::new(&objects, &plan).unwrap();
        for number in 0..13 {
            outputs
                .add(number, lines[number as usize].as_bytes())
                .await
                .unwrap();
        }
        outputs.cut().await.unwrap();
        assert_eq!(outputs.rows().read(), 13);
        let so_far = outputs.checkpoint().await;
        let mut outputs = Outputs::resume(&objects, &plan, so_far).unwrap();
        for number in 13..20 {
            outputs
                .add(number, lines[number as usize].as_bytes())
                .await
                .unwrap();
        }
        assert_eq!(outputs.rows().read(), 20);
        let whole = outputs.finish().await.unwrap();
        publish_all(&objects, &whole.objects).await.unwrap();
        assert_eq!(
            read(&objects),
            expected(&lines, |number| ["a", "b"][number % 2].to_owned())
        );
        assert_eq!(whole.listed().len(), 4);
    });
}

#[test]
fn what_is_discarded_leaves_what_was_resumed() {
    run(async {
        let plan = plan(Codec::Gzip, 1);
        let objects = MemoryObjects::new().with_bucket(LAKE);
        let so_far = all(&objects, &plan, &[line(0, "a", 10)]).await;
        let mut outputs = Outputs::resume(&objects, &plan, so_far.clone()).unwrap();
        for number in 0..3 {
            outputs
                .add(number, line(number, "a", 10).as_bytes())
                .await
                .unwrap();
        }
        assert_eq!(objects.open_uploads().len(), 3);
        outputs.discard().await;
        let left = objects.open_uploads();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].id, so_far.objects[0].staged.upload);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_hand_overs_end_in_the_objects_of_one_go(
        rows in prop::collection::vec((0_usize..4, 0_usize..200), 0..120),
        split in 1_u64..2_000,
        stops in prop::collection::vec(0_usize..120, 0..5),
        is_filtered: bool,
    ) {
        let kinds = ["a", "b/c", "d", "%"];
        let escaped = ["a", "b%2Fc", "d", "%25"];
        let lines: Vec<String> = (0..)
            .zip(&rows)
            .map(|(id, (kind, bytes))| line(id, kinds[*kind], *bytes))
            .collect();
        run(async {
            let mut plan = plan(Codec::Zstd, split);
            if is_filtered {
                plan.settings.shaping = Some(r#"{"keep":{"kind":["a","b/c"]}}"#.to_owned());
            }
            let once = MemoryObjects::new().with_bucket(LAKE);
            let whole = all(&once, &plan, &lines).await;
            publish_all(&once, &whole.objects).await.unwrap();
            let mut wanted = expected(&lines, |number| escaped[rows[number].0].to_owned());
            if is_filtered {
                wanted.retain(|kind, _| kind.starts_with('a') || kind.starts_with('b'));
            }
            assert_eq!(read(&once), wanted);
            let written: usize = wanted.values().map(Vec::len).sum();
            assert_eq!(whole.rows().written, written as u64);
            assert_eq!(whole.rows().read(), lines.len() as u64);

            let objects = MemoryObjects::new().with_bucket(LAKE);
            let mut so_far = Checkpoint::default();
            for stop in stops {
                let mut outputs = Outputs::resume(&objects, &plan, so_far).unwrap();
                for (number, line) in (0..).zip(&lines).take(stop) {
                    outputs.add(number, line.as_bytes()).await.unwrap();
                }
                so_far = outputs.checkpoint().await;
                // As the ledger gives it back.
                let json = serde_json::to_string(&so_far).unwrap();
                so_far = serde_json::from_str(&json).unwrap();
            }
            let mut outputs = Outputs::resume(&objects, &plan, so_far).unwrap();
            for (number, line) in (0..).zip(&lines) {
                outputs.add(number, line.as_bytes()).await.unwrap();
            }
            let resumed = outputs.finish().await.unwrap();
            assert_eq!(resumed.listed(), whole.listed());
            assert_eq!(resumed.rows(), whole.rows());
            assert_eq!(&resumed.entities, &whole.entities);
            publish_all(&objects, &resumed.objects).await.unwrap();
            assert_eq!(objects.snapshot(LAKE), once.snapshot(LAKE));
            assert!(objects.open_uploads().is_empty());
        });
    }
}
