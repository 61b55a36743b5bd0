mod naive;

use std::io::Write;
use std::rc::Rc;

use records::TableShape;
use storage::memory::MemoryObjects;

use super::*;

fn shape(key: &str, indexes: &[&str]) -> TableShape {
    let indexes: Vec<IndexSpec> = indexes
        .iter()
        .map(|text| IndexSpec::parse(text).unwrap())
        .collect();
    table_shape("ids", &KeySpec::parse(key).unwrap(), &indexes).unwrap()
}

/// Preflight of some objects under `rows/`.
async fn of_objects(objects: &[(&str, Vec<u8>)], shape: &TableShape, chunk: usize) -> Preflight {
    let store = MemoryObjects::new()
        .with_bucket("lake")
        .with_chunks_of(chunk);
    for (key, body) in objects {
        store.seed("lake", &format!("rows/{key}"), body.clone(), &[]);
    }
    store.seed("lake", "other.csv", "x", &[]);
    let sources = SourceSet::of_objects(&Rc::new(store), "lake", "rows/")
        .await
        .unwrap();
    preflight(&sources, shape, Projection::KeysOnly, |_| ())
        .await
        .unwrap()
}

async fn of(text: impl AsRef<[u8]>, shape: &TableShape) -> Preflight {
    of_objects(&[("a.csv", text.as_ref().to_vec())], shape, 7).await
}

