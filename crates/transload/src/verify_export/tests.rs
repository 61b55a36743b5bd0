use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use records::{Item, KeyAttribute, KeyType, item_from_dynamodb_json};
use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::MemoryTables;
use storage::{ErrorKind, TestClock};

use super::*;
use crate::describe;
use crate::export_source::tests::{ADDRESS, FOLDER, item, lake};

type Report = super::Report;

fn shape() -> TableShape {
    TableShape {
        name: "offers".to_owned(),
        partition: KeyAttribute {
            name: "id".to_owned(),
            kind: KeyType::S,
        },
        sort: None,
        indexes: Vec::new(),
    }
}

fn table(items: &[String]) -> MemoryTables {
    let tables = MemoryTables::new().with_table(shape());
    tables.seed("offers", items.iter().map(|line| parsed(line)));
    tables
}

fn parsed(line: &str) -> Item {
    let inner = line.strip_prefix(r#"{"Item":"#).unwrap();
    item_from_dynamodb_json(inner.strip_suffix('}').unwrap()).unwrap()
}

async fn source<O: ObjectStore + 'static>(objects: O) -> ExportSource<O> {
    ExportSource::of_objects(Rc::new(objects), ADDRESS)
        .await
        .unwrap()
}

const SCAN: ScanOptions = ScanOptions {
    segments: 3,
    consistent: true,
    read_units: None,
};

async fn run<O: ObjectStore + 'static, I: ItemStore>(
    a: &ExportSource<O>,
    against: Against<'_, O, I>,
) -> Result<Report, VerifyExportError> {
    let task = Task {
        a,
        against,
        key_names: Some(vec!["id".to_owned()]),
        max_differences: 3,
        threads: 2,
        clock: &TestClock::default(),
    };
    verify(&task, |_, progress| assert!(progress.items <= 1_000)).await
}

async fn with_table(files: &[Vec<String>], tables: &MemoryTables) -> Report {
    let a = source(lake(files, false)).await;
    let against = Against::Table {
        tables,
        shape: &shape(),
        scan: SCAN,
    };
    run(&a, against).await.unwrap()
}

async fn with_export(a: &[Vec<String>], b: &[Vec<String>], incremental: bool) -> Report {
    let a = source(lake(a, incremental)).await;
    let b = source(lake(b, incremental)).await;
    run::<_, MemoryTables>(&a, Against::Export(&b))
        .await
        .unwrap()
}

fn key(difference: &Difference) -> String {
    let mut key = Vec::new();
    difference.key["id"].write_plain_json(&mut key);
    String::from_utf8(key).unwrap().replace('"', "")
}

