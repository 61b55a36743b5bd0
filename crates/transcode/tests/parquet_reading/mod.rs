//! Items out of a Parquet file, by the schema in its metadata.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use records::{Item, Number, Value, item_from_dynamodb_json};
use transcode::schema::{ColumnKind, EntitySchema};

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The attributes of columns and of `_extra` together.
    pub item: Item,
    /// Those of `_extra`.
    pub extra: Vec<String>,
    /// `tl_change`, `tl_write_micros`, `tl_old_image`.
    pub change: Option<(String, i64, Option<Item>)>,
}

/// A file's rows, and how many each row group has.
pub struct Parquet {
    pub rows: Vec<Row>,
    pub groups: Vec<usize>,
    pub columns: Vec<String>,
}

pub fn read(file: &[u8]) -> Parquet {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(file)).unwrap();
    let metadata = builder.metadata().clone();
    let schema = metadata
        .file_metadata()
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == "transload.schema"))
        .and_then(|pair| pair.value.clone())
        .unwrap();
    let schema = EntitySchema::parse(&schema).unwrap();
    let columns = builder
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let mut rows = Vec::new();
    for batch in builder.build().unwrap() {
        read_batch(&batch.unwrap(), &schema, &mut rows);
    }
    Parquet {
        rows,
        groups: metadata
            .row_groups()
            .iter()
            .map(|group| usize::try_from(group.num_rows()).unwrap())
            .collect(),
        columns,
    }
}

fn read_batch(batch: &RecordBatch, schema: &EntitySchema, rows: &mut Vec<Row>) {
    let text = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?;
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    for row in 0..batch.num_rows() {
        let mut item = Item::new();
        for column in schema.columns() {
            let array = batch.column_by_name(&column.name).unwrap();
            if array.is_valid(row) {
                item.insert(column.name.clone(), value(array, row, &column.kind));
            }
        }
        let mut extra = Vec::new();
        if let Some(json) = text("_extra", row) {
            for (name, value) in item_from_dynamodb_json(json).unwrap() {
                extra.push(name.clone());
                assert!(
                    item.insert(name, value).is_none(),
                    "an attribute is in two places"
                );
            }
            assert!(!extra.is_empty(), "an empty _extra is null");
        }
        let change = text("tl_change", row).map(|change| {
            let micros = batch.column_by_name("tl_write_micros").unwrap();
            (
                change,
                micros.as_primitive::<Int64Type>().value(row),
                text("tl_old_image", row).map(|json| item_from_dynamodb_json(json).unwrap()),
            )
        });
        rows.push(Row {
            item,
            extra,
            change,
        });
    }
}

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

fn value(array: &ArrayRef, row: usize, kind: &ColumnKind) -> Value {
    assert!(
        array.is_valid(row),
        "nothing inside of a value is null but members of structs"
    );
    match kind {
        ColumnKind::String => Value::S(array.as_string::<i32>().value(row).to_owned()),
        ColumnKind::Json => Value::from_dynamodb_json(array.as_string::<i32>().value(row)).unwrap(),
        ColumnKind::Binary => Value::B(array.as_binary::<i32>().value(row).to_vec()),
        ColumnKind::Boolean => Value::Bool(array.as_boolean().value(row)),
        ColumnKind::Integer => Value::N(number(
            &array.as_primitive::<Int64Type>().value(row).to_string(),
        )),
        ColumnKind::Decimal { scale, .. } => {
            let unscaled = array.as_primitive::<Decimal128Type>().value(row);
            Value::N(number(&format!("{unscaled}E-{scale}")))
        }
        ColumnKind::Double => Value::N(number(&format!(
            "{:e}",
            array.as_primitive::<Float64Type>().value(row)
        ))),
        ColumnKind::List(element) => Value::L(elements(array, row, element)),
        ColumnKind::Set(element) => set(elements(array, row, element), element),
        ColumnKind::Struct(members) => {
            let array = array.as_struct();
            let present = members.iter().filter_map(|member| {
                let column = array.column_by_name(&member.name).unwrap();
                let there = column.is_valid(row);
                there.then(|| (member.name.clone(), value(column, row, &member.kind)))
            });
            Value::M(present.collect())
        }
        ColumnKind::Map(kind) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>();
            let members: BTreeMap<String, Value> = (0..entries.len())
                .map(|entry| {
                    (
                        keys.value(entry).to_owned(),
                        value(entries.column(1), entry, kind),
                    )
                })
                .collect();
            Value::M(members)
        }
    }
}

fn elements(array: &ArrayRef, row: usize, kind: &ColumnKind) -> Vec<Value> {
    let elements = array.as_list::<i32>().value(row);
    (0..elements.len())
        .map(|index| value(&elements, index, kind))
        .collect()
}

fn set(elements: Vec<Value>, kind: &ColumnKind) -> Value {
    match kind {
        ColumnKind::String => Value::string_set(elements.into_iter().map(text_of).collect()),
        ColumnKind::Binary => Value::binary_set(
            elements
                .into_iter()
                .map(|element| match element {
                    Value::B(bytes) => bytes,
                    other => panic!("{other:?} in a set of bytes"),
                })
                .collect(),
        ),
        _ => Value::number_set(
            elements
                .into_iter()
                .map(|element| match element {
                    Value::N(number) => number,
                    other => panic!("{other:?} in a set of numbers"),
                })
                .collect(),
        ),
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::S(text) => text,
        other => panic!("{other:?} in a set of texts"),
    }
}