/// Kinds with their counts, and where the first one is.
fn found(preflight: &Preflight) -> Vec<(Kind, u64, String)> {
    preflight
        .findings
        .iter()
        .filter(|finding| finding.kind != Kind::TextColumns)
        .map(|finding| {
            let place = finding.examples.first().map(ToString::to_string);
            (finding.kind, finding.count, place.unwrap_or_default())
        })
        .collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn rows_are_counted_and_measured() {
    let text = "id,processed,note\n1,false,é\n2,,x\n3,false,\n";
    let preflight = of(text, &shape("id:N", &["processed-index:processed"])).await;
    assert_eq!(preflight.format, Some(Format::Csv { delimiter: ',' }));
    assert_eq!(
        (preflight.rows, preflight.bad_rows, preflight.items),
        (3, 0, 3)
    );
    assert_eq!(preflight.uncompressed_bytes, text.len() as u64);
    // Names and values; a number of one digit takes two bytes, an empty cell makes no attribute.
    let sizes = [2 + 2 + 9 + 5 + 4 + 2, 2 + 2 + 4 + 1, 2 + 2 + 9 + 5];
    assert_eq!(preflight.item_bytes, sizes.iter().sum::<u64>());
    assert_eq!(
        (preflight.largest_item_bytes, preflight.table_units),
        (24, 3)
    );
    assert_eq!(
        preflight.largest_item.as_ref().unwrap().to_string(),
        "s3://lake/rows/a.csv, line 2: 24 bytes"
    );
    assert_eq!(
        preflight.indexes,
        [IndexUse {
            name: "processed-index".to_owned(),
            entries: 2,
            units: 2,
            hottest: Some(Hottest {
                value: "false".to_owned(),
                rows_at_least: 2,
                exact: true,
            }),
        }]
    );
    assert_eq!(
        found(&preflight),
        [
            (
                Kind::OutsideIndex,
                1,
                "s3://lake/rows/a.csv, line 3: not in processed-index".to_owned()
            ),
            (
                Kind::EmptyCells,
                2,
                "s3://lake/rows/a.csv, line 3: column \"processed\"".to_owned()
            ),
        ]
    );
    assert!(!preflight.has(Effect::Fails) && preflight.has(Effect::Changes));
}

#[tokio::test]
async fn index_entries_are_as_large_as_what_they_project() {
    let text = format!("id,processed,note\n1,false,{}\n", "x".repeat(3_000));
    let shape = shape("id", &["processed-index:processed"]);
    let store = MemoryObjects::new().with_bucket("lake");
    store.seed("lake", "rows/a.csv", text, &[]);
    let sources = SourceSet::of_objects(&Rc::new(store), "lake", "rows/")
        .await
        .unwrap();
    for (projection, units) in [(Projection::KeysOnly, 1), (Projection::All, 3)] {
        let preflight = preflight(&sources, &shape, projection, |_| ())
            .await
            .unwrap();
        assert_eq!(preflight.indexes[0].units, units);
        assert_eq!(preflight.total_units(), 3 + units);
    }
}

#[tokio::test]
async fn an_item_is_in_an_index_if_it_has_all_of_its_key() {
    let text = "id,flag,rank\na,x,1\nb,x,\nc,,1\nd,,\n";
    let preflight = of(text, &shape("id", &["by-flag:flag,rank:N"])).await;
    let index = &preflight.indexes[0];
    assert_eq!(
        (index.entries, index.units, preflight.table_units),
        (1, 1, 4)
    );
}

#[tokio::test]
async fn every_bad_row_is_found_with_its_line_and_counted_once() {
    let long = |bytes: usize| "k".repeat(bytes);
    let text = format!(
        "id,n,rank,note\n\
         a,1,1,fine\n\
         ,1,1,no key\n\
         b,x,1,no number\n\
         c,,1,no sort key\n\
         {},1,1,long\n\
         d,1,x,rank is no number\n\
         e,1,1\n\
         f,1,1,a,b\n\
         g,1,1,5\" wide\n\
         h,1,1,{}\n\
         i,1,,outside the index\n\
         j,1,1,\"two\nlines\"\n\
         k,1,1,last\n",
        long(2_049),
        "x".repeat(409_600),
    );
    let preflight = of(text, &shape("id,n:N", &["by-rank:rank:N"])).await;
    let at = |line: u64, detail: &str| format!("s3://lake/rows/a.csv, line {line}: {detail}");
    assert_eq!(
        found(&preflight),
        [
            (
                Kind::FieldCount,
                2,
                at(8, "the row has 3 fields, the header has 4")
            ),
            (
                Kind::LooseQuote,
                1,
                at(
                    10,
                    "a quote inside a field: expected \"\" inside a field between quotes"
                )
            ),
            (
                Kind::MissingKey,
                2,
                at(3, "the key \"id\" is missing or empty")
            ),
            (
                Kind::KeyWrongType,
                1,
                at(
                    4,
                    "\"n\": not a number: expected decimal digits such as 12, -3.5 or 6.02e23"
                )
            ),
            (
                Kind::KeyTooLong,
                1,
                at(6, "the key \"id\" has 2049 bytes: expected 2048 at most")
            ),
            (
                Kind::IndexKey,
                1,
                at(
                    7,
                    "\"rank\": not a number: expected decimal digits such as 12, -3.5 or 6.02e23"
                )
            ),
            (
                Kind::ItemTooLarge,
                1,
                at(11, "the item has 409616 bytes: expected 409600 at most")
            ),
            (Kind::LineBreak, 1, at(13, "a line break between quotes")),
            (Kind::OutsideIndex, 1, at(12, "not in by-rank")),
            (Kind::EmptyCells, 3, at(3, "column \"id\"")),
        ]
    );
    assert_eq!(
        (preflight.rows, preflight.bad_rows, preflight.items),
        (13, 9, 4)
    );
}

#[tokio::test]
async fn what_is_no_text_is_found() {
    let preflight = of(b"id,a\n1,\xff\n2,\"open\n", &shape("id", &[])).await;
    assert_eq!(
        found(&preflight),
        [(
            Kind::BrokenRow,
            2,
            "s3://lake/rows/a.csv, line 2: field 2 is not valid UTF-8 (column \"a\")".to_owned()
        )]
    );
    let utf16: Vec<u8> = "\u{feff}id\r\n1\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let preflight = of(utf16, &shape("id", &[])).await;
    assert_eq!(
        found(&preflight),
        [(Kind::Utf16, 1, "s3://lake/rows/a.csv: UTF-16".to_owned())]
    );
    assert_eq!(preflight.rows, 1);
    let preflight = of("\u{feff}id\n1\n", &shape("id", &[])).await;
    assert_eq!(found(&preflight)[0].0, Kind::ByteOrderMark);
}

#[tokio::test]
async fn a_header_needs_the_keys_and_a_name_for_each_column() {
    let at = |detail: &str| format!("s3://lake/rows/a.csv: {detail}");
    let preflight = of("id^a\n1^2\n", &shape("id,n:N", &["by-a:a"])).await;
    assert_eq!(
        found(&preflight),
        [(
            Kind::NoKeyColumn,
            1,
            at("no column \"id\" and \"n\" among \"id^a\"")
        )]
    );
    assert_eq!((preflight.rows, preflight.format), (0, None));
    let preflight = of("id||a|a\n1|2|3|4\n", &shape("id", &["by-b:b"])).await;
    assert_eq!(
        found(&preflight),
        [
            (Kind::UnnamedColumn, 1, at("column 2 has no name")),
            (
                Kind::RepeatedColumn,
                1,
                at("columns 3 and 4 are both called \"a\"")
            ),
            (Kind::IndexWithoutColumn, 1, at("no column \"b\"")),
            (
                Kind::OutsideIndex,
                1,
                "s3://lake/rows/a.csv, line 2: not in by-b".to_owned()
            ),
        ]
    );
    let preflight = of("\n\n", &shape("id", &[])).await;
    assert_eq!(
        found(&preflight),
        [(Kind::NoHeader, 1, at("there is no line"))]
    );
    let preflight = of(format!("id,{}", "x".repeat(300_000)), &shape("key", &[])).await;
    assert_eq!(found(&preflight)[0].0, Kind::NoKeyColumn);
}

#[tokio::test]
async fn an_import_takes_one_compression_format_and_delimiter() {
    let good = b"id,a\n1,2\n".to_vec();
    let objects = [
        ("1.csv", good.clone()),
        ("2.csv", gzip(b"id,a\n2,2\n")),
        ("3.csv", b"id;a\n3;2\n".to_vec()),
        ("4.csv", br#"{"Item":{"id":{"S":"4"}}}"#.to_vec()),
        ("5.csv", Vec::new()),
        ("6.csv", b"id,b\n1,2\n".to_vec()),
        ("7.csv", gzip(b"id,a\n7,2\n")[..20].to_vec()),
        ("8.csv", b"PK\x03\x04workbook".to_vec()),
        ("9.csv", zstd::bulk::compress(b"id,a\n9,2\n", 1).unwrap()),
    ];
    let preflight = of_objects(&objects, &shape("id", &[]), 100).await;
    let kinds: Vec<(Kind, u64)> = found(&preflight)
        .into_iter()
        .map(|(kind, count, _)| (kind, count))
        .collect();
    assert_eq!(
        kinds,
        [
            (Kind::MixedCompression, 3),
            (Kind::MixedFormats, 1),
            (Kind::MixedDelimiters, 1),
            (Kind::Archive, 1),
            (Kind::BrokenCompression, 1),
            (Kind::DuplicateKey, 1),
            (Kind::OtherHeader, 1),
            (Kind::EmptyObject, 1),
        ]
    );
    assert_eq!((preflight.objects, preflight.items), (9, 6));
    let [duplicate] = preflight
        .findings
        .iter()
        .filter(|finding| finding.kind == Kind::DuplicateKey)
        .collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", preflight.findings);
    };
    assert_eq!(
        duplicate.examples[0].to_string(),
        "s3://lake/rows/6.csv, line 2: it has the key of line 2 of s3://lake/rows/1.csv"
    );
    let zipped = of_objects(&[("a", gzip(&good))], &shape("id", &[]), 100).await;
    assert_eq!(
        (
            zipped.compression,
            zipped.uncompressed_bytes,
            zipped.has(Effect::Fails)
        ),
        ("GZIP", good.len() as u64, false)
    );
}

#[tokio::test]
async fn lines_of_dynamodb_json_are_items() {
    let lines = [
        r#"{"Item":{"id":{"N":"1"},"flag":{"S":"x"},"tags":{"SS":["a","b"]}}}"#,
        "",
        r#"{"Item":{"id":{"N":"1.0"},"flag":{"S":""}}}"#,
        r#"{"Item":{"id":{"N":"1.0"}}}"#,
        r#"{"Item":{"id":{"S":"2"}}}"#,
        r#"{"Item":{"flag":{"S":"x"}}}"#,
        r#"{"id":{"N":"1"}}"#,
        r#"{"Item":{"id":{"N":"3"},"flag":{"S":"y"}}}"#,
    ];
    let text = lines.join("\n");
    for chunk in [1, 11, 10_000] {
        let objects = [("a.json", text.clone().into_bytes())];
        let preflight = of_objects(&objects, &shape("id:N", &["by-flag:flag"]), chunk).await;
        assert_eq!(preflight.format, Some(Format::DynamodbJson));
        let at = |line: u64, detail: &str| format!("s3://lake/rows/a.json, line {line}: {detail}");
        assert_eq!(
            found(&preflight),
            [
                (
                    Kind::NotAnItem,
                    1,
                    at(
                        7,
                        "unknown field `id`, expected `Item` at line 1 column 5: expected {\"Item\":{…}} in DynamoDB JSON"
                    )
                ),
                (
                    Kind::MissingKey,
                    1,
                    at(6, "the key \"id\" is missing or empty")
                ),
                (
                    Kind::KeyWrongType,
                    1,
                    at(5, "\"id\": it is not of the type N")
                ),
                (Kind::IndexKey, 1, at(3, "the key \"flag\" is empty")),
                (Kind::DuplicateKey, 1, at(4, "it has the key of line 1")),
                (Kind::OutsideIndex, 1, at(4, "not in by-flag")),
            ],
            "chunks of {chunk}"
        );
        assert_eq!(
            (preflight.rows, preflight.bad_rows, preflight.items),
            (7, 4, 2)
        );
    }
}

#[tokio::test]
async fn a_source_that_is_not_there_or_empty_is_no_source() {
    let store = Rc::new(MemoryObjects::new().with_bucket("lake"));
    store.seed("lake", "empty/a", "", &[]);
    let nothing = SourceSet::of_objects(&store, "lake", "rows/")
        .await
        .err()
        .unwrap();
    assert_eq!(
        nothing.to_string(),
        "there is no object under s3://lake/rows/: expected a key, or a prefix such as s3://my-lake/rows/"
    );
    let elsewhere = SourceSet::of_objects(&store, "pond", "rows/")
        .await
        .err()
        .unwrap();
    assert_eq!(
        elsewhere.to_string(),
        "there is no bucket pond: check the address and the region (AWS_REGION or the profile's)"
    );
    assert!(elsewhere.is_usage());
    let empty = SourceSet::of_objects(&store, "lake", "empty/")
        .await
        .err()
        .unwrap();
    assert_eq!(
        empty.to_string(),
        "s3://lake/empty/ is empty: expected rows"
    );
}

#[tokio::test]
async fn objects_have_a_fingerprint_that_their_content_decides() {
    let shape = shape("id", &[]);
    let one = of("id\n1\n", &shape).await.fingerprint;
    assert!(one.is_some());
    assert_eq!(of("id\n1\n", &shape).await.fingerprint, one);
    assert_ne!(of("id\n2\n", &shape).await.fingerprint, one);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "id\n1\n").unwrap();
    let file = SourceSet::<MemoryObjects>::of_file(&path).unwrap();
    let preflight = preflight(&file, &shape, Projection::KeysOnly, |_| ())
        .await
        .unwrap();
    assert_eq!((preflight.rows, preflight.fingerprint), (1, None));
}
