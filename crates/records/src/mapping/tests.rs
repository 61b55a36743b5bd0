use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{
    Delimiter, Encoding, IndexShape, Item, KeyAttribute, KeyType, Limits, Number, Position, Split,
    Splitter, TableShape, Value, item_from_dynamodb_json, item_size,
};

/// Everything that a mapping can say.
const FULL_MAPPING: &str = include_str!("../../fixtures/full-mapping.json");

fn key(name: &str, kind: KeyType) -> KeyAttribute {
    KeyAttribute {
        name: name.to_owned(),
        kind,
    }
}

fn table(partition: KeyAttribute, sort: Option<KeyAttribute>) -> TableShape {
    TableShape {
        name: "offers".to_owned(),
        partition,
        sort,
        indexes: Vec::new(),
    }
}

fn by_id() -> TableShape {
    table(key("id", KeyType::S), None)
}

fn mapping(json: &str) -> RowMapping {
    RowMapping::parse(json).unwrap()
}

fn plan(mapping_json: &str, header: &str, table: &TableShape) -> RowPlan {
    let header: Vec<&str> = header.split(',').collect();
    RowPlan::new(&mapping(mapping_json), &header, table).unwrap()
}

fn plan_error(mapping_json: &str, header: &str, table: &TableShape) -> String {
    let header: Vec<&str> = match header {
        "" => Vec::new(),
        _ => header.split(',').collect(),
    };
    RowPlan::new(&mapping(mapping_json), &header, table)
        .unwrap_err()
        .to_string()
}

/// The item, the plain line and the key of a CSV row.
fn encode(plan: &RowPlan, row: &str) -> Result<(String, String, Vec<u8>), String> {
    let start = Position {
        line: 2,
        byte_offset: 9,
    };
    let mut splitter = Splitter::new(Delimiter::Comma, Encoding::Utf8, start, Limits::default());
    splitter.feed(row.as_bytes());
    splitter.finish();
    let Split::Row(record) = splitter.next() else {
        panic!("{row:?} is no row");
    };
    let mut out = RowBuffer::default();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for earlier in ["", "earlier"] {
        out.clear();
        for buffer in [&mut out.item, &mut out.plain, &mut out.key] {
            buffer.extend_from_slice(earlier.as_bytes());
        }
        match plan.encode(&record, &mut out) {
            Err(fault) => {
                for buffer in [&out.item, &out.plain, &out.key] {
                    assert_eq!(
                        buffer,
                        earlier.as_bytes(),
                        "a refused row leaves nothing behind"
                    );
                }
                if !earlier.is_empty() {
                    return Err(fault.to_string());
                }
            }
            Ok(row) => {
                assert_eq!(
                    (row.item.end, row.plain.end, row.key.end),
                    (out.item.len(), out.plain.len(), out.key.len())
                );
                if !earlier.is_empty() {
                    return Ok((
                        text(&out.item[row.item]),
                        text(&out.plain[row.plain]),
                        out.key[row.key].to_vec(),
                    ));
                }
            }
        }
    }
    unreachable!("the second round returns")
}

fn item(plan: &RowPlan, row: &str) -> String {
    encode(plan, row).unwrap().0
}

