use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, Select, StreamViewType, TableDescription,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use records::{Item, TableShape, Value};

use super::errors::storage_error;
use super::tables::AwsTables;
use super::values::{dynamo_item, dynamo_value, item_of};
use crate::{
    Condition, ErrorKind, IndexEntries, IndexPage, IndexSelect, ItemStore, ItemWrite, ScanPage,
    Scanned, StorageError, StreamDescription, StreamView, TableIdentity, Timestamp, WriteOutcome,
};

const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

impl ItemStore for AwsTables {
    async fn scan_page(
        &self,
        table: &TableShape,
        page: &ScanPage,
    ) -> Result<Scanned, StorageError> {
        let mut expression = Expression::default();
        let projection = page
            .attributes
            .as_ref()
            .map(|attributes| expression.list(attributes));
        let answer = self
            .retrying
            .scan()
            .table_name(&table.name)
            .segment(signed(page.segment))
            .total_segments(signed(page.segments))
            .set_limit(page.limit.map(signed))
            .consistent_read(page.consistent)
            .set_exclusive_start_key(page.start.as_ref().map(dynamo_item))
            .set_projection_expression(projection)
            .set_expression_attribute_names(expression.names())
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| storage_error("Scan", &table.name, error))?;
        let unreadable = |fault| unreadable("Scan", &table.name, fault);
        let items = answer.items.into_iter().flatten().map(item_of);
        Ok(Scanned {
            items: items.collect::<Result<_, _>>().map_err(unreadable)?,
            next: answer
                .last_evaluated_key
                .map(item_of)
                .transpose()
                .map_err(unreadable)?,
            capacity_tenths: capacity_tenths(answer.consumed_capacity.as_ref())
                .ok_or_else(|| unreadable("the answer does not say what it cost".to_owned()))?,
        })
    }

    async fn index_page(
        &self,
        table: &TableShape,
        page: &IndexPage,
    ) -> Result<IndexEntries, StorageError> {
        let mut expression = Expression::default();
        let condition = expression.equals(&page.attribute, &Value::S(page.value.clone()));
        // Other attributes may not be in the index, and what is there may lag behind the table.
        let (select, projection) = match page.select {
            IndexSelect::Keys => {
                let keys: Vec<String> = table.keys().map(|key| key.name.clone()).collect();
                (None, Some(expression.list(&keys)))
            }
            IndexSelect::Count => (Some(Select::Count), None),
        };
        let answer = self
            .retrying
            .query()
            .table_name(&table.name)
            .index_name(&page.index)
            .key_condition_expression(condition)
            .set_select(select)
            .set_projection_expression(projection)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .set_limit(page.limit.map(signed))
            .set_exclusive_start_key(page.start.as_ref().map(dynamo_item))
            .send()
            .await
            .map_err(|error| storage_error("Query", index_name(table, page), error))?;
        let unreadable = |fault| unreadable("Query", &index_name(table, page), fault);
        let keys = answer.items.into_iter().flatten().map(item_of);
        Ok(IndexEntries {
            keys: keys.collect::<Result<_, _>>().map_err(unreadable)?,
            count: u64::try_from(answer.count).map_err(|error| unreadable(error.to_string()))?,
            next: answer
                .last_evaluated_key
                .map(item_of)
                .transpose()
                .map_err(unreadable)?,
        })
    }

    async fn item(&self, table: &TableShape, key: &Item) -> Result<Option<Item>, StorageError> {
        let answer = self
            .retrying
            .get_item()
            .table_name(&table.name)
            .set_key(Some(dynamo_item(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| storage_error("GetItem", &table.name, error))?;
        let item = answer.item.map(item_of).transpose();
        item.map_err(|fault| unreadable("GetItem", &table.name, fault))
    }

    async fn write_if(
        &self,
        table: &TableShape,
        write: &ItemWrite,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        match write {
            ItemWrite::Put(item) => self.put_if(table, item, condition).await,
            ItemWrite::Delete(key) => self.delete_if(table, key, condition).await,
            ItemWrite::Update { key, set, remove } => {
                self.update_if(table, key, (set, remove), condition).await
            }
        }
    }

    async fn stream(&self, table: &str) -> Result<Option<StreamDescription>, StorageError> {
        let description = self.description(table).await?;
        stream_of(&description).map_err(|fault| unreadable("DescribeTable", table, fault))
    }

    async fn created(&self, table: &str) -> Result<Timestamp, StorageError> {
        let description = self.description(table).await?;
        let created = description.creation_date_time();
        created
            .and_then(|time| u64::try_from(time.to_millis().ok()?).ok())
            .map(Timestamp)
            .ok_or_else(|| {
                unreadable(
                    "DescribeTable",
                    table,
                    "the answer has no CreationDateTime".to_owned(),
                )
            })
    }

    async fn item_count(&self, table: &str) -> Result<u64, StorageError> {
        let count = self.description(table).await?.item_count();
        let count = u64::try_from(count.unwrap_or_default());
        count.map_err(|error| unreadable("DescribeTable", table, error.to_string()))
    }

    async fn identity(&self, table: &str) -> Result<TableIdentity, StorageError> {
        let description = self.description(table).await?;
        let missing =
            |what| move || unreadable("DescribeTable", table, format!("the answer has no {what}"));
        Ok(TableIdentity {
            arn: description.table_arn.ok_or_else(missing("ARN"))?,
            id: description.table_id.ok_or_else(missing("table id"))?,
        })
    }
}

impl AwsTables {
    async fn put_if(
        &self,
        table: &TableShape,
        item: &Item,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let mut expression = Expression::default();
        let condition = expression.condition(table, condition);
        let answer = self
            .retrying
            .put_item()
            .table_name(&table.name)
            .set_item(Some(dynamo_item(item)))
            .condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values_on_condition_check_failure(ALL_OLD)
            .send()
            .await;
        outcome("PutItem", table, answer, |refusal| match refusal {
            PutItemError::ConditionalCheckFailedException(failure) => Some(failure),
            _ => None,
        })
    }

    async fn delete_if(
        &self,
        table: &TableShape,
        key: &Item,
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let mut expression = Expression::default();
        let condition = expression.condition(table, condition);
        let answer = self
            .retrying
            .delete_item()
            .table_name(&table.name)
            .set_key(Some(dynamo_item(key)))
            .condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values_on_condition_check_failure(ALL_OLD)
            .send()
            .await;
        outcome("DeleteItem", table, answer, |refusal| match refusal {
            DeleteItemError::ConditionalCheckFailedException(failure) => Some(failure),
            _ => None,
        })
    }

    async fn update_if(
        &self,
        table: &TableShape,
        key: &Item,
        (set, remove): (&Item, &[String]),
        condition: &Condition,
    ) -> Result<WriteOutcome, StorageError> {
        let mut expression = Expression::default();
        let condition = expression.condition(table, condition);
        let update = expression.update(set, remove);
        let answer = self
            .retrying
            .update_item()
            .table_name(&table.name)
            .set_key(Some(dynamo_item(key)))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ALL_OLD)
            .send()
            .await;
        if let Ok(updated) = answer {
            let before = updated.attributes.map(item_of).transpose();
            return before
                .map(WriteOutcome::Updated)
                .map_err(|fault| unreadable("UpdateItem", &table.name, fault));
        }
        outcome("UpdateItem", table, answer, |refusal| match refusal {
            UpdateItemError::ConditionalCheckFailedException(failure) => Some(failure),
            _ => None,
        })
    }
}

