use super::ways::seconds_of_units;
use super::*;
use crate::preflight::{Finding, Hottest, IndexUse};

const NEW: Target = Target {
    exists: false,
    upload: true,
};

/// 25 million ids with a marker that all of them have.
fn ids() -> Preflight {
    Preflight {
        format: Some(Format::Csv { delimiter: ',' }),
        compression: "NONE",
        objects: 1,
        stored_bytes: 500_000_000,
        uncompressed_bytes: 500_000_000,
        rows: 25_000_000,
        bad_rows: 0,
        items: 25_000_000,
        duplicate_rows: 0,
        repeated_keys: 0,
        item_bytes: 775_000_000,
        largest_item_bytes: 31,
        largest_item: None,
        table_units: 25_000_000,
        indexes: vec![IndexUse {
            name: "processed-index".to_owned(),
            entries: 25_000_000,
            units: 25_000_000,
            hottest: Some(Hottest {
                value: "false".to_owned(),
                rows_at_least: 25_000_000,
                exact: true,
            }),
        }],
        hottest: None,
        columns: vec!["id".to_owned(), "processed".to_owned()],
        findings: Vec::new(),
        fingerprint: None,
    }
}

fn with(kind: Kind, count: u64) -> Preflight {
    Preflight {
        findings: vec![Finding {
            kind,
            effect: kind.effect(),
            count,
            examples: Vec::new(),
        }],
        ..ids()
    }
}

fn way(plan: &Plan, name: WayName) -> &Way {
    plan.ways.iter().find(|way| way.name == name).unwrap()
}

fn costs(way: &Way) -> Vec<(u64, u64)> {
    way.costs
        .iter()
        .map(|part| (part.units, part.cost.0))
        .collect()
}

#[test]
fn units_take_the_time_of_a_table_that_doubles() {
    let cases = [
        (0, 0),
        (1, 1),
        (4_001, 2),
        (7_200_000, 1_800),
        (7_200_001, 1_801),
        // 30 minutes at 4,000, 30 at 8,000, and 3.4 million at 16,000.
        (25_000_000, 3_813),
        // 4,000, 8,000, 16,000 and 32,000 for 30 minutes each are 108 million; the rest goes at 40,000.
        (108_000_000, 7_200),
        (108_040_001, 7_202),
    ];
    for (units, seconds) in cases {
        assert_eq!(seconds_of_units(units), seconds, "{units} units");
    }
}

#[test]
fn twenty_five_million_ids_cost_what_a_pencil_says() {
    let plan = compare(&ids(), NEW, &Prices::built_in());
    let ingest = way(&plan, WayName::Ingest);
    assert_eq!(ingest.seconds, Some(25_000));
    assert_eq!(
        costs(ingest),
        [
            // 25 million units at $0.625 a million, for the table and once more for the index.
            (25_000_000, 15_625_000),
            (25_000_000, 15_625_000),
            // 500 blocks with two writes, 1,250 renewals, four for the object.
            (2_254, 1_409),
            // Half a GB at $0.0000133334.
            (25_000, 166_668),
            (29, 6),
            // An upload of 60 parts and two more requests; 1,000 objects; a thousand million bytes in parts of 5 MiB.
            (1_253, 6_265),
            (29, 12),
        ]
    );
    assert_eq!(ingest.cost, Some(MicroDollars(31_424_360)));
    let import = way(&plan, WayName::Import);
    // 10 minutes, and 50,000 rows a second.
    assert_eq!(import.seconds, Some(1_100));
    assert_eq!(
        costs(import),
        [(500_000_000, 69_850), (131, 3_275), (62, 310)]
    );
    assert_eq!(import.cost, Some(MicroDollars(73_435)));
    assert_eq!(plan.choice, Some(WayName::Import));
    assert_eq!(plan.because, "it is cheaper and takes no longer");
}

#[test]
fn one_partition_holds_up_an_index_until_it_is_sharded() {
    let plan = compare(&ids(), NEW, &Prices::built_in());
    let hot = HotPartition {
        index: Some("processed-index".to_owned()),
        value: "false".to_owned(),
        rows_at_least: 25_000_000,
        seconds: 25_000,
        // 25,000 s in the 3,813 s of the table are seven, and a power of two is eight.
        shards: 8,
    };
    assert_eq!(plan.hot_partitions, [hot]);
    let mut spread = ids();
    spread.indexes[0].hottest.as_mut().unwrap().rows_at_least = 25_000_000 / 8;
    let plan = compare(&spread, NEW, &Prices::built_in());
    assert_eq!(plan.hot_partitions, []);
    assert_eq!(way(&plan, WayName::Ingest).seconds, Some(3_813));
}