#[test]
fn a_full_mapping_makes_this_of_a_row() {
    let plan = plan(
        FULL_MAPPING,
        "id,price,active,photo,tags,sizes,extra,cust_nm,tmp,gone,plain",
        &by_id(),
    );
    let row = "7,12.50,TRUE,AQID,b|a||b,3|1e0|1,\"{\"\"k\"\":[1.10,null]}\",Ann,x,NULL,é\"\"\n";
    let (item, plain, key) = encode(&plan, row).unwrap();
    let shard = crc32fast::hash(b"7") % 16;
    assert_eq!(
        item,
        format!(
            r#"{{"id":{{"S":"7"}},"price":{{"N":"12.5"}},"active":{{"BOOL":true}},"photo":{{"B":"AQID"}},"tags":{{"SS":["a","b"]}},"sizes":{{"NS":["1","3"]}},"extra":{{"M":{{"k":{{"L":[{{"N":"1.1"}},{{"NULL":true}}]}}}}}},"customer_name":{{"S":"Ann"}},"gone":{{"NULL":true}},"plain":{{"S":"é\"\""}},"processed":{{"S":"false"}},"version":{{"N":"12345678901234567890123456789012345678"}},"marker":{{"S":"false#{shard:02}"}},"spread":{{"S":"{}/12.5"}}}}"#,
            crc32fast::hash(b"12.5") % 1000
        )
    );
    assert_eq!(
        plain,
        format!(
            r#"{{"id":"7","price":12.5,"active":true,"photo":"AQID","tags":["a","b"],"sizes":[1,3],"extra":{{"k":[1.1,null]}},"customer_name":"Ann","gone":null,"plain":"é\"\"","processed":"false","version":12345678901234567890123456789012345678,"marker":"false#{shard:02}","spread":"{}/12.5"}}"#,
            crc32fast::hash(b"12.5") % 1000
        )
    );
    assert_eq!(key, b"S\0\0\0\x017");
    assert_eq!(
        (plan.fields(), plan.column_name(7), plan.column_name(11)),
        (11, Some("cust_nm"), None)
    );
}

#[test]
fn empty_cells_are_dropped_or_defaulted() {
    let plan = plan(
        FULL_MAPPING,
        "id,price,active,photo,tags,sizes,extra,cust_nm,tmp,gone",
        &by_id(),
    );
    let item = item_from_dynamodb_json(item(&plan, "7,,,,||,,,,,\n")).unwrap();
    let names: Vec<&str> = item.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["id", "marker", "price", "processed", "spread", "version"]
    );
    assert_eq!(item["price"], Value::N(Number::parse("0").unwrap()));
}

#[test]
fn key_attributes_take_the_types_of_table_and_indexes() {
    let mut shape = table(key("account", KeyType::N), Some(key("offer", KeyType::B)));
    shape.indexes.push(IndexShape {
        name: "by-price".to_owned(),
        partition: vec![key("price", KeyType::N)],
        sort: vec![key("name", KeyType::S)],
    });
    let plan = plan("{}", "name,offer,account,price,other", &shape);
    let (item, plain, key) = encode(&plan, "n,AQI=,1e1,2.0,3\n").unwrap();
    assert_eq!(
        item,
        r#"{"name":{"S":"n"},"offer":{"B":"AQI="},"account":{"N":"10"},"price":{"N":"2"},"other":{"S":"3"}}"#
    );
    assert_eq!(
        plain,
        r#"{"name":"n","offer":"AQI=","account":10,"price":2,"other":"3"}"#
    );
    assert_eq!(
        key,
        shape
            .canonical_key(&item_from_dynamodb_json(item).unwrap())
            .unwrap()
    );
    assert!(
        encode(&plan, ",AQI=,1,,\n").is_ok(),
        "an item without index keys is not in the index"
    );
}

