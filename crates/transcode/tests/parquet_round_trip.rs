//! Items to Parquet and back: equal in every digit, whatever the columns are.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod parquet_reading;

use parquet_reading::read;
use proptest::prelude::*;
use proptest::sample::select;
use records::{Item, Number, Value, item_from_dynamodb_json, write_item_dynamodb_json};
use transcode::schema::{ColumnKind, EntitySchema};
use transcode::{Added, Inference, LineForm, ParquetEncoder, ParquetLimits, Schema, Shaping};

const NUMBERS: [&str; 18] = [
    "0",
    "7",
    "-12",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "12.5",
    "0.25",
    "-0.001",
    "123456789012345678.91",
    "99999999999999999999999999999999999999",
    "0.1",
    "9007199254740993",
    "1E-130",
    "9.9E+125",
    "1E+20",
    "1200",
    "3.0000000000000000000000000000000000001",
];
/// Names that meet ours, one another in other letters, and JSON's escapes.
const NAMES: [&str; 9] = [
    "a",
    "b",
    "c",
    "A",
    "_extra",
    "tl_change",
    "é \"q\"",
    "longer_name",
    "d.e",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,12}",
        select(vec![
            "",
            "\"",
            "\\",
            "\n\t\u{1}",
            "é€𝄞",
            "{\"S\":\"x\"}",
            "null"
        ])
        .prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    select(&NUMBERS[..]).prop_map(|text| Number::parse(text).unwrap())
}

fn scalar() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..5);
    prop_oneof![
        3 => text().prop_map(Value::S),
        3 => number().prop_map(Value::N),
        1 => bytes().prop_map(Value::B),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => prop::collection::vec(text(), 1..4).prop_map(Value::string_set),
        1 => prop::collection::vec(number(), 1..4).prop_map(Value::number_set),
        1 => prop::collection::vec(bytes(), 1..4).prop_map(Value::binary_set),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::L),
            prop::collection::btree_map(select(&NAMES[..]).prop_map(str::to_owned), inner, 0..4)
                .prop_map(Value::M),
        ]
    })
}

/// An item's attributes in any order.
fn attributes() -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::collection::btree_map(
        select(&NAMES[..]).prop_map(str::to_owned),
        any_value(),
        0..6,
    )
    .prop_map(|item| item.into_iter().collect::<Vec<_>>())
    .prop_shuffle()
}

/// A line with its attributes in this order, some characters of names escaped and blanks where JSON lets them be.
fn line(attributes: &[(String, Value)]) -> Vec<u8> {
    let mut out = b"{\"Item\": {".to_vec();
    for (index, (name, value)) in attributes.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b" ,");
        }
        let name = match name.as_str() {
            "longer_name" => r#""longer\u005fname""#.to_owned(),
            name => serde_json::to_string(name).unwrap(),
        };
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b" : ");
        value.write_dynamodb_json(&mut out);
    }
    out.extend_from_slice(b"}}\n");
    out
}

fn kind() -> impl Strategy<Value = String> {
    let leaf = || {
        let precision = (1u8..=38).prop_flat_map(|precision| (Just(precision), 0..=precision));
        prop_oneof![
            select(vec!["string", "integer", "double", "binary"])
                .prop_map(|name| format!("{name:?}")),
            precision.prop_map(|(precision, scale)| format!("\"decimal({precision},{scale})\"")),
        ]
    };
    let set = leaf().prop_map(|element| format!("{{\"set\":{element}}}"));
    let other = select(vec!["\"boolean\"", "\"json\""]).prop_map(str::to_owned);
    prop_oneof![4 => leaf(), 1 => set, 1 => other].prop_recursive(3, 8, 3, |inner| {
        let members = prop::collection::btree_map(
            select(vec!["a", "b", "c", "é \"q\""]),
            inner.clone(),
            1..4,
        );
        prop_oneof![
            inner
                .clone()
                .prop_map(|element| format!("{{\"list\":{element}}}")),
            inner.prop_map(|value| format!("{{\"map\":{value}}}")),
            members.prop_map(|members| format!("{{\"struct\":{}}}", columns(members))),
        ]
    })
}