fn told(report: &Report) -> Vec<(DifferenceKind, String)> {
    let told = report.differences.iter();
    let mut told: Vec<_> = told.map(|found| (found.kind, key(found))).collect();
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn equal_items_are_equal_however_they_are_written_and_ordered() {
    let one = item("a", r#","n":{"N":"1.0"},"s":{"NS":["2","1e0"]}"#);
    let other = r#"{"Item":{"s":{"NS":["1","2.0"]},"n":{"N":"1"},"id":{"S":"a"}}}"#.to_owned();
    let files = [vec![one, item("b", "")], vec![item("c", "")]];
    let shuffled = [vec![item("c", ""), other.clone()], vec![item("b", "")]];
    let report = with_export(&files, &shuffled, false).await;
    assert!(report.is_equal());
    assert_eq!((report.items_a, report.items_b), (3, Some(3)));

    let report = with_table(&files, &table(&shuffled.concat())).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!((report.items_a, report.items_b), (3, Some(3)));
    assert!(report.capacity_tenths > 0);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_difference_is_told_with_its_key_and_attributes() {
    let n = |n: u32| format!(r#","n":{{"N":"{n}"}},"same":{{"S":"x"}}"#);
    let files = [
        vec![item("a", &n(1)), item("b", &n(1))],
        vec![item("d", &n(1))],
    ];
    let changed = item("b", r#","m":{"BOOL":true},"same":{"S":"x"}"#);
    let tables = table(&[changed, item("c", &n(1)), item("d", &n(1))]);
    let report = with_table(&files, &tables).await;
    assert!(!report.is_equal() && report.counted_all);
    let counts = DifferenceCounts {
        only_in_a: 1,
        only_in_b: 1,
        different: 1,
        ..DifferenceCounts::default()
    };
    assert_eq!(report.counts, counts);
    let of = |kind, key: &str| (kind, key.to_owned());
    assert_eq!(
        told(&report),
        [
            of(DifferenceKind::OnlyInA, "a"),
            of(DifferenceKind::OnlyInB, "c"),
            of(DifferenceKind::Different, "b"),
        ]
    );
    let differing = report.differences.last().unwrap();
    let names: Vec<_> = differing
        .attributes
        .iter()
        .map(|found| &*found.name)
        .collect();
    assert_eq!(names, ["m", "n"]);
    assert!(differing.attributes[0].a.is_none() && differing.attributes[1].b.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_there_twice_is_a_difference() {
    let row = item("a", "");
    let twice = [vec![row.clone()], vec![row.clone(), item("b", "")]];
    let report = with_table(&twice, &table(&twice.concat())).await;
    assert_eq!(
        told(&report),
        [(DifferenceKind::RepeatedInA, "a".to_owned())]
    );
    let thrice = [vec![row.clone(), row.clone(), row], vec![item("b", "")]];
    let once = [vec![item("b", ""), item("a", "")]];
    let report = with_export(&once, &thrice, false).await;
    assert_eq!(report.counts.repeated_in_b, 2);
    assert_eq!(report.counts.all(), 2);
}

#[tokio::test(start_paused = true)]
async fn incremental_exports_are_compared_by_their_new_images() {
    let line = |id: &str, micros: u64, image: &str| {
        format!(
            r#"{{"Metadata":{{"WriteTimestampMicros":{{"N":"{micros}"}}}},"Keys":{{"id":{{"S":"{id}"}}}}{image}}}"#
        )
    };
    let image = |n: &str| format!(r#","NewImage":{{"id":{{"S":"a"}},"n":{{"N":"{n}"}}}}"#);
    let a = [vec![line("a", 1, &image("1")), line("b", 2, "")]];
    let b = [vec![line("b", 9, ""), line("a", 9, &image("1.0"))]];
    assert!(with_export(&a, &b, true).await.is_equal());
    let removed = [vec![line("b", 9, ""), line("a", 9, "")]];
    let report = with_export(&a, &removed, true).await;
    assert_eq!(told(&report), [(DifferenceKind::Different, "a".to_owned())]);

    let incremental = source(lake(&a, true)).await;
    let full = source(lake(&[vec![item("a", "")]], false)).await;
    let mixed = run::<_, MemoryTables>(&full, Against::Export(&incremental)).await;
    assert!(matches!(mixed, Err(VerifyExportError::Kinds { .. })));
    let tables = table(&[]);
    for sample in [true, false] {
        let shape = shape();
        let against = match sample {
            true => Against::Sample {
                tables: &tables,
                shape: &shape,
                items: 3,
                reads: None,
            },
            false => Against::Table {
                tables: &tables,
                shape: &shape,
                scan: SCAN,
            },
        };
        let refused = run(&incremental, against).await;
        assert!(matches!(refused, Err(VerifyExportError::Incremental(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_alone_is_read_through_or_only_looked_for() {
    let files = [vec![item("a", "")], vec![item("b", ""), item("c", "")]];
    let objects = lake(&files, false);
    let a = source(objects.clone()).await;
    let alone = async |quick| run::<_, MemoryTables>(&a, Against::Manifests { quick }).await;
    assert_eq!(alone(false).await.unwrap().items_a, 3);
    let bytes: usize = objects
        .snapshot("lake")
        .iter()
        .filter(|(key, _)| key.contains("/data/"))
        .map(|(_, content)| content.len())
        .sum();
    assert_eq!(alone(true).await.unwrap().bytes, Some(bytes as u64));

    // What is broken inside is not looked at, what is gone is.
    objects.seed(
        "lake",
        &format!("{FOLDER}/data/file1.json.gz"),
        "broken",
        &[],
    );
    assert!(alone(true).await.is_ok());
    let error = alone(false).await.unwrap_err();
    assert!(matches!(&error, VerifyExportError::Export(error) if error.is_fault_of_export()));
    let without_id = lake(&[vec![r#"{"Item":{"x":{"S":"a"}}}"#.to_owned()]], false);
    let without_id = source(without_id).await;
    let run = run::<_, MemoryTables>(&without_id, Against::Manifests { quick: false });
    insta::assert_snapshot!(describe(&run.await.unwrap_err()).replace(FOLDER, "F"), @r#"s3://lake/F/data/file0.json.gz, line 1: the item has no key attribute "id": expected it in every item"#);
}

#[tokio::test(start_paused = true)]
async fn a_sample_is_the_same_in_every_run_and_finds_what_it_holds() {
    let rows: Vec<String> = (0..40)
        .map(|n| item(&format!("k{n}"), r#","n":{"N":"1"}"#))
        .collect();
    let halves = [rows[..20].to_vec(), rows[20..].to_vec()];
    let nothing = table(&[]);
    let sample = async |files: &[Vec<String>], tables: &MemoryTables, items| {
        let a = source(lake(files, false)).await;
        let against = Against::Sample {
            tables,
            shape: &shape(),
            items,
            reads: Some(10),
        };
        run(&a, against).await.unwrap()
    };
    let report = sample(&halves, &nothing, 10).await;
    assert_eq!(
        (report.items_a, report.items_b, report.counts.only_in_a),
        (40, Some(10), 10)
    );
    let mut backwards = rows.clone();
    backwards.reverse();
    let again = sample(&[backwards], &nothing, 10).await;
    assert_eq!(told(&report), told(&again));
    assert_eq!(report.differences.len(), 3);

    assert!(sample(&halves, &table(&rows), 10).await.is_equal());
    let changed: Vec<String> = rows
        .iter()
        .map(|row| row.replace("\"1\"", "\"2\""))
        .collect();
    let report = sample(&halves, &table(&changed), 100).await;
    assert_eq!((report.items_b, report.counts.different), (Some(40), 40));
    assert!(
        report
            .differences
            .iter()
            .all(|found| found.attributes.len() == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_scan_keeps_to_its_pace() {
    let rows: Vec<String> = (0..1_000).map(|n| item(&format!("k{n}"), "")).collect();
    let tables = table(&rows);
    let clock = TestClock::default();
    let scan = async |read_units| {
        let options = ScanOptions {
            segments: 4,
            consistent: true,
            read_units,
        };
        let begun = clock.elapsed();
        let each = |_| Ok::<(), StorageError>(());
        let scan = table::scan(&tables, &shape(), options, &clock, each, |_| {}).await;
        (scan.unwrap(), clock.elapsed() - begun)
    };
    let (scanned, took) = scan(None).await;
    assert_eq!((scanned.items, took), (1_000, Duration::ZERO));
    let (scanned, took) = scan(Some(1)).await;
    let wanted = Duration::from_millis(scanned.capacity_tenths * 100);
    // The last pages of the segments are not waited for any more.
    assert!(
        took <= wanted && took + took / 2 >= wanted,
        "{took:?} {wanted:?}"
    );
}

// Not with a paused clock, which stands still while other threads are at work.
#[tokio::test]
async fn breaks_are_survived_and_a_store_that_fails_is_an_error() {
    let files = [vec![item("a", ""), item("b", "")], vec![item("c", "")]];
    let verified = async |operation: &'static str, nth: usize, fault: Fault| {
        let plan = FaultPlan::seeded(1);
        let a = source(Failing::new(lake(&files, false), plan.clone())).await;
        plan.inject(operation, nth, fault);
        let tables = Failing::new(table(&[item("a", ""), item("b", "")]), plan.clone());
        let shape = shape();
        let against = Against::Table {
            tables: &tables,
            shape: &shape,
            scan: SCAN,
        };
        run(&a, against).await
    };
    let whole = verified("PutObject", 1, Fault::Fail(ErrorKind::Denied))
        .await
        .unwrap();
    assert_eq!(told(&whole), [(DifferenceKind::OnlyInA, "c".to_owned())]);
    for nth in 1..=4 {
        for fault in [Fault::BodyError(30), Fault::BodyEnd(7)] {
            assert_eq!(verified("GetObject", nth, fault).await.unwrap(), whole);
        }
        let failed = verified("GetObject", nth, Fault::Fail(ErrorKind::Denied)).await;
        assert!(matches!(failed, Err(VerifyExportError::Export(_))), "{nth}");
    }
    for nth in 1..=6 {
        let failed = verified("Scan", nth, Fault::Fail(ErrorKind::Denied)).await;
        assert!(matches!(failed, Err(VerifyExportError::Table(_))), "{nth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Against maps compared key by key.
    #[test]
    fn counts_are_those_of_comparing_key_by_key(
        a in btree_map(0..12_u8, 0..2_u8, 0..12),
        b in btree_map(0..12_u8, 0..2_u8, 0..12),
        spread in vec(0..3_usize, 24),
        as_table in any::<bool>(),
    ) {
        let files = |rows: &BTreeMap<u8, u8>| {
            let mut files = vec![Vec::new(); 3];
            for (nth, (key, value)) in rows.iter().enumerate() {
                let line = item(&format!("k{key}"), &format!(r#","n":{{"N":"{value}"}}"#));
                files[spread[nth]].push(line);
            }
            files
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let report = runtime.block_on(async {
            match as_table {
                true => with_table(&files(&a), &table(&files(&b).concat())).await,
                false => with_export(&files(&a), &files(&b), false).await,
            }
        });
        let only = |one: &BTreeMap<u8, u8>, other: &BTreeMap<u8, u8>| {
            one.keys().filter(|key| !other.contains_key(key)).count() as u64
        };
        let different = a.iter().filter(|(key, value)| b.get(key).is_some_and(|other| other != *value));
        let expected = DifferenceCounts {
            only_in_a: only(&a, &b),
            only_in_b: only(&b, &a),
            different: different.count() as u64,
            ..DifferenceCounts::default()
        };
        prop_assert_eq!(report.counts, expected);
        prop_assert_eq!(report.is_equal(), a == b);
        prop_assert_eq!((report.items_a, report.items_b), (a.len() as u64, Some(b.len() as u64)));
        prop_assert_eq!(report.differences.len() as u64, expected.all().min(3));
    }
}