/// The names and values that a request's expressions speak of: attribute names may be reserved words, or hold anything.
#[derive(Default)]
struct Expression {
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    fn condition(&mut self, table: &TableShape, condition: &Condition) -> String {
        let mut key = || self.name(&table.partition.name);
        match condition {
            Condition::Exists => format!("attribute_exists({})", key()),
            Condition::ExistsAndDiffers { attribute, from } => {
                let key = key();
                let (name, value) = (self.name(attribute), self.value(from));
                format!(
                    "attribute_exists({key}) AND (attribute_not_exists({name}) OR {name} <> {value})"
                )
            }
            Condition::AbsentOrOlder { attribute, than } => {
                let key = key();
                let (name, value) = (self.name(attribute), self.value(than));
                format!("attribute_not_exists({key}) OR {name} < {value}")
            }
            Condition::NotNewer { attribute, than } => {
                let key = key();
                let (name, value) = (self.name(attribute), self.value(than));
                format!("attribute_exists({key}) AND {name} <= {value}")
            }
            // An item that has the value of one attribute is there.
            Condition::Holds { attributes, absent } => {
                let mut all = self.each_equal(attributes);
                all.extend(
                    (absent.iter())
                        .map(|name| format!("attribute_not_exists({})", self.name(name))),
                );
                all.join(" AND ")
            }
        }
    }