fn columns(columns: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let columns: Vec<String> = columns
        .into_iter()
        .map(|(name, kind)| {
            let name = serde_json::to_string(name).unwrap();
            format!("{{\"name\":{name},\"type\":{kind}}}")
        })
        .collect();
    format!("[{}]", columns.join(","))
}

fn declared() -> impl Strategy<Value = String> {
    let names = select(vec!["a", "b", "c", "é \"q\"", "longer_name", "never"]);
    prop::collection::btree_map(names, kind(), 0..6)
        .prop_map(|all| format!("{{\"version\":1,\"columns\":{}}}", columns(all)))
}

/// Whether a value fits a column, said once more and simply.
fn fits(kind: &ColumnKind, value: &Value) -> bool {
    let number = |kind: &ColumnKind, number: &Number| fits(kind, &Value::N(number.clone()));
    match (kind, value) {
        (ColumnKind::Json, _)
        | (ColumnKind::String, Value::S(_))
        | (ColumnKind::Binary, Value::B(_))
        | (ColumnKind::Boolean, Value::Bool(_)) => true,
        (ColumnKind::Integer, Value::N(number)) => decimal_digits(number)
            .is_some_and(|(value, scale)| scale == 0 && i64::try_from(value).is_ok()),
        (ColumnKind::Decimal { precision, scale }, Value::N(number)) => decimal_digits(number)
            .is_some_and(|(value, places)| {
                places <= u32::from(*scale)
                    && value
                        .checked_mul(10i128.pow(u32::from(*scale) - places))
                        .is_some_and(|value| {
                            value.unsigned_abs() < 10u128.pow(u32::from(*precision))
                        })
            }),
        (ColumnKind::Double, Value::N(number)) => {
            let shortest = format!("{:e}", number.as_str().parse::<f64>().unwrap());
            Number::parse(&shortest).as_ref() == Ok(number)
        }
        (ColumnKind::List(element), Value::L(elements)) => {
            elements.iter().all(|value| fits(element, value))
        }
        (ColumnKind::Set(element), Value::Ss(_)) => **element == ColumnKind::String,
        (ColumnKind::Set(element), Value::Bs(_)) => **element == ColumnKind::Binary,
        (ColumnKind::Set(element), Value::Ns(numbers)) => {
            numbers.iter().all(|one| number(element, one))
        }
        (ColumnKind::Struct(members), Value::M(values)) => values.iter().all(|(name, value)| {
            members
                .iter()
                .any(|member| member.name == *name && fits(&member.kind, value))
        }),
        (ColumnKind::Map(kind), Value::M(values)) => values.values().all(|value| fits(kind, value)),
        _ => false,
    }
}

/// A number as digits and how many of them are behind the point; nothing if they are more than an `i128` has.
fn decimal_digits(number: &Number) -> Option<(i128, u32)> {
    let (mantissa, exponent) = number
        .as_str()
        .split_once('E')
        .unwrap_or((number.as_str(), "0"));
    let exponent: i32 = exponent.parse().unwrap();
    let places = mantissa
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len() as i32);
    let digits: i128 = mantissa.replace('.', "").parse().ok()?;
    match places - exponent {
        scale @ 0.. => Some((digits, scale as u32)),
        up => Some((
            digits.checked_mul(10i128.checked_pow(up.unsigned_abs())?)?,
            0,
        )),
    }
}

fn encode(
    lines: &[Vec<u8>],
    form: LineForm,
    schema: &EntitySchema,
    limits: ParquetLimits,
) -> Vec<u8> {
    let mut encoder = ParquetEncoder::new(form, schema, Shaping::default(), limits);
    let mut file = Vec::new();
    for line in lines {
        assert_eq!(encoder.add(line).unwrap(), Added::Written);
        encoder.take(&mut file);
    }
    encoder.finish(&mut file);
    file
}