#[test]
fn keys_can_be_constants_renamed_columns_and_shards() {
    let shape = table(key("pk", KeyType::S), Some(key("sk", KeyType::S)));
    let sharded = plan(
        r#"{"columns":{"id":{"rename":"sk"}},"shards":{"pk":{"from":"id","count":1,"format":"{shard}#{value}"}}}"#,
        "id",
        &shape,
    );
    let (item, _, key) = encode(&sharded, "a\n").unwrap();
    assert_eq!(item, r#"{"sk":{"S":"a"},"pk":{"S":"0#a"}}"#);
    assert_eq!(key, b"S\0\0\0\x030#aS\0\0\0\x01a");
    let constant = plan(r#"{"constants":{"pk":"OFFER"}}"#, "sk", &shape);
    assert_eq!(
        encode(&constant, "a\n").unwrap().2,
        b"S\0\0\0\x05OFFERS\0\0\0\x01a"
    );
}

#[test]
fn a_shard_is_taken_from_the_number_not_its_spelling() {
    let plan = plan(
        r#"{"columns":{"n":{"type":"N"}},"shards":{"m":{"from":"n","count":64,"format":"{shard:02}"}}}"#,
        "id,n",
        &by_id(),
    );
    let wanted = format!("{:02}", crc32fast::hash(b"10") % 64);
    for spelling in ["10", "1e1", "10.0"] {
        let item = item_from_dynamodb_json(item(&plan, &format!("a,{spelling}\n"))).unwrap();
        assert_eq!(item["m"], Value::S(wanted.clone()));
    }
}

#[test]
fn faults_name_the_column_and_the_rule() {
    let mut shape = table(key("id", KeyType::S), Some(key("n", KeyType::N)));
    shape.indexes.push(IndexShape {
        name: "by-name".to_owned(),
        partition: vec![key("name", KeyType::S)],
        sort: vec![key("kind", KeyType::S)],
    });
    let mapping = r#"{"columns":{"flag":{"type":"BOOL"},"nil":{"type":"NULL"},"blob":{"type":"B"},"set":{"type":"NS","required":true},
        "doc":{"type":"JSON"},"must":{"required":true}},"shards":{"m":{"from":"must","count":2,"format":"{shard}"}}}"#;
    let header = "id,n,name,kind,flag,nil,blob,set,doc,must";
    let plan = plan(mapping, header, &shape);
    let good = ["a", "1", "n", "k", "0", "null", "AQ==", "1", "1", "y"];
    assert!(encode(&plan, &good.join(",")).is_ok());
    let with = |name: &str, cell: String| {
        let mut cells: Vec<String> = good.iter().map(|cell| (*cell).to_owned()).collect();
        cells[header.split(',').position(|column| column == name).unwrap()] =
            format!("\"{}\"", cell.replace('"', "\"\""));
        encode(&plan, &cells.join(",")).map(|_| ()).unwrap_err()
    };
    let cases = [
        (
            "id",
            String::new(),
            r#"column "id": the cell is empty, and it is the partition key"#,
        ),
        (
            "id",
            "x".repeat(2_049),
            r#"column "id": the value has 2049 bytes, and the partition key has at most 2048"#,
        ),
        (
            "n",
            String::new(),
            r#"column "n": the cell is empty, and it is the sort key"#,
        ),
        (
            "n",
            "one".to_owned(),
            r#"column "n": not a number: expected decimal digits such as 12, -3.5 or 6.02e23"#,
        ),
        (
            "n",
            "1e126".to_owned(),
            r#"column "n": a number lies between 1E-130 and 9.99E+125, positive or negative, or is 0"#,
        ),
        (
            "name",
            "x".repeat(2_049),
            r#"column "name": the value has 2049 bytes, and a key of index by-name has at most 2048"#,
        ),
        (
            "kind",
            "x".repeat(1_025),
            r#"column "kind": the value has 1025 bytes, and a key of index by-name has at most 1024"#,
        ),
        (
            "flag",
            "yes".to_owned(),
            r#"column "flag": not true, false, 1 or 0"#,
        ),
        (
            "nil",
            "0".to_owned(),
            r#"column "nil": not null, true or empty"#,
        ),
        (
            "blob",
            "AQ".to_owned(),
            r#"column "blob": not standard base64: Invalid padding"#,
        ),
        (
            "set",
            "1|x".to_owned(),
            r#"column "set": an element of the set is refused: not a number: expected decimal digits such as 12, -3.5 or 6.02e23"#,
        ),
        (
            "set",
            "|".to_owned(),
            r#"column "set": the set is empty, and the column is required"#,
        ),
        (
            "doc",
            "{\"a\":1,\"a\":2}".to_owned(),
            r#"column "doc": not a JSON value that DynamoDB can hold: the member "a" is there twice"#,
        ),
        (
            "doc",
            "[".repeat(40) + &"]".repeat(40),
            r#"column "doc": not a JSON value that DynamoDB can hold: the value is nested deeper than 32 levels"#,
        ),
        (
            "must",
            String::new(),
            r#"column "must": the cell is empty, and the column is required"#,
        ),
    ];
    for (column, cell, message) in cases {
        assert_eq!(with(column, cell), message);
    }
    assert_eq!(
        encode(&plan, "a,1\n").unwrap_err(),
        "the row has 2 fields, the header has 10"
    );
    let optional = r#"{"shards":{"m":{"from":"x","count":2,"format":"{shard}"}}}"#;
    let sharded = self::plan(optional, "id,x", &by_id());
    assert_eq!(
        encode(&sharded, "a,\n").unwrap_err(),
        r#"column "x": the cell is empty, and a shard is computed from it"#
    );
}

