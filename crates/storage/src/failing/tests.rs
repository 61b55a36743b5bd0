use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use records::{IndexShape, KeyAttribute, KeyType, TableShape, Value};

use super::*;
use crate::memory::{MemoryLedger, MemoryObjects, MemoryQueue, MemoryTables};
use crate::{
    Condition, ErrorKind, IndexPage, IndexSelect, ItemStore, ItemWrite, Ledger, LedgerRow, Notices,
    ObjectId, ObjectStore, PutItem, ScanPage, StorageError, TableStore,
};

mod conditional;
mod exports;

fn shape() -> TableShape {
    TableShape {
        name: "rows".to_owned(),
        partition: KeyAttribute {
            name: "id".to_owned(),
            kind: KeyType::S,
        },
        sort: None,
        indexes: vec![IndexShape {
            name: "pending".to_owned(),
            partition: vec![KeyAttribute {
                name: "marker".to_owned(),
                kind: KeyType::S,
            }],
            sort: Vec::new(),
        }],
    }
}

fn put(id: &str, value: &str) -> PutItem {
    let json = format!(r#"{{"id":{{"S":"{id}"}},"v":{{"S":"{value}"}}}}"#);
    let item = records::item_from_dynamodb_json(json.as_bytes()).unwrap();
    PutItem {
        item: Bytes::from(json),
        key: shape().canonical_key(&item).unwrap().into(),
    }
}

fn batch(len: usize) -> Vec<PutItem> {
    (0..len).map(|id| put(&id.to_string(), "v")).collect()
}

fn tables(plan: &FaultPlan) -> Failing<MemoryTables> {
    Failing::new(MemoryTables::new().with_table(shape()), plan.clone())
}

fn ids(tables: &Failing<MemoryTables>) -> Vec<String> {
    let items = tables.inner().scan("rows");
    items
        .iter()
        .map(|item| match &item["id"] {
            Value::S(id) => id.clone(),
            other => panic!("{other:?} is no id"),
        })
        .collect()
}

fn value(tables: &Failing<MemoryTables>, id: &str) -> Value {
    let key = put(id, "").key;
    tables.inner().held("rows", &key).unwrap()["v"].clone()
}

fn kind<T>(answer: Result<T, StorageError>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn a_fault_before_leaves_the_store_alone_and_one_after_does_not() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    plan.inject("BatchWriteItem", 1, Fault::Fail(ErrorKind::Throttled));
    plan.inject("BatchWriteItem", 2, Fault::AnswerLost);

    let first = store.put_batch(&shape(), &batch(2)).await;
    assert_eq!(kind(first), Some(ErrorKind::Throttled));
    assert!(ids(&store).is_empty());

    let second = store.put_batch(&shape(), &batch(2)).await;
    assert_eq!(kind(second), Some(ErrorKind::Unanswered));
    assert_eq!(ids(&store), ["0", "1"]);

    assert!(
        store
            .put_batch(&shape(), &batch(3))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(plan.count("BatchWriteItem"), 3);
}

#[tokio::test(start_paused = true)]
async fn unprocessed_items_are_exactly_those_not_written() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    plan.inject("BatchWriteItem", 1, Fault::Unprocessed(4));
    let left = store.put_batch(&shape(), &batch(9)).await.unwrap();
    assert_eq!(left.len(), 4);
    let mut all: Vec<String> = left.iter().map(usize::to_string).collect();
    all.extend(ids(&store));
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);

    plan.inject("BatchWriteItem", 1, Fault::Unprocessed(9));
    let throttled = store.put_batch(&shape(), &batch(9)).await;
    assert_eq!(kind(throttled), Some(ErrorKind::Throttled));

    plan.inject("BatchWriteItem", 1, Fault::PartlyDone(9));
    let lost = store.put_batch(&shape(), &batch(9)).await;
    assert_eq!(kind(lost), Some(ErrorKind::Unanswered));
    assert_eq!(ids(&store).len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_late_batch_lands_over_what_was_written_meanwhile() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    let text = |value: &str| Value::S(value.to_owned());
    plan.inject("BatchWriteItem", 1, Fault::Late(Landing::AfterBatches(1)));
    let lost = store.put_batch(&shape(), &[put("a", "old")]).await;
    assert_eq!(kind(lost), Some(ErrorKind::Unanswered));
    assert!(ids(&store).is_empty());
    store.put_batch(&shape(), &[put("a", "new")]).await.unwrap();
    assert_eq!(value(&store, "a"), text("old"));

    let minute = Duration::from_secs(60);
    plan.inject("BatchWriteItem", 1, Fault::Late(Landing::AfterTime(minute)));
    let lost = store.put_batch(&shape(), &[put("a", "older")]).await;
    assert_eq!(kind(lost), Some(ErrorKind::Unanswered));
    store.put_batch(&shape(), &[put("a", "new")]).await.unwrap();
    assert_eq!(value(&store, "a"), text("new"));
    tokio::time::sleep(minute).await;
    store.put_batch(&shape(), &[put("b", "new")]).await.unwrap();
    assert_eq!(value(&store, "a"), text("older"));
    assert_eq!(store.settle().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_process_left_on_the_wire_reaches_the_next_one() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    plan.crash_at(2, Crash::Late(Landing::AfterBatches(1)));
    store
        .put_batch(&shape(), &[put("a", "first")])
        .await
        .unwrap();
    let died = store.put_batch(&shape(), &[put("a", "late")]).await;
    assert_eq!(kind(died), Some(ErrorKind::Unanswered));
    plan.crashed().await;
    let after = store.put_batch(&shape(), &[put("a", "never")]).await;
    assert_eq!(kind(after), Some(ErrorKind::Unanswered));
    assert_eq!(plan.operations(), 2);
    assert_eq!(value(&store, "a"), Value::S("first".to_owned()));

    let next = store.with_plan(FaultPlan::seeded(2));
    next.put_batch(&shape(), &[put("a", "next")]).await.unwrap();
    assert_eq!(value(&next, "a"), Value::S("late".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_late_object_lands_over_what_was_put_meanwhile_and_a_new_one_only_where_none_is() {
    let plan = FaultPlan::seeded(1);
    let memory = MemoryObjects::new().with_bucket("lake");
    let store = Failing::new(memory, plan.clone());
    let content = |key: &str| store.inner().content("lake", key);
    let put =
        async |key: &str, body: &'static str| kind(store.put("lake", key, Bytes::from(body)).await);
    let put_new = async |key: &str, body: &'static str| {
        kind(store.put_new("lake", key, Bytes::from(body)).await)
    };
    let late = |landing| plan.inject("PutObject", 1, Fault::Late(landing));

    late(Landing::AfterBatches(2));
    assert_eq!(put("a", "late").await, Some(ErrorKind::Unanswered));
    assert_eq!(put("a", "first").await, None);
    assert_eq!(content("a").unwrap(), "first");
    assert_eq!(put_new("b", "other").await, None);
    assert_eq!(content("a").unwrap(), "late");

    late(Landing::AfterBatches(0));
    assert_eq!(put_new("c", "late").await, Some(ErrorKind::Unanswered));
    assert_eq!(content("c"), None);
    assert_eq!(put_new("c", "again").await, Some(ErrorKind::Conflict));
    assert_eq!(content("c").unwrap(), "late");

    let minute = Duration::from_secs(60);
    late(Landing::AfterTime(minute));
    assert_eq!(put_new("d", "late").await, Some(ErrorKind::Unanswered));
    tokio::time::sleep(minute - Duration::from_millis(1)).await;
    let listed = async || store.list("lake", "d").await.unwrap().len();
    assert_eq!(listed().await, 0);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(listed().await, 1, "a read meets it, too");

    late(Landing::AfterTime(minute));
    assert_eq!(put_new("e", "late").await, Some(ErrorKind::Unanswered));
    assert_eq!(put("e", "first").await, None);
    assert_eq!(store.settle().await, 1);
    assert_eq!(content("e").unwrap(), "first");
    assert_eq!(plan.count("PutObject"), 8);
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_may_leave_an_object_on_the_wire() {
    let plan = FaultPlan::seeded(1);
    let store = Failing::new(MemoryObjects::new().with_bucket("lake"), plan.clone());
    plan.crash_at(1, Crash::Late(Landing::AfterBatches(1)));
    let died = store.put_new("lake", "a", Bytes::from("late")).await;
    assert_eq!(kind(died), Some(ErrorKind::Unanswered));
    let never = store.put("lake", "b", Bytes::from("never")).await;
    assert_eq!(kind(never), Some(ErrorKind::Unanswered));

    let next = store.with_plan(FaultPlan::seeded(2));
    next.put("lake", "c", Bytes::new()).await.unwrap();
    let keys: Vec<_> = next.inner().snapshot("lake").into_keys().collect();
    assert_eq!(keys, ["a", "c"]);
    assert_eq!(store.settle().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_crash_stops_operations_that_were_under_way() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    plan.inject("BatchWriteItem", 1, Fault::Slow(Duration::from_secs(2)));
    plan.crash_at(2, Crash::After);
    let (table, slow, last) = (shape(), batch(1), [put("last", "v")]);
    let (slow, last) = tokio::join!(
        store.put_batch(&table, &slow),
        store.put_batch(&table, &last)
    );
    assert_eq!(kind(slow), Some(ErrorKind::Unanswered));
    assert_eq!(kind(last), Some(ErrorKind::Unanswered));
    assert_eq!(ids(&store), ["last"]);
}

#[tokio::test(start_paused = true)]
async fn a_limited_table_takes_its_pace_and_no_more() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    plan.limit_writes(100);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut written = 0;
    for _ in 0..8 {
        written += match store.put_batch(&shape(), &batch(25)).await {
            Ok(left) => 25 - left.len(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Throttled);
                0
            }
        };
    }
    // A burst of one second's worth, and the item whose time is just now.
    assert_eq!(written, 101);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = store.put_batch(&shape(), &batch(25)).await.unwrap();
    assert_eq!(left.len(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_disliked_item_refuses_its_whole_batch() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    plan.refuse_items_with("poison");
    let refused = store
        .put_batch(&shape(), &[put("a", "good"), put("b", "poison")])
        .await;
    assert_eq!(kind(refused), Some(ErrorKind::Refused));
    assert!(ids(&store).is_empty());
    store
        .put_batch(&shape(), &[put("a", "good")])
        .await
        .unwrap();
    assert_eq!(ids(&store), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn bodies_fail_stall_and_end_where_they_are_told_to() {
    let plan = FaultPlan::seeded(1);
    let memory = MemoryObjects::new().with_bucket("inbox").with_chunks_of(4);
    let object = memory.seed("inbox", "k", "0123456789", &[]);
    let store = Failing::new(memory, plan.clone());
    for (fault, expected) in [
        (Fault::BodyError(6), Ok(Some(ErrorKind::Unanswered))),
        (Fault::BodyStall(6), Err(())),
        (Fault::BodyEnd(6), Ok(None)),
    ] {
        plan.inject("GetObject", 1, fault.clone());
        let mut opened = store.open(&object, 0).await.unwrap();
        let mut seen = Vec::new();
        let read = async {
            loop {
                match opened.content.try_next().await {
                    Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
            }
        };
        let end = tokio::time::timeout(Duration::from_secs(60), read).await;
        assert_eq!(end.map_err(drop), expected, "{fault:?}");
        assert_eq!(seen, b"012345", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_fails_in_the_same_way() {
    let rates = Rates {
        unanswered: 100,
        answer_lost: 100,
        throttled: 100,
        slow: 100,
        unprocessed: 200,
        partly_done: 100,
        late: 100,
        body: 0,
        longest_delay: Duration::from_secs(9),
    };
    let run = async |seed| {
        let plan = FaultPlan::seeded(seed);
        let store = tables(&plan);
        plan.at_random("BatchWriteItem", rates);
        let mut answers = Vec::new();
        for round in 0..100 {
            let items: Vec<PutItem> = (0..10)
                .map(|id| put(&id.to_string(), &round.to_string()))
                .collect();
            let answer = store.put_batch(&shape(), &items).await;
            answers.push(answer.map_err(|error| error.to_string()));
        }
        store.settle().await;
        (answers, store.inner().scan("rows"))
    };
    let first = run(5).await;
    assert!(first.0.iter().any(Result::is_err));
    assert!(first.0.iter().any(|answer| answer == &Ok(Vec::new())));
    assert_eq!(first, run(5).await);
    assert_ne!(first, run(6).await);
}

#[tokio::test(start_paused = true)]
async fn items_and_pages_fail_by_the_names_of_their_operations() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    let item = |json: &str| records::item_from_dynamodb_json(json).unwrap();
    let key = item(r#"{"id":{"S":"a"}}"#);
    let page = ScanPage {
        segment: 0,
        segments: 1,
        limit: None,
        consistent: true,
        start: None,
        attributes: None,
    };
    let new = Condition::AbsentOrOlder {
        attribute: "v".to_owned(),
        than: Value::S("v".to_owned()),
    };
    let operations = [
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "Scan",
        "Query",
        "GetItem",
        "DescribeTable",
    ];
    for operation in operations {
        plan.inject(operation, 1, Fault::AnswerLost);
    }
    let lost = Some(ErrorKind::Unanswered);
    let put = ItemWrite::Put(key.clone());
    assert_eq!(kind(store.write_if(&shape(), &put, &new).await), lost);
    assert_eq!(ids(&store), ["a"]);
    let set = ItemWrite::Update {
        key: key.clone(),
        set: item(r#"{"v":{"S":"set"}}"#),
        remove: Vec::new(),
    };
    let exists = Condition::Exists;
    assert_eq!(kind(store.write_if(&shape(), &set, &exists).await), lost);
    assert_eq!(value(&store, "a"), Value::S("set".to_owned()));
    let delete = ItemWrite::Delete(key.clone());
    assert_eq!(kind(store.write_if(&shape(), &delete, &exists).await), lost);
    assert!(ids(&store).is_empty());
    assert_eq!(kind(store.scan_page(&shape(), &page).await), lost);
    let entries = IndexPage {
        index: "pending".to_owned(),
        attribute: "marker".to_owned(),
        value: "false".to_owned(),
        select: IndexSelect::Count,
        limit: None,
        start: None,
    };
    assert_eq!(kind(store.index_page(&shape(), &entries).await), lost);
    assert_eq!(kind(store.item(&shape(), &key).await), lost);
    assert_eq!(kind(store.stream("rows").await), lost);
    assert_eq!(plan.log(), operations);
}

#[tokio::test(start_paused = true)]
async fn one_plan_counts_the_operations_of_every_port() {
    let plan = FaultPlan::seeded(1);
    let objects = Failing::new(MemoryObjects::new().with_bucket("lake"), plan.clone());
    let ledger = Failing::new(MemoryLedger::new(), plan.clone());
    let queue = Failing::new(MemoryQueue::new(), plan.clone());
    let row = LedgerRow {
        job: "j".to_owned(),
        part: "p".to_owned(),
        revision: 1,
        open: None,
        attributes: serde_json::Map::new(),
    };
    plan.crash_at(5, Crash::After);
    objects.put("lake", "k", Bytes::new()).await.unwrap();
    ledger.write(&row).await.unwrap();
    objects.list("lake", "").await.unwrap();
    queue.send("m").await.unwrap();
    assert_eq!(
        kind(objects.delete("lake", "k").await),
        Some(ErrorKind::Unanswered)
    );
    assert_eq!(
        kind(ledger.read("j", "p").await),
        Some(ErrorKind::Unanswered)
    );
    assert_eq!(
        plan.log(),
        [
            "PutObject",
            "PutItem",
            "ListObjectsV2",
            "SendMessage",
            "DeleteObject"
        ]
    );
    assert_eq!(objects.inner().content("lake", "k"), None);
    let object = ObjectId {
        bucket: "lake".to_owned(),
        key: "k".to_owned(),
        version: None,
        etag: None,
    };
    assert_eq!(
        kind(objects.open(&object, 0).await),
        Some(ErrorKind::Unanswered)
    );
}
