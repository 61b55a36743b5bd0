//! The table `offers` full of pending items, with the index that finds them. The index never lags behind the table.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::Reprocessed;
use super::Refusal;
use super::expression::{Change, Expressions, Term};
use crate::endpoint::TABLE;
use crate::reprocess::items::{
    Attributes, INDEX, KEYS, Key, MARKER, PENDING, add_item, item, key_attributes, key_of,
};

/// A page of an index ends at 1 MiB of entries (API reference of Query).
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// The items, in the order in which the index has them.
#[derive(Debug)]
pub(in crate::endpoint) struct PendingItems {
    rows: Vec<Row>,
    positions: HashMap<Key, usize>,
}

#[derive(Debug)]
struct Row {
    key: Key,
    item: Attributes,
    /// Whether S3 has answered that an object has what was made of the item.
    has_output: bool,
}

impl PendingItems {
    pub(in crate::endpoint) fn new(items: u64) -> Self {
        let rows: Vec<Row> = (0..items)
            .map(|number| {
                let item = item(number);
                Row {
                    key: key_of(&item).expect("an item has its keys"),
                    item,
                    has_output: false,
                }
            })
            .collect();
        let positions = rows.iter().enumerate();
        let positions = positions.map(|(at, row)| (row.key.clone(), at)).collect();
        Self { rows, positions }
    }

    /// Where the item with that key is.
    pub(in crate::endpoint) fn position(&self, key: &Key) -> Option<usize> {
        self.positions.get(key).copied()
    }

    /// S3 has answered that there is an object with what was made of the items at those positions.
    pub(in crate::endpoint) fn have_outputs(&mut self, positions: &[usize]) {
        for at in positions {
            self.rows[*at].has_output = true;
        }
    }

    /// A call that names the table.
    pub(super) fn call(
        &mut self,
        operation: &str,
        call: &Value,
        counts: &mut Reprocessed,
    ) -> Result<Value, Refusal> {
        match operation {
            "DescribeTable" => Ok(self.describe()),
            "GetItem" => self.get(call),
            "Query" => self.query(call),
            "UpdateItem" => self.update(call, counts),
            _ => Err(Refusal::unknown_operation()),
        }
    }