#[test]
fn what_an_import_would_lose_or_fail_on_is_ingested() {
    let cases = [
        (
            Kind::DuplicateKey,
            "of rows with one key the last one wins, where an import leaves it to chance (7 rows too many)",
        ),
        (
            Kind::MissingKey,
            "an import would fail: 7 rows have no key or an empty one",
        ),
        (
            Kind::LineBreak,
            "rows have line breaks between quotes, of which AWS's guides do not say what an import makes",
        ),
        (
            Kind::IndexWithoutColumn,
            "the source has no column for an index's key: a row mapping can add it",
        ),
    ];
    for (kind, because) in cases {
        let plan = compare(&with(kind, 7), NEW, &Prices::built_in());
        assert_eq!(plan.choice, Some(WayName::Ingest), "{kind:?}");
        assert_eq!(plan.because, because);
    }
    let plan = compare(&with(Kind::EmptyCells, 7), NEW, &Prices::built_in());
    assert_eq!(plan.choice, Some(WayName::Import));
}

#[test]
fn without_a_row_there_is_no_way() {
    let nothing = Preflight {
        rows: 2,
        bad_rows: 2,
        items: 0,
        ..ids()
    };
    let plan = compare(&nothing, NEW, &Prices::built_in());
    assert_eq!(plan.choice, None);
    assert!(
        plan.because.starts_with(
            "no way is open (ingest: there is no row that could be an item; import: there is no row"
        ),
        "{}",
        plan.because
    );
}

#[test]
fn a_table_that_is_there_is_not_imported_into() {
    let there = Target {
        exists: true,
        upload: false,
    };
    let plan = compare(&ids(), there, &Prices::built_in());
    assert_eq!(plan.choice, Some(WayName::Ingest));
    assert_eq!(
        plan.because,
        "an import makes new tables only, and the table is there"
    );
    let json = Preflight {
        format: Some(Format::DynamodbJson),
        ..ids()
    };
    let plan = compare(&json, there, &Prices::built_in());
    assert_eq!(plan.choice, Some(WayName::BulkPut));
    let bulk_put = way(&plan, WayName::BulkPut);
    assert_eq!((bulk_put.seconds, bulk_put.cost), (None, None));
    let mut prices = Prices::built_in();
    prices.prices.bulk_put_gb = Some(prices.prices.import_gb.clone());
    let plan = compare(&json, there, &prices);
    assert_eq!(
        way(&plan, WayName::BulkPut).cost,
        Some(MicroDollars(69_850))
    );
    assert_eq!(compare(&json, NEW, &prices).choice, Some(WayName::Import));
    let broken = Preflight {
        format: Some(Format::DynamodbJson),
        ..with(Kind::BrokenCompression, 1)
    };
    let plan = compare(&broken, there, &prices);
    assert_eq!(plan.choice, None);
    assert!(
        plan.because
            .starts_with("no way is open (ingest: it reads CSV")
    );
}

#[test]
fn a_small_file_is_ingested_and_a_large_one_that_waits_for_a_dollar_imported() {
    let sized = |rows: u64| Preflight {
        rows,
        items: rows,
        table_units: rows,
        stored_bytes: rows * 20,
        uncompressed_bytes: rows * 20,
        indexes: Vec::new(),
        ..ids()
    };
    let plan = compare(&sized(100_000), NEW, &Prices::built_in());
    assert_eq!(way(&plan, WayName::Ingest).seconds, Some(25));
    assert_eq!(plan.choice, Some(WayName::Ingest));
    // 500 s against 640: not faster, and 1.25 dollars dearer.
    let plan = compare(&sized(2_000_000), NEW, &Prices::built_in());
    assert_eq!(way(&plan, WayName::Ingest).seconds, Some(500));
    assert_eq!(way(&plan, WayName::Import).seconds, Some(640));
    assert_eq!(plan.choice, Some(WayName::Import));
    assert_eq!(plan.because, "it is $1.25 cheaper");
}
