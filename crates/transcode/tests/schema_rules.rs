//! Schema files, inference and tables in Athena.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use proptest::sample::select;
use transcode::schema::{AthenaTable, DEFAULT_ENTITY, MAX_COLUMNS, MAX_ENTITIES};
use transcode::{Added, Inference, Inferred, LineForm, Schema, Shaping};

fn infer(discriminator: Option<&str>, items: &[&str]) -> Inferred {
    inference(discriminator, items).finish()
}

fn inference<T: AsRef<str>>(discriminator: Option<&str>, items: &[T]) -> Inference {
    let mut inference = Inference::new(discriminator);
    for item in items {
        add(&mut inference, item.as_ref());
    }
    inference
}

fn add(inference: &mut Inference, item: &str) {
    let line = format!("{{\"Item\":{item}}}");
    let added = inference.add(line.as_bytes(), LineForm::Full, &Shaping::default());
    assert_eq!(added.unwrap(), Added::Written);
}

/// The columns of the one entity, as `name type`.
fn columns(inferred: &Inferred) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(&inferred.schema.to_json()).unwrap();
    json["entities"]["item"]["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            format!("{} {}", column["name"].as_str().unwrap(), column["type"]).replace('"', "")
        })
        .collect()
}

fn conflicts(inferred: &Inferred) -> Vec<String> {
    inferred.conflicts.iter().map(ToString::to_string).collect()
}

#[test]
fn each_type_is_the_narrowest_that_holds_all_values() {
    let inferred = infer(
        None,
        &[
            r#"{"s":{"S":"x"},"i":{"N":"9223372036854775807"},"d":{"N":"0.125"},"big":{"N":"9223372036854775808"},"bool":{"BOOL":true},"bin":{"B":"AAE="},"ss":{"SS":["a"]},"ns":{"NS":["1","2"]},"bs":{"BS":["AA=="]},"l":{"L":[{"N":"1"}]},"empty":{"L":[]},"m":{"M":{"a":{"S":"x"},"b":{"N":"1"}}},"days":{"M":{"2026-01-01":{"N":"1"}}},"none":{"M":{}},"null":{"NULL":true}}"#,
            r#"{"i":{"N":"-9223372036854775808"},"d":{"N":"12.5"},"ns":{"NS":["0.5"]},"l":{"L":[{"N":"1E+3"}]},"m":{"M":{"c":{"L":[]}}},"days":{"M":{"2026-01-02":{"N":"2.5"}}},"s":{"NULL":true}}"#,
        ],
    );
    assert_eq!(
        columns(&inferred),
        [
            "big decimal(19,0)",
            "bin binary",
            "bool boolean",
            "bs {set:binary}",
            "d decimal(5,3)",
            "days {map:decimal(2,1)}",
            "empty {list:json}",
            "i integer",
            "l {list:integer}",
            "m {struct:[{name:a,type:string},{name:b,type:integer},{name:c,type:{list:json}}]}",
            "none {map:json}",
            "ns {set:decimal(2,1)}",
            "null json",
            "s string",
            "ss {set:string}",
        ]
    );
    assert_eq!(conflicts(&inferred), [""; 0]);
}

#[test]
fn what_does_not_agree_is_json_and_told() {
    let inferred = infer(
        None,
        &[
            r#"{"x":{"S":"1"},"l":{"L":[{"S":"a"},{"NULL":true}]},"m":{"M":{"a":{"N":"1"}}},"n":{"N":"1E-30"},"Name":{"S":"a"},"name":{"S":"b"},"tl_x":{"S":"a"}}"#,
            r#"{"x":{"N":"1"},"m":{"M":{"a":{"S":"1"}}},"n":{"N":"123456789"},"name":{"S":"b"}}"#,
            r#"{"x":{"N":"2"}}"#,
        ],
    );
    assert_eq!(
        columns(&inferred),
        [
            "l {list:json}",
            "m {struct:[{name:a,type:json}]}",
            "n json",
            "name string",
            "x json",
        ]
    );
    assert_eq!(
        conflicts(&inferred),
        [
            r#"entity "item", attribute Name: it has the name of name in other letters, so it stays in _extra"#,
            r#"entity "item", attribute l[]: types S (1), NULL (1), so it is json"#,
            r#"entity "item", attribute m.a: types S (1), N (1), so it is json"#,
            r#"entity "item", attribute n: numbers with up to 9 digits before the point and 30 behind it, so it is json: expected 38 in all"#,
            r#"entity "item", attribute tl_x: its name is kept for Transload's own columns, so it stays in _extra"#,
            r#"entity "item", attribute x: types S (1), N (2), so it is json"#,
        ]
    );
}