#[test]
fn items_fit_up_to_400_kb() {
    let plan = plan(r#"{"constants":{"c":[1]}}"#, "id,x", &by_id());
    // id + a, c + list of one number of two bytes, x
    let fixed = 3 + (1 + 3 + 1 + 2) + 1;
    let row = |len: usize| format!("a,{}\n", "x".repeat(len));
    assert!(encode(&plan, &row(409_600 - fixed)).is_ok());
    assert_eq!(
        encode(&plan, &row(409_601 - fixed)).unwrap_err(),
        "the item has 409601 bytes; DynamoDB takes 409600"
    );
}

#[test]
fn a_plan_that_cannot_work_says_why() {
    let by_two = table(key("account", KeyType::S), Some(key("offer", KeyType::N)));
    let mut indexed = by_id();
    indexed.indexes.push(IndexShape {
        name: "pending".to_owned(),
        partition: vec![key("processed", KeyType::S)],
        sort: Vec::new(),
    });
    let shard = |name: &str, from: &str| {
        format!(
            r#"{{"columns":{{"flag":{{"type":"BOOL"}}}},"shards":{{"{name}":{{"from":"{from}","count":2,"format":"{{shard}}"}}}}}}"#
        )
    };
    let cases = [
        (
            "{}".to_owned(),
            "",
            &by_two,
            "the header is empty: expected a first line with the names of the columns",
        ),
        (
            "{}".to_owned(),
            "a,,b",
            &by_two,
            "the header's column 2 has no name: expected a name for every column (columns: a, , b)",
        ),
        (
            "{}".to_owned(),
            "a,b,a",
            &by_two,
            r#"the header has the column "a" twice, as columns 1 and 3: expected a name once"#,
        ),
        (
            "{}".to_owned(),
            "account,x",
            &by_two,
            r#"the sort key "offer" (type N) of table offers has no source: expected a column, constant or shard of that name (columns: account, x)"#,
        ),
        (
            r#"{"columns":{"account":{"drop":true}}}"#.to_owned(),
            "account,offer",
            &by_two,
            r#"the partition key "account" (type S) of table offers has no source: expected a column, constant or shard of that name (columns: account, offer)"#,
        ),
        (
            r#"{"columns":{"prce":{"type":"N"}}}"#.to_owned(),
            "id,price",
            &indexed,
            r#"the row mapping's columns.prce needs the column "prce", which the header has not: expected one of id, price"#,
        ),
        (
            shard("m", "x"),
            "id,flag",
            &indexed,
            r#"the row mapping's shards.m needs the column "x", which the header has not: expected one of id, flag"#,
        ),
        (
            shard("m", "flag"),
            "id,flag",
            &indexed,
            r#"the row mapping's shards.m: a shard is computed from a column of type S or N, and "flag" has the type BOOL"#,
        ),
        (
            r#"{"columns":{"x":{"rename":"id"}}}"#.to_owned(),
            "x,id",
            &indexed,
            r#"the attribute "id" comes from two places, column "x" and column "id": expected one"#,
        ),
        (
            r#"{"constants":{"x":1}}"#.to_owned(),
            "x,id",
            &indexed,
            r#"the attribute "x" comes from two places, column "x" and constants.x: expected one"#,
        ),
        (
            shard("flag", "id"),
            "id,flag",
            &indexed,
            r#"the attribute "flag" comes from two places, column "flag" and shards.flag: expected one"#,
        ),
        (
            r#"{"columns":{"offer":{"type":"S"}}}"#.to_owned(),
            "account,offer",
            &by_two,
            r#"the row mapping's columns.offer gives the sort key "offer" the type S: expected N"#,
        ),
        (
            r#"{"columns":{"processed":{"type":"BOOL"}}}"#.to_owned(),
            "id,processed",
            &indexed,
            r#"the row mapping's columns.processed gives a key of index pending "processed" the type BOOL: expected S"#,
        ),
        (
            shard("offer", "account"),
            "account,flag",
            &by_two,
            r#"the row mapping's shards.offer gives the sort key "offer" the type S: expected N"#,
        ),
        (
            r#"{"constants":{"processed":false}}"#.to_owned(),
            "id",
            &indexed,
            r#"a key of index pending "processed" cannot be the constant that the row mapping gives it: it is not of the type S"#,
        ),
        (
            r#"{"constants":{"id":""}}"#.to_owned(),
            "x",
            &indexed,
            r#"the partition key "id" cannot be the constant that the row mapping gives it: it is empty"#,
        ),
        (
            r#"{"columns":{"offer":{"default":"none"}}}"#.to_owned(),
            "account,offer",
            &by_two,
            r#"the row mapping's columns.offer: the default "none": not a number: expected decimal digits such as 12, -3.5 or 6.02e23"#,
        ),
    ];
    for (mapping, header, table, message) in cases {
        assert_eq!(plan_error(&mapping, header, table), message);
    }
}

#[test]
fn a_mapping_that_cannot_work_says_why() {
    let column = |rule: &str| format!(r#"{{"columns":{{"x":{{{rule}}}}}}}"#);
    let shard = |count: &str, format: &str| {
        format!(r#"{{"shards":{{"m":{{"from":"id","count":{count},"format":"{format}"}}}}}}"#)
    };
    let cases = [
        (
            "[]".to_owned(),
            "invalid type: sequence, expected an object at line 1 column",
        ),
        (
            r#"{"columns":{"x":["S"]}}"#.to_owned(),
            "invalid type: sequence, expected an object at line 1 column",
        ),
        ("{} {}".to_owned(), "trailing characters"),
        (r#"{"column":{}}"#.to_owned(), "unknown field `column`"),
        (
            r#"{"columns":{},"columns":{}}"#.to_owned(),
            "duplicate field `columns`",
        ),
        (
            column("\n\"typ\":\"S\""),
            "unknown field `typ`, expected one of `type`, `required`, `default`, `rename`, `drop`, `delimiter` at line 2 column",
        ),
        (column(r#""type":"STRING""#), "unknown variant `STRING`"),
        (column(r#""type":"S","type":"N""#), "duplicate field `type`"),
        (
            r#"{"columns":{"x":{},"x":{}}}"#.to_owned(),
            r#""x" is there twice at line 1 column"#,
        ),
        (
            column(r#""drop":true,"type":"S""#),
            "columns.x: a dropped column can have no other member",
        ),
        (
            column(r#""required":true,"default":"a""#),
            "columns.x: a required column can have no default",
        ),
        (column(r#""rename":"""#), "columns.x: rename is empty"),
        (
            column(r#""type":"S","delimiter":";""#),
            "columns.x: a delimiter needs the type SS or NS",
        ),
        (
            column(r#""type":"SS","delimiter":"""#),
            "columns.x: the delimiter is empty",
        ),
        (column(r#""default":"""#), "columns.x: the default is empty"),
        (
            column(r#""type":"N","default":"a""#),
            "columns.x: the default \"a\": not a number",
        ),
        (
            column(r#""type":"SS","default":"|""#),
            "columns.x: the default \"|\": the set is empty",
        ),
        (
            column(r#""type":"N","default":0"#),
            "invalid type: integer `0`, expected a string",
        ),
        (
            r#"{"constants":{"c":1e200}}"#.to_owned(),
            "constants.c: the number 1e200",
        ),
        (
            r#"{"constants":{"c":{"a":1,"a":2}}}"#.to_owned(),
            "constants.c: the member \"a\" is there twice",
        ),
        (
            r#"{"constants":{"":1}}"#.to_owned(),
            "constants.: a name is empty",
        ),
        (shard("0", "{shard}"), "shards.m: count is 0"),
        (shard("-1", "{shard}"), "invalid value: integer `-1`"),
        (
            shard("2", "{hash}"),
            "shards.m: the format \"{hash}\" has the unknown placeholder {hash}",
        ),
        (shard("2", "{shard:2}"), "unknown placeholder {shard:2}"),
        (shard("2", "{shard:010}"), "unknown placeholder {shard:010}"),
        (shard("2", "a{shard"), "has a { without a }"),
        (shard("2", ""), "the format is empty"),
        (
            r#"{"shards":{"m":{"from":"id","count":2}}}"#.to_owned(),
            "missing field `format`",
        ),
    ];
    for (json, message) in cases {
        let error = RowMapping::parse(&json).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let error = format!("{error}: {}", source.unwrap_or_default());
        assert!(error.contains(message), "{json}: {error}");
    }
    assert_eq!(mapping("{}"), RowMapping::default());
}

#[test]
fn knows_the_columns_that_a_file_must_have() {
    let shape = table(key("pk", KeyType::S), Some(key("sk", KeyType::S)));
    let mapping = mapping(
        r#"{"columns":{"a":{"rename":"pk"},"b":{"drop":true}},"constants":{"k":1},"shards":{"m":{"from":"c","count":2,"format":"{shard}"}}}"#,
    );
    assert_eq!(mapping.wanted_columns(&shape), ["a", "b", "c", "sk"]);
}

/// What a row becomes, said naively: a map of values.
fn naive_item(cells: &BTreeMap<&str, String>) -> Option<Item> {
    let cell = |name: &str| Some(cells[name].as_str()).filter(|text| !text.is_empty());
    let number = |text: &str| Number::parse(text).ok().map(Value::N);
    let mut item = Item::new();
    let mut put =
        |name: &str, value: Option<Value>| item.extend(value.map(|value| (name.to_owned(), value)));
    put("id", Some(Value::S(cell("id")?.to_owned())));
    put("price", Some(number(cell("price").unwrap_or("0"))?));
    put(
        "active",
        match cell("active").map(str::to_lowercase).as_deref() {
            None => None,
            Some("true" | "1") => Some(Value::Bool(true)),
            Some("false" | "0") => Some(Value::Bool(false)),
            Some(_) => return None,
        },
    );
    put(
        "photo",
        match cell("photo") {
            None => None,
            Some(text) => Some(Value::from_dynamodb_json(format!(r#"{{"B":"{text}"}}"#)).ok()?),
        },
    );
    let elements = |name: &str, delimiter: char| -> Vec<String> {
        cells[name]
            .split(delimiter)
            .filter(|element| !element.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let tags = elements("tags", '|');
    put("tags", (!tags.is_empty()).then(|| Value::string_set(tags)));
    let sizes = elements("sizes", '|')
        .iter()
        .map(|size| Number::parse(size).ok())
        .collect::<Option<Vec<_>>>()?;
    put(
        "sizes",
        (!sizes.is_empty()).then(|| Value::number_set(sizes)),
    );
    put(
        "extra",
        match cell("extra") {
            None => None,
            Some(text) => Some(Value::from_plain_json(text).ok()?),
        },
    );
    put(
        "customer_name",
        cell("cust_nm").map(|text| Value::S(text.to_owned())),
    );
    put(
        "gone",
        match cell("gone").map(str::to_lowercase).as_deref() {
            None => None,
            Some("null" | "true") => Some(Value::Null),
            Some(_) => return None,
        },
    );
    put("processed", Some(Value::S("false".to_owned())));
    put("version", number("12345678901234567890123456789012345678"));
    let price = item["price"].clone();
    let Value::N(price) = price else { return None };
    let shard = |text: &str, count: u32| crc32fast::hash(text.as_bytes()) % count;
    item.insert(
        "marker".to_owned(),
        Value::S(format!("false#{:02}", shard(&cells["id"], 16))),
    );
    item.insert(
        "spread".to_owned(),
        Value::S(format!("{}/{price}", shard(price.as_str(), 1000))),
    );
    Some(item)
}

fn cell_of(column: &'static str) -> BoxedStrategy<String> {
    let fixed = |texts: &'static [&'static str]| select(texts).prop_map(str::to_owned).boxed();
    match column {
        "id" => "[a-c\"\\\\é😀\n,]{0,4}".boxed(),
        "price" => fixed(&["", "0", "12", "-3.50", "1e3", "1e-200", "x", "00"]),
        "active" => fixed(&["", "true", "False", "1", "0", "yes"]),
        "photo" => fixed(&["", "AQID", "AQ==", "AQ=", "/+8="]),
        "tags" => "[ab|\"]{0,5}".boxed(),
        "sizes" => fixed(&["", "1", "1|2|1.0", "|", "3||4", "1|x"]),
        "extra" => prop_oneof![
            fixed(&[
                "",
                "null",
                "{",
                "[1,\"a\"]",
                "{\"a\":{\"b\":1e2}}",
                " 5 ",
                "\"\""
            ]),
            crate::value::tests::value().prop_map(|value| {
                let mut json = Vec::new();
                value.write_plain_json(&mut json);
                String::from_utf8(json).unwrap()
            }),
        ]
        .boxed(),
        "gone" => fixed(&["", "null", "NULL", "true", "no"]),
        _ => "[a-z\u{0}\u{1f}\t \"]{0,4}".boxed(),
    }
}

fn csv_row(cells: &[String]) -> String {
    let quote = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    cells.iter().map(quote).collect::<Vec<_>>().join(",")
}

const COLUMNS: [&str; 10] = [
    "id", "price", "active", "photo", "tags", "sizes", "extra", "cust_nm", "tmp", "gone",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn encodes_what_a_naive_mapping_says(cells in COLUMNS.map(cell_of)) {
        let plan = plan(FULL_MAPPING, &COLUMNS.join(","), &by_id());
        let row = csv_row(&cells);
        let wanted = naive_item(&COLUMNS.into_iter().zip(cells).collect());
        match (encode(&plan, &row), wanted) {
            (Err(_), None) => {}
            (Ok((item, plain, key)), Some(wanted)) => {
                prop_assert_eq!(item_from_dynamodb_json(&item).unwrap(), wanted.clone());
                prop_assert_eq!(&key, &by_id().canonical_key(&wanted).unwrap());
                let mut wanted_plain = Vec::new();
                Value::M(wanted).write_plain_json(&mut wanted_plain);
                let wanted_plain = String::from_utf8(wanted_plain).unwrap();
                prop_assert_eq!(Value::from_plain_json(&plain).unwrap(), Value::from_plain_json(&wanted_plain).unwrap());
            }
            (got, wanted) => prop_assert!(false, "{got:?} is not {wanted:?}"),
        }
    }

    #[test]
    fn keys_are_equal_exactly_where_values_are(
        left in select(vec!["1", "1.0", "10e-1", "2", "20", "2e1", "-0", "0"]),
        right in select(vec!["1", "1.0", "10e-1", "2", "20", "2e1", "-0", "0"]),
        texts in vec("[ab]{1,2}", 2),
    ) {
        let shape = table(key("p", KeyType::S), Some(key("s", KeyType::N)));
        let plan = plan("{}", "s,p", &shape);
        let key_of = |number: &str, text: &str| encode(&plan, &format!("{number},{text}")).unwrap().2;
        let same = Number::parse(left) == Number::parse(right) && texts[0] == texts[1];
        prop_assert_eq!(key_of(left, &texts[0]) == key_of(right, &texts[1]), same);
    }
}

proptest! {
    // The rows are large.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn counts_an_items_size_as_the_item_says(
        (cells, item) in COLUMNS.map(cell_of).prop_filter_map("the row is no item", |cells| {
            let item = naive_item(&COLUMNS.into_iter().zip(cells.clone()).collect())?;
            Some((cells, item))
        }),
        filler in 409_300usize..409_600,
    ) {
        let header = format!("{},filler", COLUMNS.join(","));
        let plan = plan(FULL_MAPPING, &header, &by_id());
        let size = item_size(&item) + "filler".len() + filler;
        let row = format!("{},{}", csv_row(&cells), "x".repeat(filler));
        match encode(&plan, &row) {
            Ok(_) => prop_assert!(size <= 409_600),
            Err(reason) => prop_assert_eq!(
                reason,
                format!("the item has {size} bytes; DynamoDB takes 409600")
            ),
        }
    }
}
