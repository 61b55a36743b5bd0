use super::*;
use crate::memory::MemoryExports;
use crate::{ExportRequest, ExportSpan, TableExports, TestClock};

const TABLE: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/offers";

fn exports(plan: &FaultPlan) -> Failing<MemoryExports> {
    let objects = MemoryObjects::new().with_bucket("lake");
    let exports = MemoryExports::new(TestClock::default(), objects).with_table(TABLE);
    Failing::new(exports, plan.clone())
}

fn request(token: &str) -> ExportRequest {
    ExportRequest {
        table_arn: TABLE.to_owned(),
        bucket: "lake".to_owned(),
        prefix: "exports".to_owned(),
        span: ExportSpan::Full {
            time: 1_769_860_000,
        },
        client_token: token.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_begins_although_nobody_hears_of_it_and_its_token_finds_it() {
    let plan = FaultPlan::seeded(1);
    let store = exports(&plan);
    let begin = async || store.begin_export(&request("1")).await;
    plan.inject(
        "ExportTableToPointInTime",
        1,
        Fault::Fail(ErrorKind::Throttled),
    );
    assert_eq!(kind(begin().await), Some(ErrorKind::Throttled));
    assert_eq!(store.inner().begun(), 0);
    plan.inject("ExportTableToPointInTime", 1, Fault::AnswerLost);
    assert_eq!(kind(begin().await), Some(ErrorKind::Unanswered));
    assert_eq!(store.inner().begun(), 1);
    let found = begin().await.unwrap();
    assert_eq!(store.inner().running(), vec![found.arn]);
}

#[tokio::test(start_paused = true)]
async fn an_export_that_was_given_up_may_begin_later() {
    let plan = FaultPlan::seeded(1);
    let store = exports(&plan);
    let minute = Duration::from_secs(60);
    let late = Fault::Late(Landing::AfterTime(minute));
    plan.inject("ExportTableToPointInTime", 1, late);
    let lost = store.begin_export(&request("1")).await;
    assert_eq!(kind(lost), Some(ErrorKind::Unanswered));
    assert_eq!(store.exports(TABLE).await.unwrap(), []);
    tokio::time::sleep(minute).await;
    assert_eq!(store.exports(TABLE).await.unwrap().len(), 1);

    // A process that dies on it, and the next one that asks with the same token, make one export.
    plan.crash_at(plan.operations() + 1, Crash::Late(Landing::AfterBatches(1)));
    let died = store.begin_export(&request("2")).await;
    assert_eq!(kind(died), Some(ErrorKind::Unanswered));
    assert!(plan.is_dead());
    let next = store.with_plan(FaultPlan::seeded(2));
    next.begin_export(&request("2")).await.unwrap();
    assert_eq!(next.settle().await, 0, "it has landed");
    assert_eq!(next.inner().begun(), 2);
}

#[tokio::test]
async fn every_operation_of_exports_can_fail() {
    let plan = FaultPlan::seeded(1);
    let store = exports(&plan);
    let operations = ["DescribeExport", "ListExports", "DescribeContinuousBackups"];
    for operation in operations {
        plan.inject(operation, 1, Fault::AnswerLost);
    }
    let lost = Some(ErrorKind::Unanswered);
    assert_eq!(kind(store.export("arn").await), lost);
    assert_eq!(kind(store.exports(TABLE).await), lost);
    assert_eq!(kind(store.recovery("offers").await), lost);
    assert_eq!(plan.log(), operations);
    assert_eq!(kind(store.export("arn").await), Some(ErrorKind::NotFound));
}