#[test]
fn entities_are_told_apart_by_the_discriminator() {
    let inferred = infer(
        Some("kind"),
        &[
            r#"{"kind":{"S":"order"},"total":{"N":"1"}}"#,
            r#"{"kind":{"S":"user"},"mail":{"S":"a"}}"#,
            r#"{"kind":{"N":"7"},"seven":{"BOOL":true}}"#,
            r#"{"other":{"S":"a"}}"#,
        ],
    );
    let schema = &inferred.schema;
    let names = |text: Option<&str>| -> Vec<&str> {
        let (_, entity) = schema.entity(text);
        entity
            .columns()
            .iter()
            .map(|column| column.name.as_str())
            .collect()
    };
    assert_eq!(names(Some("order")), ["kind", "total"]);
    assert_eq!(names(Some("user")), ["kind", "mail"]);
    assert_eq!(names(Some("7")), ["kind", "seven"]);
    assert_eq!(schema.entity(Some("nobody")).0, DEFAULT_ENTITY);
    assert_eq!(schema.entity(None).0, DEFAULT_ENTITY);
    assert!(names(None).is_empty());
    assert_eq!(schema.entities().count(), 3);
    assert_eq!(&Schema::parse(&schema.to_json()).unwrap(), schema);
    // Without one, every item is of the one entity.
    assert_eq!(infer(None, &[]).schema.entity(Some("x")).0, "item");
}

#[test]
fn removals_count_with_their_keys_and_shaped_items_with_their_new_names() {
    let shaping = Shaping::parse(
        r#"{"columns":{"n":{"rename":"count"},"secret":{"drop":true}},"keep":{"state":["on"]}}"#,
    )
    .unwrap();
    let mut inference = Inference::new(None);
    for (line, form, added) in [
        (
            r#"{"Item":{"state":{"S":"on"},"n":{"N":"1"},"secret":{"S":"x"}}}"#,
            LineForm::Full,
            Added::Written,
        ),
        (
            r#"{"Item":{"state":{"S":"off"},"gone":{"N":"1"}}}"#,
            LineForm::Full,
            Added::FilteredOut,
        ),
        (
            r#"{"Metadata":{"WriteTimestampMicros":{"N":"1"}},"Keys":{"id":{"S":"a"}},"NewImage":{"id":{"S":"a"},"gone":{"N":"1"}}}"#,
            LineForm::Incremental,
            Added::Written,
        ),
    ] {
        assert_eq!(
            inference.add(line.as_bytes(), form, &shaping).unwrap(),
            added
        );
    }
    let before = inference.to_json();
    // A line that cannot be read, or shaped, adds nothing.
    for line in [
        r#"{"Item":{"state":{"S":"on"},"good":{"S":"x"},"bad":{"X":1}}}"#,
        r#"{"Item":{"state":{"S":"on"},"good":{"S":"x"},"n":{"N":"1"},"count":{"N":"1"}}}"#,
    ] {
        assert!(
            inference
                .add(line.as_bytes(), LineForm::Full, &shaping)
                .is_err()
        );
    }
    assert_eq!(inference.to_json(), before);
    assert_eq!(
        columns(&inference.finish()),
        ["count integer", "id string", "state string"]
    );
}

