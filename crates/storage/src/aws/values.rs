//! Items in the SDK's types and back.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use records::{Item, Number, Value};

pub(super) type DynamoItem = HashMap<String, AttributeValue>;

/// The item, or why it is none.
pub(super) fn item_of(item: DynamoItem) -> Result<Item, String> {
    members(item)
}

/// The value, or why it is none.
pub(super) fn value_of(value: AttributeValue) -> Result<Value, String> {
    Ok(match value {
        AttributeValue::S(text) => Value::S(text),
        AttributeValue::N(digits) => Value::N(number(&digits)?),
        AttributeValue::B(blob) => Value::B(blob.into_inner()),
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Ss(texts) => Value::string_set(texts),
        AttributeValue::Ns(numbers) => {
            let numbers = numbers.iter().map(|digits| number(digits));
            Value::number_set(numbers.collect::<Result<_, _>>()?)
        }
        AttributeValue::Bs(blobs) => {
            Value::binary_set(blobs.into_iter().map(Blob::into_inner).collect())
        }
        AttributeValue::L(values) => {
            let values = values.into_iter().map(value_of);
            Value::L(values.collect::<Result<_, _>>()?)
        }
        AttributeValue::M(values) => Value::M(members(values)?),
        _ => return Err("a value of an unknown type".to_owned()),
    })
}

pub(super) fn dynamo_item(item: &Item) -> DynamoItem {
    item.iter()
        .map(|(name, value)| (name.clone(), dynamo_value(value)))
        .collect()
}

pub(super) fn dynamo_value(value: &Value) -> AttributeValue {
    match value {
        Value::S(text) => AttributeValue::S(text.clone()),
        Value::N(number) => AttributeValue::N(number.to_string()),
        Value::B(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Null => AttributeValue::Null(true),
        Value::Ss(texts) => AttributeValue::Ss(texts.clone()),
        Value::Ns(numbers) => AttributeValue::Ns(numbers.iter().map(Number::to_string).collect()),
        Value::Bs(elements) => {
            AttributeValue::Bs(elements.iter().cloned().map(Blob::new).collect())
        }
        Value::L(values) => AttributeValue::L(values.iter().map(dynamo_value).collect()),
        Value::M(values) => AttributeValue::M(dynamo_item(values)),
    }
}

fn members(values: DynamoItem) -> Result<BTreeMap<String, Value>, String> {
    values
        .into_iter()
        .map(|(name, value)| Ok((name, value_of(value)?)))
        .collect()
}

fn number(digits: &str) -> Result<Number, String> {
    Number::parse(digits).map_err(|error| error.to_string())
}
