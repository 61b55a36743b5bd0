//! Columns as Arrow types and arrays.

use std::sync::Arc;

use arrow_array::types::Decimal128Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, MapArray,
    PrimitiveArray, StructArray,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};

use super::builder::{Builder, Ends, Spans, Values};
use crate::schema::{Column, ColumnKind};

/// The names that Parquet's format asks for in lists and maps.
const ELEMENT: &str = "element";
const ENTRIES: &str = "key_value";
const KEY: &str = "key";
const VALUE: &str = "value";

/// How texts are told to Arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// As what they are, for the file's schema.
    Utf8,
    /// As bytes, for the arrays: every line is checked to be UTF-8, and an array of texts would check it again.
    Bytes,
}

/// The field of a column.
pub(super) fn field(column: &Column, texts: Texts) -> FieldRef {
    Arc::new(Field::new(
        &column.name,
        data_type(&column.kind, texts),
        true,
    ))
}

/// The Arrow type of what fits a column. Elements and values are never null, since a NULL fits no column.
fn data_type(kind: &ColumnKind, texts: Texts) -> DataType {
    match kind {
        ColumnKind::String | ColumnKind::Json => text_type(texts),
        ColumnKind::Binary => DataType::Binary,
        ColumnKind::Integer => DataType::Int64,
        ColumnKind::Double => DataType::Float64,
        ColumnKind::Boolean => DataType::Boolean,
        ColumnKind::Decimal { precision, scale } => {
            // At most 38, so it is no negative number.
            DataType::Decimal128(*precision, scale.cast_signed())
        }
        ColumnKind::List(kind) | ColumnKind::Set(kind) => DataType::List(element(kind, texts)),
        ColumnKind::Struct(columns) => {
            DataType::Struct(columns.iter().map(|column| field(column, texts)).collect())
        }
        ColumnKind::Map(kind) => {
            let entries = DataType::Struct(entries(kind, texts));
            DataType::Map(Arc::new(Field::new(ENTRIES, entries, false)), false)
        }
    }
}

fn text_type(texts: Texts) -> DataType {
    match texts {
        Texts::Utf8 => DataType::Utf8,
        Texts::Bytes => DataType::Binary,
    }
}

fn element(kind: &ColumnKind, texts: Texts) -> FieldRef {
    Arc::new(Field::new(ELEMENT, data_type(kind, texts), false))
}

fn entries(kind: &ColumnKind, texts: Texts) -> Fields {
    Fields::from(vec![
        Field::new(KEY, text_type(texts), false),
        Field::new(VALUE, data_type(kind, texts), false),
    ])
}

/// Empties a builder of a type's columns into an array of this many slots. Nothing is copied.
pub(super) fn take_array(
    builder: &mut Builder,
    data_type: &DataType,
    slots: usize,
) -> Result<ArrayRef, ArrowError> {
    builder.fill(slots);
    let nulls = builder.validity.take();
    Ok(match (&mut builder.values, data_type) {
        (Values::Bytes(spans) | Values::Json(spans) | Values::Text(spans), _) => {
            let (ends, bytes) = take_spans(spans);
            Arc::new(BinaryArray::try_new(ends, bytes, nulls)?)
        }
        (Values::Integer(values), _) => {
            Arc::new(Int64Array::try_new(std::mem::take(values).into(), nulls)?)
        }
        (Values::Double(values), _) => {
            Arc::new(Float64Array::try_new(std::mem::take(values).into(), nulls)?)
        }
        (Values::Decimal { values, .. }, data_type) => {
            let values =
                PrimitiveArray::<Decimal128Type>::try_new(std::mem::take(values).into(), nulls)?;
            Arc::new(values.with_data_type(data_type.clone()))
        }
        (Values::Boolean(bits), _) => Arc::new(BooleanArray::new(bits.take(), nulls)),
        (Values::List { ends, element } | Values::Set { ends, element }, DataType::List(field)) => {
            let elements = take_array(element, field.data_type(), element.len())?;
            Arc::new(ListArray::try_new(
                Arc::clone(field),
                take_ends(ends),
                elements,
                nulls,
            )?)
        }
        (Values::Struct { members, .. }, DataType::Struct(fields)) => {
            let arrays = members
                .iter_mut()
                .zip(fields)
                .map(|(member, field)| take_array(member, field.data_type(), slots))
                .collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                arrays,
                nulls,
                slots,
            )?)
        }
        (Values::Map { ends, keys, value }, DataType::Map(field, sorted)) => {
            let DataType::Struct(fields) = field.data_type() else {
                return Err(ArrowError::SchemaError("a map has entries".to_owned()));
            };
            let count = value.len();
            let (key_ends, key_bytes) = take_spans(keys);
            let keys: ArrayRef = Arc::new(BinaryArray::try_new(key_ends, key_bytes, None)?);
            let values = take_array(value, fields[1].data_type(), count)?;
            let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
            Arc::new(MapArray::try_new(
                Arc::clone(field),
                take_ends(ends),
                entries,
                nulls,
                *sorted,
            )?)
        }
        (_, other) => {
            return Err(ArrowError::SchemaError(format!(
                "a builder was made for another type than {other}"
            )));
        }
    })
}

fn take_ends(ends: &mut Ends) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::take(ends).0))
}

fn take_spans(spans: &mut Spans) -> (OffsetBuffer<i32>, Buffer) {
    (
        take_ends(&mut spans.ends),
        Buffer::from_vec(std::mem::take(&mut spans.bytes)),
    )
}