    fn describe(&self) -> Value {
        let [partition, sort] = KEYS;
        let definitions = [partition, sort, MARKER]
            .map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
        json!({"Table": {
            "TableName": TABLE,
            "TableArn": format!("arn:aws:dynamodb:us-east-1:000000000000:table/{TABLE}"),
            "TableId": "6f3c1f0e-0000-4000-8000-000000000000",
            "TableStatus": "ACTIVE",
            "CreationDateTime": 1_767_960_000.5,
            "ItemCount": self.rows.len(),
            "KeySchema": [
                {"AttributeName": partition, "KeyType": "HASH"},
                {"AttributeName": sort, "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": definitions,
            "GlobalSecondaryIndexes": [{
                "IndexName": INDEX,
                "IndexStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": MARKER, "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }],
        }})
    }

    fn row(&self, key: &Value) -> Result<Option<usize>, Refusal> {
        let key = key.as_object().filter(|key| key.len() == KEYS.len());
        let key = key.and_then(key_of);
        let key = key.ok_or_else(|| Refusal::invalid("the key is that of another table"))?;
        Ok(self.position(&key))
    }

    fn get(&self, call: &Value) -> Result<Value, Refusal> {
        if call["ConsistentRead"] != true {
            return Err(Refusal::invalid(
                "this endpoint wants items to be read consistently: a marker may lag behind otherwise",
            ));
        }
        Ok(match self.row(&call["Key"])? {
            Some(at) => json!({"Item": self.rows[at].item}),
            None => json!({}),
        })
    }

    fn query(&self, call: &Value) -> Result<Value, Refusal> {
        if call["IndexName"] != INDEX || call["ConsistentRead"] == true {
            return Err(Refusal::invalid(&format!(
                "this endpoint knows queries of {INDEX}, which cannot be consistent"
            )));
        }
        let mut expressions = Expressions::of(call);
        let condition = expressions.condition("KeyConditionExpression")?;
        let projection = expressions.projection()?;
        expressions.end()?;
        let [Term::Equals(name, value)] = &condition[..] else {
            return Err(Refusal::invalid("a key condition has one value"));
        };
        if name != MARKER {
            return Err(Refusal::invalid("the condition is not on the index's key"));
        }
        let limit = match &call["Limit"] {
            Value::Null => usize::MAX,
            limit => (limit.as_u64().and_then(|limit| usize::try_from(limit).ok()))
                .filter(|limit| *limit > 0)
                .ok_or_else(|| Refusal::invalid("a limit is 1 or more"))?,
        };
        let first = self.first(&call["ExclusiveStartKey"])?;
        let (page, is_cut) = self.page(value, first, limit);
        let mut answer = json!({"Count": page.len(), "ScannedCount": page.len()});
        if call["Select"] != "COUNT" {
            let entry = |at: &usize| entry(&self.rows[*at], projection.as_deref());
            answer["Items"] = page.iter().map(entry).collect();
        }
        // Also where nothing follows: DynamoDB looks no further than the limit.
        if let Some(last) = page.last().filter(|_| is_cut || page.len() == limit) {
            answer["LastEvaluatedKey"] = entry(&self.rows[*last], None).into();
        }
        Ok(answer)
    }

    /// Where a page begins that follows the entry with that key.
    fn first(&self, start: &Value) -> Result<usize, Refusal> {
        let Some(start) = start.as_object() else {
            return Ok(0);
        };
        let key = start.get(MARKER).and_then(|_| key_of(start));
        key.and_then(|key| self.position(&key))
            .map(|at| at + 1)
            .ok_or_else(|| Refusal::invalid("the start key is none that this index gave"))
    }

    /// The positions of the entries of a page, and whether it ends because another one has no room.
    fn page(&self, value: &Value, first: usize, limit: usize) -> (Vec<usize>, bool) {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for at in (first..self.rows.len()).filter(|at| self.has_marker(*at, value)) {
            bytes += self.entry_bytes(at);
            if page.len() == limit || bytes > MAX_PAGE_BYTES {
                return (page, true);
            }
            page.push(at);
        }
        (page, false)
    }

    fn has_marker(&self, at: usize, value: &Value) -> bool {
        self.rows[at].item.get(MARKER) == Some(value)
    }

    fn entry_bytes(&self, at: usize) -> usize {
        let names: usize = KEYS.iter().map(|name| name.len()).sum();
        let key: usize = self.rows[at].key.iter().map(String::len).sum();
        names + key + MARKER.len() + PENDING.len()
    }

    fn update(&mut self, call: &Value, counts: &mut Reprocessed) -> Result<Value, Refusal> {
        let mut expressions = Expressions::of(call);
        let condition = expressions.condition("ConditionExpression")?;
        let changes = expressions.update()?;
        expressions.end()?;
        if changes.iter().any(|change| KEYS.contains(&change.name())) {
            return Err(Refusal::invalid("a key cannot be changed"));
        }
        let found = self.row(&call["Key"])?;
        let before = found.map(|at| &self.rows[at].item);
        if !condition.iter().all(|term| term.holds(before)) {
            let wants_item = call["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD";
            return Err(Refusal::failed_condition(
                before.filter(|_| wants_item).cloned(),
            ));
        }
        let Some(at) = found else {
            return Err(Refusal::invalid(
                "this endpoint makes no items: there is none with that key",
            ));
        };
        let is_conditional = !condition.is_empty();
        let answer = match call["ReturnValues"] == "ALL_OLD" {
            true => json!({"Attributes": &self.rows[at].item}),
            false => json!({}),
        };
        self.change(at, changes, is_conditional, counts);
        Ok(answer)
    }

    fn change(
        &mut self,
        at: usize,
        changes: Vec<Change>,
        is_conditional: bool,
        counts: &mut Reprocessed,
    ) {
        let pending = json!({"S": PENDING});
        let was_pending = self.has_marker(at, &pending);
        let row = &mut self.rows[at];
        for change in changes {
            change.apply(&mut row.item);
        }
        let is_pending = row.item.get(MARKER) == Some(&pending);
        if is_conditional && was_pending && !is_pending {
            add_item(&mut counts.marked, &row.item);
            counts.marked_without_output += u64::from(!row.has_output);
        } else {
            counts.other_updates += 1;
        }
    }
}

/// What the index has of an item: the keys of the table and of the index.
fn entry(row: &Row, projection: Option<&[String]>) -> Attributes {
    let mut entry = key_attributes(&row.key);
    if let Some(marker) = row.item.get(MARKER) {
        entry.insert(MARKER.to_owned(), marker.clone());
    }
    if let Some(names) = projection {
        entry.retain(|name, _| names.contains(name));
    }
    entry
}