#[test]
fn memory_is_bounded_and_what_is_past_the_limits_is_told() {
    let mut many = Inference::new(None);
    for row in 0..3 * MAX_COLUMNS {
        add(
            &mut many,
            &format!(
                r#"{{"id":{{"N":"1"}},"vote{:05}":{{"N":"1"}}}}"#,
                row * 7 % 10_007
            ),
        );
    }
    assert!(many.to_json().len() < 400 * MAX_COLUMNS);
    let inferred = many.finish();
    assert_eq!(columns(&inferred).len(), MAX_COLUMNS);
    assert_eq!(columns(&inferred)[0], "id integer");
    assert_eq!(
        conflicts(&inferred),
        [
            r#"entity "item", attribute *: more than 2000 attributes: 4001 values of those whose names sort last stay in _extra"#
        ]
    );

    let mut kinds = Inference::new(Some("kind"));
    for row in 0..3 * MAX_ENTITIES {
        add(&mut kinds, &format!(r#"{{"kind":{{"S":"k{row:05}"}}}}"#));
    }
    let inferred = kinds.finish();
    assert_eq!(inferred.schema.entities().count(), MAX_ENTITIES);
    assert_eq!(
        conflicts(&inferred),
        [format!(
            r#"entity "{DEFAULT_ENTITY}", attribute *: more than 200 entities: 400 items of those whose names sort last have no columns but _extra"#
        )]
    );

    // Names inside of maps that are data, the maps of maps, and names that are too long for a column.
    let long = "n".repeat(300);
    let mut maps = Inference::new(None);
    for row in 0..1_000 {
        add(
            &mut maps,
            &format!(
                r#"{{"flat":{{"M":{{"k{row}":{{"N":"1.5"}}}}}},"deep":{{"M":{{"k{row}":{{"M":{{"a":{{"S":"x"}}}}}}}}}},"list":{{"L":[{{"M":{{"k{row}":{{"S":"x"}}}}}}]}},"{long}":{{"S":"x"}},"inside":{{"M":{{"{long}":{{"S":"x"}}}}}}}}"#
            ),
        );
    }
    assert!(maps.to_json().len() < 5_000);
    let inferred = maps.finish();
    assert_eq!(
        columns(&inferred),
        [
            "deep {map:json}",
            "flat {map:decimal(2,1)}",
            "inside {map:string}",
            "list {list:json}"
        ]
    );
    assert_eq!(
        conflicts(&inferred),
        [
            r#"entity "item", attribute deep: more paths inside of it, or of attributes before it, than are kept, so it is a map of json"#,
            r#"entity "item", attribute list: more paths inside of it, or of attributes before it, than are kept, so it is a list of json"#,
            r#"entity "item", attribute *: names of more than 255 bytes (1000 values), which stay in _extra"#,
        ]
    );
}

#[test]
fn paths_of_all_attributes_are_bounded_together() {
    // 50 attributes with 150 paths each: 26 of them are within 4,000.
    let members: Vec<String> = (0..150)
        .map(|member| format!(r#""m{member}":{{"N":"1"}}"#))
        .collect();
    let members = members.join(",");
    let mut forward = Inference::new(None);
    let mut backward = Inference::new(None);
    for attribute in 0..50 {
        add(
            &mut forward,
            &format!(r#"{{"a{attribute:02}":{{"M":{{{members}}}}}}}"#),
        );
        add(
            &mut backward,
            &format!(r#"{{"a{:02}":{{"M":{{{members}}}}}}}"#, 49 - attribute),
        );
    }
    assert_eq!(forward.to_json(), backward.to_json());
    assert!(forward.to_json().contains(r#""cut":"a26""#));
}

#[test]
fn an_attribute_that_grows_wide_does_not_make_room() {
    let item = |attributes: std::ops::Range<usize>, members: std::ops::Range<usize>| {
        let members: Vec<String> = members
            .map(|member| format!(r#""m{member}":{{"N":"1"}}"#))
            .collect();
        let all: Vec<String> = attributes
            .map(|attribute| format!(r#""a{attribute:02}":{{"M":{{{}}}}}"#, members.join(",")))
            .collect();
        format!("{{{}}}", all.join(","))
    };
    // The first attribute is wide only when both parts are seen.
    let (wide, rest) = (item(0..1, 150..300), item(0..27, 0..150));
    let mut parts = inference(None, &[&rest]);
    parts.merge(inference(None, &[&wide])).unwrap();
    let mut whole = inference(None, &[&wide, &item(0..1, 0..150), &rest]);
    let mut again = inference(None, &[&item(0..1, 0..150)]);
    again.merge(parts).unwrap();
    assert_eq!(again.to_json(), whole.to_json());
}

const VALUES: [&str; 14] = [
    r#"{"S":"x"}"#,
    r#"{"N":"1"}"#,
    r#"{"N":"1.5"}"#,
    r#"{"N":"1E-40"}"#,
    r#"{"N":"99999999999999999999"}"#,
    r#"{"NULL":true}"#,
    r#"{"BOOL":false}"#,
    r#"{"NS":["1","2.25"]}"#,
    r#"{"L":[]}"#,
    r#"{"L":[{"S":"x"},{"N":"1"}]}"#,
    r#"{"L":[{"M":{"a":{"S":"x"}}}]}"#,
    r#"{"M":{}}"#,
    r#"{"M":{"a":{"S":"x"},"b":{"N":"1"}}}"#,
    r#"{"M":{"a":{"N":"1"},"c":{"M":{"d":{"L":[{"B":"AA=="}]}}}}}"#,
];

/// Items of two kinds or none; sometimes with so many attributes or paths that limits are met.
fn item() -> impl Strategy<Value = String> {
    let attribute = (
        select(vec!["a", "A", "b", "c", "tl_x"]),
        select(&VALUES[..]),
    )
        .prop_map(|(name, value)| format!("\"{name}\":{value}"));
    let many = (0u32..4_000, 1u32..1_200).prop_map(|(from, count)| {
        let all: Vec<_> = (from..from + count)
            .map(|index| format!(r#""v{:04}":{{"N":"1"}}"#, index % 4_000))
            .collect();
        all.join(",")
    });
    let wide = (0u32..30, 0u32..300, 1u32..190).prop_map(|(name, from, count)| {
        let all: Vec<_> = (from..from + count)
            .map(|index| format!(r#""p{:03}":{{"S":"1"}}"#, index % 300))
            .collect();
        format!(r#""w{name:02}":{{"M":{{{}}}}}"#, all.join(","))
    });
    let kind = select(vec!["", r#""kind":{"S":"one"},"#, r#""kind":{"S":"two"},"#]);
    let rest = prop_oneof![
        6 => prop::collection::btree_map(select(vec!["a", "A", "b", "c", "tl_x"]), select(&VALUES[..]), 1..5)
            .prop_map(|all| all.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",")),
        1 => attribute,
        2 => many,
        4 => wide,
    ];
    (kind, rest).prop_map(|(kind, rest)| format!("{{{kind}{rest}}}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn parts_merge_in_any_order_to_the_whole(
        items in prop::collection::vec(item(), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 3),
        order in Just([0usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let mut whole = inference(Some("kind"), &items);
        let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(items.len() + 1)).collect();
        places.sort_unstable();
        places.insert(0, 0);
        places.push(items.len());
        let parts: Vec<String> = places
            .windows(2)
            .map(|pair| inference(Some("kind"), &items[pair[0]..pair[1]]).to_json())
            .collect();
        let part = |index: usize| Inference::parse(&parts[order[index]]).unwrap();
        // ((0 1) 2) 3
        let mut left = part(0);
        for index in 1..4 {
            left.merge(part(index)).unwrap();
        }
        // 0 (1 (2 3))
        let mut inner = part(2);
        inner.merge(part(3)).unwrap();
        let mut middle = part(1);
        middle.merge(inner).unwrap();
        let mut right = part(0);
        right.merge(middle).unwrap();
        let text = whole.to_json();
        prop_assert_eq!(&left.to_json(), &text);
        prop_assert_eq!(&right.to_json(), &text);
        let inferred = whole.finish();
        prop_assert_eq!(&left.finish(), &inferred);
        prop_assert_eq!(Schema::parse(&inferred.schema.to_json()).unwrap(), inferred.schema);
    }
}

#[test]
fn inferences_that_do_not_belong_together_are_refused() {
    let mut one = Inference::new(Some("kind"));
    let message = one.merge(Inference::new(None)).unwrap_err().to_string();
    assert_eq!(
        message,
        r#"the discriminators of two inferences are "kind" and none: expected the same"#
    );
    for json in [
        "",
        "{}",
        r#"{"version":2,"discriminator":null,"items":0,"entities":{}}"#,
    ] {
        let message = Inference::parse(json).unwrap_err().to_string();
        assert!(message.contains(": expected "), "{message}");
    }
}

#[test]
fn a_schema_that_cannot_be_says_where_and_what_was_expected() {
    let column =
        |column: &str| format!(r#"{{"version":1,"entities":{{"item":{{"columns":[{column}]}}}}}}"#);
    let of_type = |kind: &str| column(&format!(r#"{{"name":"a","type":{kind}}}"#));
    let nested = |levels: usize| {
        of_type(&format!(
            "{}\"string\"{}",
            r#"{"list":"#.repeat(levels),
            "}".repeat(levels)
        ))
    };
    Schema::parse(&nested(32)).unwrap();
    Schema::parse(&of_type(r#""decimal(38, 38)""#)).unwrap();
    let many: Vec<String> = (0..2_001)
        .map(|index| format!(r#"{{"name":"a{index}","type":"string"}}"#))
        .collect();
    let cases = [
        ("[".to_owned(), "the schema cannot be read (EOF"),
        (
            "[]".to_owned(),
            "the schema is an array of 0: expected an object with version, discriminator and entities",
        ),
        (
            r#"{"entities":{}}"#.to_owned(),
            "version is missing: expected 1",
        ),
        (
            r#"{"version":2,"entities":{}}"#.to_owned(),
            "version is 2: expected 1",
        ),
        (
            r#"{"version":1}"#.to_owned(),
            "entities is missing: expected an object of entities by name",
        ),
        (
            r#"{"version":1,"entities":{},"columns":[]}"#.to_owned(),
            r#"the schema has a member "columns": expected an object with version, discriminator and entities"#,
        ),
        (
            r#"{"version":1,"version":1,"entities":{}}"#.to_owned(),
            r#"the schema cannot be read (the member "version" is there twice"#,
        ),
        (
            r#"{"version":1,"discriminator":5,"entities":{}}"#.to_owned(),
            "discriminator is 5: expected the name of an attribute",
        ),
        (
            r#"{"version":1,"entities":{"order":{"columns":[]}}}"#.to_owned(),
            r#"entities is an object with the entity "order": expected one entity, "item", where there is no discriminator"#,
        ),
        (
            r#"{"version":1,"discriminator":"k","entities":{"":{"columns":[]}}}"#.to_owned(),
            r#"entities is an object with the entity "": expected entities by the text"#,
        ),
        (
            column("5"),
            "entities.item.columns[0] is 5: expected an object with name and type",
        ),
        (
            column(r#"{"name":"a"}"#),
            "entities.item.columns[0].type is missing: expected string, integer",
        ),
        (
            column(r#"{"name":"","type":"string"}"#),
            r#"entities.item.columns[0].name is "": expected 1 to 255 bytes"#,
        ),
        (
            column(r#"{"name":"a","type":"string","null":true}"#),
            r#"entities.item.columns[0] has a member "null": expected an object with name and type"#,
        ),
        (
            column(r#"{"name":"Tl_Change","type":"string"}"#),
            r#"entities.item.columns[0].name is "Tl_Change": expected another name"#,
        ),
        (
            column(r#"{"name":"_extra","type":"json"}"#),
            r#"entities.item.columns[0].name is "_extra": expected another name"#,
        ),
        (
            column(r#"{"name":"a","type":"string"},{"name":"A","type":"string"}"#),
            r#"entities.item.columns[1].name is "A": expected names that differ in more than the case of letters, as Athena and DuckDB compare them, and there is "a""#,
        ),
        (
            column(&many.join(",")),
            "entities.item.columns is an array of 2001: expected at most 2000 columns",
        ),
        (
            of_type(r#""text""#),
            r#"entities.item.columns[0].type is "text": expected string, integer, decimal(p,s), double"#,
        ),
        (
            of_type(r#""decimal(39,2)""#),
            r#"entities.item.columns[0].type is "decimal(39,2)": expected decimal(p,s) with p from 1 to 38"#,
        ),
        (
            of_type(r#""decimal(2,3)""#),
            r#"entities.item.columns[0].type is "decimal(2,3)": expected decimal(p,s) with p from 1 to 38"#,
        ),
        (
            of_type(r#""decimal(+2,1)""#),
            r#"entities.item.columns[0].type is "decimal(+2,1)": expected decimal(p,s) with p"#,
        ),
        (
            of_type(r#"{"set":"boolean"}"#),
            r#"entities.item.columns[0].type.set is "boolean": expected string, binary, integer"#,
        ),
        (
            of_type(r#"{"struct":[]}"#),
            "entities.item.columns[0].type.struct is an array of 0: expected at least one member",
        ),
        (
            of_type(r#"{"struct":[{"name":"x","type":"x"}]}"#),
            r#"entities.item.columns[0].type.struct[0].type is "x": expected string"#,
        ),
        (
            of_type(r#"{"list":"string","map":"string"}"#),
            r#"entities.item.columns[0].type is an object with "list" and others: expected string"#,
        ),
        (
            nested(33),
            &format!(
                "entities.item.columns[0].type{} is \"string\": expected at most 32 lists, structs and maps inside one another",
                ".list".repeat(33)
            ),
        ),
    ];
    for (json, wanted) in cases {
        let message = Schema::parse(&json).unwrap_err().to_string();
        assert!(message.starts_with(wanted), "{message}\nnot\n{wanted}");
        assert!(message.contains(": expected "), "{message}");
    }
}

const SHOP: &str = r#"{"version":1,"discriminator":"kind","entities":{"a:b":{"columns":[
    {"name":"Id","type":"string"},{"name":"we`ird 'name'","type":"decimal(38,2)"},
    {"name":"tags","type":{"set":"integer"}},{"name":"blob","type":"binary"},{"name":"ok","type":"boolean"},
    {"name":"lines","type":{"list":{"struct":[{"name":"Sku","type":"string"},{"name":"a b","type":"string"},{"name":"any","type":"json"}]}}},
    {"name":"days","type":{"map":"double"}},{"name":"hidden","type":{"struct":[{"name":"a-b","type":"string"}]}}]}}}"#;

#[test]
fn an_entity_has_a_table_in_athena() {
    let schema = Schema::parse(SHOP).unwrap();
    let table = AthenaTable {
        entity: "a:b",
        entity_in_paths: "a%3Ab",
        table: "lake.orders",
        location: "s3://bucket/it's/offers",
        incremental: true,
    };
    assert_eq!(
        schema.athena_ddl(&table).unwrap(),
        r"CREATE EXTERNAL TABLE `lake`.`orders` (
  `tl_change` string,
  `tl_write_micros` bigint,
  `tl_old_image` string,
  `Id` string,
  `we``ird 'name'` decimal(38,2),
  `tags` array<bigint>,
  `blob` binary,
  `ok` boolean,
  `lines` array<struct<sku:string,any:string>>,
  `days` map<string,double>,
  `_extra` string
)
PARTITIONED BY (tl_export string, tl_type string)
STORED AS PARQUET
LOCATION 's3://bucket/it\'s/offers/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.tl_export.type' = 'injected',
  'projection.tl_type.type' = 'enum',
  'projection.tl_type.values' = 'a%3Ab',
  'storage.location.template' = 's3://bucket/it\'s/offers/tl_export=${tl_export}/tl_type=${tl_type}/'
);
"
    );
    let table = AthenaTable {
        table: "Orders",
        incremental: false,
        entity_in_paths: "a,b",
        ..table
    };
    let input: serde_json::Value =
        serde_json::from_str(&schema.glue_table_input(&table).unwrap()).unwrap();
    assert_eq!(input["Name"], "orders");
    assert_eq!(
        input["StorageDescriptor"]["Location"],
        "s3://bucket/it's/offers/"
    );
    assert_eq!(
        input["StorageDescriptor"]["Columns"][0],
        serde_json::json!({"Name": "id", "Type": "string"})
    );
    assert_eq!(
        input["StorageDescriptor"]["Columns"]
            .as_array()
            .unwrap()
            .len(),
        8
    );
    assert_eq!(input["PartitionKeys"][1]["Name"], "tl_type");
    assert_eq!(input["Parameters"]["projection.tl_type.type"], "injected");
    assert_eq!(input["Parameters"].get("projection.tl_type.values"), None);
    assert_eq!(
        schema.athena_ddl(&AthenaTable {
            entity: "nobody",
            ..table
        }),
        None
    );
    let rest = schema
        .athena_ddl(&AthenaTable {
            entity: DEFAULT_ENTITY,
            ..table
        })
        .unwrap();
    assert!(rest.contains("(\n  `_extra` string\n)"), "{rest}");
}

/// What is in the block that begins with this line.
fn block<'d>(document: &'d str, fence: &str) -> &'d str {
    let start = document.find(fence).unwrap() + fence.len() + 1;
    let end = document[start..].find("```").unwrap();
    &document[start..start + end]
}

#[test]
fn the_document_says_what_is() {
    let document = include_str!("../../../docs/SCHEMAS.md");
    let schema = Schema::parse(block(document, "```json schema")).unwrap();
    let table = AthenaTable {
        entity: "order",
        entity_in_paths: "order",
        table: "orders",
        location: "s3://lake/tables/shop",
        incremental: false,
    };
    assert_eq!(
        schema.athena_ddl(&table).unwrap(),
        block(document, "```sql athena")
    );
}