fn limits(row_group_bytes: u64) -> ParquetLimits {
    ParquetLimits {
        row_group_bytes,
        ..ParquetLimits::default()
    }
}

fn check(items: &[Vec<(String, Value)>], schema: &EntitySchema, row_group_bytes: u64) {
    let lines: Vec<_> = items.iter().map(|item| line(item)).collect();
    let file = encode(&lines, LineForm::Full, schema, limits(row_group_bytes));
    assert_eq!(
        file,
        encode(&lines, LineForm::Full, schema, limits(row_group_bytes)),
        "the same lines make the same bytes"
    );
    let rows = read(&file).rows;
    assert_eq!(rows.len(), items.len());
    for (row, item) in rows.iter().zip(items) {
        let wanted: Item = item.iter().cloned().collect();
        assert_eq!(row.item, wanted);
        for (name, value) in &wanted {
            let column = schema.columns().iter().find(|column| column.name == *name);
            let fits = column.is_some_and(|column| fits(&column.kind, value));
            assert_eq!(
                row.extra.contains(name),
                !fits,
                "{name} in {column:?}: {value:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_items_come_back_from_any_declared_columns(
        items in prop::collection::vec(attributes(), 0..12),
        schema in declared(),
        row_group_bytes in 1u64..600,
    ) {
        check(&items, &EntitySchema::parse(&schema).unwrap(), row_group_bytes);
    }

    #[test]
    fn any_items_come_back_from_inferred_columns(
        items in prop::collection::vec(attributes(), 0..12),
        row_group_bytes in 1u64..600,
    ) {
        let mut inference = Inference::new(None);
        for item in &items {
            inference.add(&line(item), LineForm::Full, &Shaping::default()).unwrap();
        }
        let inferred = inference.finish();
        let (_, entity) = inferred.schema.entity(None);
        check(&items, entity, row_group_bytes);
        // What was inferred from items fits them: only NULLs, names of ours and names in other letters are left over.
        for (name, value) in items.iter().flatten() {
            let column = entity.columns().iter().find(|column| column.name == *name);
            let there = column.is_some_and(|column| *value == Value::Null || fits(&column.kind, value));
            let other_letters = ["a", "A"].contains(&name.as_str());
            prop_assert!(
                there || ["_extra", "tl_change"].contains(&name.as_str()) || other_letters && column.is_none(),
                "{name}: {value:?} in {column:?}"
            );
        }
        // The schema is also a file.
        let parsed = Schema::parse(&inferred.schema.to_json()).unwrap();
        prop_assert_eq!(parsed, inferred.schema);
    }

    #[test]
    fn a_bad_line_leaves_no_trace(
        items in prop::collection::vec(attributes(), 1..8),
        schema in declared(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let schema = EntitySchema::parse(&schema).unwrap();
        let lines: Vec<_> = items.iter().map(|item| line(item)).collect();
        let mut encoder = ParquetEncoder::new(LineForm::Full, &schema, Shaping::default(), limits(300));
        for (line, cut) in lines.iter().zip(cuts) {
            // Every line of an export is cut somewhere first. Only its end can be missed.
            let cut = cut.index(line.len() - 2);
            prop_assert!(encoder.add(&line[..cut]).is_err());
            prop_assert_eq!(encoder.add(line).unwrap(), Added::Written);
        }
        let mut file = Vec::new();
        encoder.finish(&mut file);
        let rows = read(&file).rows;
        let back: Vec<Item> = rows.into_iter().map(|row| row.item).collect();
        let wanted: Vec<Item> = items.into_iter().map(|item| item.into_iter().collect()).collect();
        prop_assert_eq!(back, wanted);
    }
}

fn entity(columns: &str) -> EntitySchema {
    EntitySchema::parse(&format!("{{\"version\":1,\"columns\":{columns}}}")).unwrap()
}

#[test]
fn row_groups_end_at_their_bytes_and_rows_and_are_taken_as_they_end() {
    let schema = entity(r#"[{"name":"id","type":"string"}]"#);
    let line = br#"{"Item":{"id":{"S":"0123456789012345"}}}"#.to_vec();
    // A row is 16 bytes and the 4 of its place.
    let by_bytes = read(&encode(
        &vec![line.clone(); 25],
        LineForm::Full,
        &schema,
        limits(200),
    ));
    assert_eq!(by_bytes.groups, [10, 10, 5]);
    let by_rows = ParquetLimits {
        row_group_rows: 7,
        ..ParquetLimits::default()
    };
    let by_rows = read(&encode(
        &vec![line.clone(); 25],
        LineForm::Full,
        &schema,
        by_rows,
    ));
    assert_eq!(by_rows.groups, [7, 7, 7, 4]);

    let mut encoder = ParquetEncoder::new(LineForm::Full, &schema, Shaping::default(), limits(200));
    let mut file = Vec::new();
    let mut sizes = Vec::new();
    for row in 0..20 {
        encoder.add(&line).unwrap();
        encoder.take(&mut file);
        sizes.push(file.len());
        assert_eq!(encoder.rows(), row + 1);
        assert!(encoder.bytes_so_far() >= file.len() as u64);
    }
    assert!(sizes[..9].iter().all(|size| *size == sizes[0]), "{sizes:?}");
    assert!(
        sizes[9] > sizes[8] && sizes[18] == sizes[9] && sizes[19] > sizes[18],
        "{sizes:?}"
    );
    // With nothing gathered, what was told is what was taken.
    assert_eq!(encoder.bytes_so_far(), file.len() as u64);
    assert_eq!(
        read(&encode(&[], LineForm::Full, &schema, limits(200))).groups,
        [0; 0]
    );
}

#[test]
fn sparse_columns_and_many_of_them_come_back() {
    let columns: Vec<String> = (0..400)
        .map(|index| format!(r#"{{"name":"c{index:04}","type":"decimal(38,3)"}}"#))
        .collect();
    let schema = entity(&format!("[{}]", columns.join(",")));
    let lines: Vec<_> = (0..100)
        .map(|row| {
            let column = row * 7 % 400;
            format!(r#"{{"Item":{{"c{column:04}":{{"N":"{row}.25"}}}}}}"#).into_bytes()
        })
        .collect();
    let file = read(&encode(
        &lines,
        LineForm::Full,
        &schema,
        ParquetLimits::default(),
    ));
    for (row, found) in file.rows.iter().enumerate() {
        let column = format!("c{:04}", row * 7 % 400);
        let number = Number::parse(&format!("{row}.25")).unwrap();
        assert_eq!(found.item, Item::from([(column, Value::N(number))]));
        assert!(found.extra.is_empty());
    }
}

#[test]
fn attributes_called_like_columns_of_ours_are_in_extra() {
    let inferred = {
        let mut inference = Inference::new(None);
        let line = br#"{"Item":{"_extra":{"S":"x"},"TL_Change":{"N":"1"},"id":{"N":"1"}}}"#;
        inference
            .add(line, LineForm::Full, &Shaping::default())
            .unwrap();
        inference.finish()
    };
    let (_, schema) = inferred.schema.entity(None);
    let line = br#"{"Metadata":{"WriteTimestampMicros":{"N":"5"}},"Keys":{"id":{"N":"1"}},"NewImage":{"_extra":{"S":"x"},"id":{"N":"1"},"tl_change":{"S":"y"}}}"#;
    let file = read(&encode(
        &[line.to_vec()],
        LineForm::Incremental,
        schema,
        limits(1),
    ));
    assert_eq!(
        file.columns,
        [
            "tl_change",
            "tl_write_micros",
            "tl_old_image",
            "id",
            "_extra"
        ]
    );
    assert_eq!(file.rows[0].extra, ["_extra", "tl_change"]);
    assert_eq!(file.rows[0].change, Some(("PUT".to_owned(), 5, None)));
    assert_eq!(file.rows[0].item.len(), 3);
}

#[test]
fn changes_have_their_columns_and_removals_their_keys() {
    let schema = entity(r#"[{"name":"id","type":"string"},{"name":"count","type":"integer"}]"#);
    let shaping = Shaping::parse(
        r#"{"columns":{"n":{"rename":"count"},"secret":{"drop":true}},"keep":{"state":["on"]}}"#,
    )
    .unwrap();
    let lines: [&[u8]; 4] = [
        br#"{"OldImage":{"id":{"S":"a"},"n":{"N":"1"},"secret":{"S":"s"}},"NewImage":{"state":{"S":"on"},"id":{"S":"a"},"n":{"N":"2"},"secret":{"S":"t"}},"Keys":{"id":{"S":"a"}},"Metadata":{"WriteTimestampMicros":{"N":"11"}}}"#,
        br#"{"Metadata":{"WriteTimestampMicros":{"N":"12"}},"Keys":{"id":{"S":"b"}}}"#,
        br#"{"Metadata":{"WriteTimestampMicros":{"N":"13"}},"Keys":{"id":{"S":"c"}},"NewImage":{"id":{"S":"c"},"n":{"N":"9"},"state":{"S":"off"}}}"#,
        br#"{"Metadata":{"WriteTimestampMicros":{"N":"14"}},"Keys":{"id":{"S":"d"}},"OldImage":{"secret":{"S":"s"}}}"#,
    ];
    let mut encoder = ParquetEncoder::new(LineForm::Incremental, &schema, shaping, limits(1 << 20));
    for line in lines {
        assert_eq!(encoder.add(line).unwrap(), Added::Written);
    }
    let mut file = Vec::new();
    encoder.finish(&mut file);
    let rows = read(&file).rows;
    let item = |json: &str| item_from_dynamodb_json(json).unwrap();
    let wanted = [
        (
            r#"{"id":{"S":"a"},"count":{"N":"2"},"state":{"S":"on"}}"#,
            ("PUT", 11, Some(r#"{"id":{"S":"a"},"count":{"N":"1"}}"#)),
        ),
        (r#"{"id":{"S":"b"}}"#, ("DELETE", 12, None)),
        (r#"{"id":{"S":"c"}}"#, ("DELETE", 13, None)),
        (r#"{"id":{"S":"d"}}"#, ("DELETE", 14, Some("{}"))),
    ];
    for (row, (json, (change, micros, old))) in rows.iter().zip(wanted) {
        assert_eq!(row.item, item(json));
        assert_eq!(row.change, Some((change.to_owned(), micros, old.map(item))));
    }
    assert_eq!(rows.len(), wanted.len());
}

#[test]
fn items_that_the_shaping_leaves_out_have_no_row() {
    let schema = entity(r#"[{"name":"id","type":"integer"}]"#);
    let shaping = Shaping::parse(r#"{"keep":{"state":["on"]}}"#).unwrap();
    let mut encoder = ParquetEncoder::new(LineForm::Full, &schema, shaping, limits(1 << 20));
    for (id, state, added) in [
        (1, "on", Added::Written),
        (2, "off", Added::FilteredOut),
        (3, "on", Added::Written),
    ] {
        let line = format!(r#"{{"Item":{{"id":{{"N":"{id}"}},"state":{{"S":"{state}"}}}}}}"#);
        assert_eq!(encoder.add(line.as_bytes()).unwrap(), added);
    }
    assert_eq!(encoder.rows(), 2);
    let mut file = Vec::new();
    encoder.finish(&mut file);
    let ids: Vec<_> = read(&file)
        .rows
        .into_iter()
        .map(|row| row.item["id"].clone())
        .collect();
    let mut json = Vec::new();
    write_item_dynamodb_json(&Item::from([("ids".to_owned(), Value::L(ids))]), &mut json);
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"ids":{"L":[{"N":"1"},{"N":"3"}]}}"#
    );
}

#[test]
fn what_fits_only_at_first_is_taken_back_whole() {
    // For each column a value that fits, and one of which only the last bit does not.
    let cases = [
        (
            r#"{"map":"integer"}"#,
            r#"{"M":{"a":{"N":"1"},"b":{"N":"2"}}}"#,
            r#"{"M":{"a":{"N":"3"},"b":{"N":"4"},"c":{"S":"x"}}}"#,
        ),
        (
            r#"{"map":{"list":"string"}}"#,
            r#"{"M":{"a":{"L":[{"S":"x"}]}}}"#,
            r#"{"M":{"a":{"L":[{"S":"y"}]},"b":{"L":[{"S":"z"},{"N":"1"}]}}}"#,
        ),
        (
            r#"{"list":{"map":"string"}}"#,
            r#"{"L":[{"M":{"a":{"S":"x"}}},{"M":{}}]}"#,
            r#"{"L":[{"M":{"a":{"S":"y"},"b":{"S":"z"}}},{"M":{"a":{"NULL":true}}}]}"#,
        ),
        (
            r#"{"list":{"list":"integer"}}"#,
            r#"{"L":[{"L":[{"N":"1"},{"N":"2"}]},{"L":[]}]}"#,
            r#"{"L":[{"L":[{"N":"3"}]},{"L":[{"N":"4"},{"N":"4.5"}]},{"L":[]}]}"#,
        ),
        (
            r#"{"set":"integer"}"#,
            r#"{"NS":["1","2"]}"#,
            r#"{"NS":["3","4","4.5","5"]}"#,
        ),
        (r#"{"set":"string"}"#, r#"{"SS":["x"]}"#, r#"{"NS":["3"]}"#),
        (
            r#"{"struct":[{"name":"a","type":"binary"},{"name":"b","type":{"struct":[{"name":"c","type":"boolean"}]}}]}"#,
            r#"{"M":{"b":{"M":{"c":{"BOOL":true}}},"a":{"B":"AAE="}}}"#,
            r#"{"M":{"a":{"B":"AAI="},"b":{"M":{"c":{"BOOL":false},"d":{"S":"x"}}}}}"#,
        ),
        (
            r#"{"list":{"struct":[{"name":"a","type":"double"},{"name":"b","type":"decimal(4,2)"}]}}"#,
            r#"{"L":[{"M":{"b":{"N":"12.34"}}},{"M":{"a":{"N":"0.5"}}}]}"#,
            r#"{"L":[{"M":{"b":{"N":"0.01"},"a":{"N":"2"}}},{"M":{"b":{"N":"0.001"}}}]}"#,
        ),
    ];
    for (kind, good, bad) in cases {
        let schema = entity(&format!(r#"[{{"name":"v","type":{kind}}}]"#));
        let lines: Vec<_> = [good, bad, good, good, bad, bad, good]
            .iter()
            .map(|value| format!(r#"{{"Item":{{"v":{value}}}}}"#).into_bytes())
            .collect();
        let rows = read(&encode(&lines, LineForm::Full, &schema, limits(1 << 20))).rows;
        let extra: Vec<usize> = rows.iter().map(|row| row.extra.len()).collect();
        assert_eq!(extra, [0, 1, 0, 0, 1, 1, 0], "{kind}");
        for (row, value) in rows.iter().zip([good, bad, good, good, bad, bad, good]) {
            assert_eq!(
                row.item["v"],
                Value::from_dynamodb_json(value).unwrap(),
                "{kind}"
            );
        }
    }
}
