//! Writes on a condition that land late: what counts is what the store holds then.

use super::*;
use crate::WriteOutcome;

fn text(text: &str) -> Value {
    Value::S(text.to_owned())
}

fn id(id: &str) -> records::Item {
    records::Item::from([("id".to_owned(), text(id))])
}

fn set(of: &str, value: &str) -> ItemWrite {
    ItemWrite::Update {
        key: id(of),
        set: records::Item::from([("v".to_owned(), text(value))]),
        remove: Vec::new(),
    }
}

fn holds(value: &str) -> Condition {
    Condition::holds(records::Item::from([("v".to_owned(), text(value))]))
}

#[tokio::test(start_paused = true)]
async fn a_late_update_lands_only_where_its_condition_still_holds() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    store.put_batch(&shape(), &batch(3)).await.unwrap();
    let late = |landing| plan.inject("UpdateItem", 1, Fault::Late(landing));
    let update = async |of: &str, from: &str, to: &str| {
        store
            .write_if(&shape(), &set(of, to), &holds(from))
            .await
            .map_err(|error| error.kind())
    };
    let lost = Err(ErrorKind::Unanswered);

    late(Landing::AfterBatches(1));
    assert_eq!(update("0", "v", "late").await, lost);
    assert_eq!(value(&store, "0"), text("v"));
    // An update counts like a batch, whatever it comes to.
    let refused = update("1", "other", "x").await.unwrap();
    assert!(matches!(refused, WriteOutcome::Refused(Some(_))));
    assert_eq!(value(&store, "0"), text("late"));

    late(Landing::AfterTime(Duration::from_secs(9)));
    assert_eq!(update("1", "v", "late").await, lost);
    assert!(
        update("1", "v", "first")
            .await
            .is_ok_and(|outcome| outcome.is_done())
    );
    tokio::time::sleep(Duration::from_secs(9)).await;
    let read = store.item(&shape(), &id("1")).await.unwrap().unwrap();
    assert_eq!(read["v"], text("first"), "the condition held no longer");
    assert_eq!(store.settle().await, 0, "and it is gone");

    late(Landing::AfterTime(Duration::from_secs(9)));
    assert_eq!(update("2", "v", "late").await, lost);
    tokio::time::sleep(Duration::from_secs(9)).await;
    let read = store.item(&shape(), &id("2")).await.unwrap().unwrap();
    assert_eq!(read["v"], text("late"), "a read meets it");
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_may_leave_an_update_on_the_wire() {
    let plan = FaultPlan::seeded(1);
    let store = tables(&plan);
    store.put_batch(&shape(), &batch(1)).await.unwrap();
    plan.crash_at(2, Crash::Late(Landing::AfterBatches(1)));
    let (shape, late, from) = (shape(), set("0", "late"), holds("v"));
    let died = store.write_if(&shape, &late, &from).await;
    assert_eq!(kind(died), Some(ErrorKind::Unanswered));
    assert_eq!(value(&store, "0"), text("v"));

    let next = store.with_plan(FaultPlan::seeded(2));
    let (other, from) = (set("0", "other"), holds("no such"));
    let refused = next.write_if(&shape, &other, &from).await.unwrap();
    assert!(matches!(refused, WriteOutcome::Refused(Some(_))));
    assert_eq!(value(&next, "0"), text("late"));
}

#[tokio::test(start_paused = true)]
async fn a_late_replacement_lands_only_on_the_object_that_it_was_to_replace() {
    let plan = FaultPlan::seeded(1);
    let memory = MemoryObjects::new().with_bucket("lake");
    let first = memory.seed("lake", "a", "first", &[]).etag.unwrap();
    memory.seed("lake", "b", "first", &[]);
    let store = Failing::new(memory, plan.clone());
    let content = |key: &str| store.inner().content("lake", key).unwrap();
    let replace = async |key: &str, body: &'static str| {
        let answer = store.put_replacing("lake", key, &first, Bytes::from(body));
        kind(answer.await)
    };
    let late = || plan.inject("PutObject", 1, Fault::Late(Landing::AfterBatches(1)));

    late();
    assert_eq!(replace("a", "late").await, Some(ErrorKind::Unanswered));
    assert_eq!(content("a"), "first");
    assert_eq!(replace("b", "second").await, None);
    assert_eq!(content("a"), "late");

    store.inner().seed("lake", "a", "first", &[]);
    late();
    assert_eq!(replace("a", "late").await, Some(ErrorKind::Unanswered));
    assert_eq!(replace("a", "second").await, None);
    assert_eq!(content("a"), "second");
    assert_eq!(store.settle().await, 0);
    assert_eq!(plan.count("PutObject"), 4);
}