    fn update(&mut self, set: &Item, remove: &[String]) -> String {
        let mut clauses = Vec::new();
        if !set.is_empty() {
            clauses.push(format!("SET {}", self.each_equal(set).join(", ")));
        }
        if !remove.is_empty() {
            clauses.push(format!("REMOVE {}", self.list(remove)));
        }
        clauses.join(" ")
    }

    fn each_equal(&mut self, attributes: &Item) -> Vec<String> {
        let equal = attributes
            .iter()
            .map(|(name, value)| self.equals(name, value));
        equal.collect()
    }

    /// `#n0 = :v0`, which sets in one expression what it compares in another.
    fn equals(&mut self, name: &str, value: &Value) -> String {
        format!("{} = {}", self.name(name), self.value(value))
    }

    fn list(&mut self, attributes: &[String]) -> String {
        let names: Vec<String> = attributes.iter().map(|name| self.name(name)).collect();
        names.join(", ")
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, value: &Value) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), dynamo_value(value));
        placeholder
    }

    /// DynamoDB refuses an empty map.
    fn names(&mut self) -> Option<HashMap<String, String>> {
        Some(std::mem::take(&mut self.names)).filter(|names| !names.is_empty())
    }

    fn values(&mut self) -> Option<HashMap<String, AttributeValue>> {
        Some(std::mem::take(&mut self.values)).filter(|values| !values.is_empty())
    }
}

fn outcome<T, E>(
    operation: &'static str,
    table: &TableShape,
    answer: Result<T, SdkError<E, HttpResponse>>,
    failed_condition: impl FnOnce(&E) -> Option<&ConditionalCheckFailedException>,
) -> Result<WriteOutcome, StorageError>
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let Err(error) = answer else {
        return Ok(WriteOutcome::Done);
    };
    let Some(failure) = error.as_service_error().and_then(failed_condition) else {
        return Err(storage_error(operation, &table.name, error));
    };
    let held = failure.item().cloned().map(item_of).transpose();
    held.map(WriteOutcome::Refused)
        .map_err(|fault| unreadable(operation, &table.name, fault))
}

fn capacity_tenths(consumed: Option<&ConsumedCapacity>) -> Option<u64> {
    let units = format!("{:.1}", consumed?.capacity_units?);
    units.replace('.', "").parse().ok()
}

fn stream_of(description: &TableDescription) -> Result<Option<StreamDescription>, String> {
    // Label and ARN of a stream stay when it is disabled.
    let Some(specification) = description
        .stream_specification()
        .filter(|specification| specification.stream_enabled)
    else {
        return Ok(None);
    };
    let view = match specification.stream_view_type() {
        Some(StreamViewType::KeysOnly) => StreamView::KeysOnly,
        Some(StreamViewType::NewImage) => StreamView::NewImage,
        Some(StreamViewType::OldImage) => StreamView::OldImage,
        Some(StreamViewType::NewAndOldImages) => StreamView::NewAndOldImages,
        other => return Err(format!("a stream of the unknown view {other:?}")),
    };
    let label = description.latest_stream_label();
    let arn = description.latest_stream_arn();
    Ok(Some(StreamDescription {
        label: label.ok_or("the stream has no label")?.to_owned(),
        arn: arn.ok_or("the stream has no ARN")?.to_owned(),
        view,
    }))
}

fn index_name(table: &TableShape, page: &IndexPage) -> String {
    format!("{}, index {}", table.name, page.index)
}

/// The SDK counts in signed numbers; what does not fit is far over what DynamoDB takes, and is refused there.
fn signed(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn unreadable(operation: &'static str, table: &str, fault: String) -> StorageError {
    StorageError::new(ErrorKind::Internal, operation, table, fault)
}

#[cfg(test)]
mod tests;
