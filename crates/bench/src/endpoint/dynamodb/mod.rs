//! DynamoDB's JSON 1.0 protocol: a table that counts what is put into it, or is full of pending items, and a ledger that keeps
//! its rows.

mod batch;
mod expression;
mod pending;

use std::collections::HashMap;
use std::io;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::{LEDGER_TABLE, Shared, State, TABLE};
use batch::PutRequest;

pub(super) use pending::PendingItems;

const MAX_BATCH_ITEMS: usize = 25;

/// Rows of the ledger by `job` and `part`.
pub(super) type LedgerRows = HashMap<(String, String), Map<String, Value>>;

/// A ledger that has these rows.
pub(super) fn ledger_of(rows: &[Map<String, Value>]) -> io::Result<LedgerRows> {
    let keyed = rows.iter().map(|row| {
        let part_of_key = |name: &str| row.get(name)?["S"].as_str().map(str::to_owned);
        let key = part_of_key("job").zip(part_of_key("part"));
        let key = key.ok_or_else(|| io::Error::other("a row of the ledger has no keys"))?;
        Ok((key, row.clone()))
    });
    keyed.collect()
}

/// An error in DynamoDB's words.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    message: String,
    /// The row that made a condition fail.
    item: Option<Map<String, Value>>,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            item: None,
        }
    }

    fn malformed(error: serde_json::Error) -> Self {
        Self::new("SerializationException", error.to_string())
    }

    fn invalid(message: &str) -> Self {
        Self::new("ValidationException", message)
    }

    fn unknown_operation() -> Self {
        Self::new(
            "UnknownOperationException",
            "this endpoint does not play that operation",
        )
    }

    /// A condition did not hold for the row, where there is one.
    fn failed_condition(row: Option<Map<String, Value>>) -> Self {
        Self {
            item: row,
            ..Self::new(
                "ConditionalCheckFailedException",
                "The conditional request failed",
            )
        }
    }

    fn no_table() -> Self {
        Self::new("ResourceNotFoundException", "there is no such table")
    }
}

pub(super) async fn call(operation: &str, body: &[u8], shared: &Shared) -> Answer {
    let answered = match operation {
        "BatchWriteItem" => batch_write(body, shared).await,
        _ => read_json(body).and_then(|call| one_row(operation, call, &mut shared.state())),
    };
    match answered {
        Ok(answer) => Answer::json(&answer),
        Err(Refusal {
            code,
            message,
            item,
        }) => {
            let more = item.map_or(json!({}), |item| json!({"Item": item}));
            Answer::json_error(code, &message, more)
        }
    }
}

fn one_row(operation: &str, call: Value, state: &mut State) -> Result<Value, Refusal> {
    if let Some(pending) = &mut state.pending
        && call["TableName"] == TABLE
    {
        return pending.call(operation, &call, &mut state.counts.reprocessed);
    }
    match operation {
        "DescribeTable" => describe(&call),
        "GetItem" => get_item(&call, &state.ledger),
        "PutItem" => put_item(call, state),
        "Query" => query(&call, &state.ledger),
        _ => Err(Refusal::unknown_operation()),
    }
}

fn read_json(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(Refusal::malformed)
}

/// Accepts a batch, less the share that is handed back. What is accepted is counted before the delay: a client that gives up
/// waiting has written all the same, as with DynamoDB.
async fn batch_write(body: &[u8], shared: &Shared) -> Result<Value, Refusal> {
    let requests = batch::requests(body).map_err(Refusal::malformed)?;
    let puts = checked_puts(&requests)?;
    let handed_back = accept(
        &puts,
        shared.settings.handed_back_percent,
        &mut shared.state(),
    );
    if !shared.settings.delay.is_zero() {
        tokio::time::sleep(shared.settings.delay).await;
    }
    if handed_back.len() == puts.len() {
        return Err(Refusal::new(
            "ProvisionedThroughputExceededException",
            "no item of the batch was written",
        ));
    }
    shared.state().counts.batches += 1;
    Ok(match handed_back.is_empty() {
        true => json!({"UnprocessedItems": {}}),
        false => {
            let requests: Vec<&RawValue> = handed_back.iter().map(|at| requests[*at]).collect();
            json!({"UnprocessedItems": {TABLE: requests}})
        }
    })
}

/// The items of a batch that DynamoDB would take.
fn checked_puts(requests: &[&RawValue]) -> Result<Vec<PutRequest>, Refusal> {
    if !(1..=MAX_BATCH_ITEMS).contains(&requests.len()) {
        return Err(Refusal::invalid("a batch has 1 to 25 items"));
    }
    let puts = requests
        .iter()
        .map(|request| PutRequest::read(request))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Refusal::malformed)?;
    let mut keys: Vec<_> = puts.iter().map(|put| put.key).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() < puts.len() {
        return Err(Refusal::invalid("two items of the batch have the same key"));
    }
    Ok(puts)
}

/// Counts the items; positions of those that are handed back.
fn accept(puts: &[PutRequest], handed_back_percent: u8, state: &mut State) -> Vec<usize> {
    let mut handed_back = Vec::new();
    for (at, put) in puts.iter().enumerate() {
        state.percent_to_hand_back += u32::from(handed_back_percent);
        if state.percent_to_hand_back >= 100 {
            state.percent_to_hand_back -= 100;
            handed_back.push(at);
        } else {
            state.counts.written.add(put.item);
        }
    }
    state.counts.handed_back += handed_back.len() as u64;
    handed_back
}

fn describe(call: &Value) -> Result<Value, Refusal> {
    if call["TableName"] != TABLE {
        return Err(Refusal::no_table());
    }
    let [partition, sort] = batch::KEYS;
    Ok(json!({"Table": {
        "TableName": TABLE,
        "TableStatus": "ACTIVE",
        "KeySchema": [
            {"AttributeName": partition, "KeyType": "HASH"},
            {"AttributeName": sort, "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": batch::KEYS.map(|name| json!({"AttributeName": name, "AttributeType": "S"})),
    }}))
}

fn get_item(call: &Value, ledger: &LedgerRows) -> Result<Value, Refusal> {
    let key = ledger_key(call, &call["Key"])?;
    Ok(match ledger.get(&key) {
        Some(row) => json!({"Item": row}),
        None => json!({}),
    })
}

fn put_item(mut call: Value, state: &mut State) -> Result<Value, Refusal> {
    let key = ledger_key(&call, &call["Item"])?;
    let before = state.ledger.get(&key);
    if !condition_holds(&call, before)? {
        return Err(Refusal::failed_condition(before.cloned()));
    }
    let Value::Object(row) = call["Item"].take() else {
        return Err(Refusal::invalid("the call has no item"));
    };
    state.ledger.insert(key, row);
    state.counts.ledger_writes += 1;
    Ok(json!({}))
}

/// The two conditions under which a ledger is written: there is no row yet, or it has the revision that was read.
fn condition_holds(call: &Value, before: Option<&Map<String, Value>>) -> Result<bool, Refusal> {
    match call["ConditionExpression"].as_str() {
        Some("attribute_not_exists(job)") => Ok(before.is_none()),
        Some("#revision = :before") => {
            let name = call["ExpressionAttributeNames"]["#revision"].as_str();
            let expected = &call["ExpressionAttributeValues"][":before"];
            let found = name.and_then(|name| before?.get(name));
            Ok(found == Some(expected))
        }
        _ => Err(Refusal::invalid(
            "this endpoint knows the conditions attribute_not_exists(job) and #revision = :before",
        )),
    }
}

/// Rows whose `open` has the value that the call asks for, whatever it calls them.
fn query(call: &Value, ledger: &LedgerRows) -> Result<Value, Refusal> {
    if call["TableName"] != LEDGER_TABLE || call["IndexName"] != "open-jobs" {
        return Err(Refusal::invalid(
            "this endpoint knows queries of the index open-jobs of the ledger",
        ));
    }
    let wanted = call["ExpressionAttributeValues"]
        .as_object()
        .and_then(|values| values.values().next());
    let rows: Vec<_> = ledger
        .values()
        .filter(|row| row.get("open") == wanted)
        .collect();
    Ok(json!({"Items": rows, "Count": rows.len(), "ScannedCount": rows.len()}))
}

fn ledger_key(call: &Value, holder: &Value) -> Result<(String, String), Refusal> {
    if call["TableName"] != LEDGER_TABLE {
        return Err(Refusal::no_table());
    }
    let part_of_key = |name: &str| holder[name]["S"].as_str().map(str::to_owned);
    part_of_key("job")
        .zip(part_of_key("part"))
        .ok_or_else(|| Refusal::invalid("the keys job and part are missing"))
}
