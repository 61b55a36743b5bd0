//! The contract of exports of tables.

use super::kind;
use crate::{
    ErrorKind, ExportDescription, ExportRequest, ExportSpan, ExportStatus, ExportView,
    StorageError, TableExports,
};

/// More than a page of the list holds.
const MANY: usize = 26;
const DAY: u64 = 24 * 3600;

/// The contract of exports. Point-in-time recovery is on for the table with the ARN `table`, which holds no items, and off for
/// the one with the ARN `without`; nothing else is exported meanwhile. `run` makes this run's client tokens its own; `end`
/// returns when the export with the ARN given to it has ended.
///
/// # Panics
/// Where it is not kept.
pub async fn exports(
    store: &impl TableExports,
    (table, without): (&str, &str),
    bucket: &str,
    run: &str,
    end: impl AsyncFn(&str),
) {
    let name = table.rsplit('/').next().expect("a table's name");
    let recovery = store.recovery(name).await.expect("a description");
    let recovery = recovery.expect("recovery that is on");
    assert!(recovery.earliest <= recovery.latest, "{recovery:?}");
    let by_arn = store.recovery(table).await.expect("a description");
    assert!(by_arn.is_some(), "by its ARN");

    let full = ExportRequest {
        table_arn: table.to_owned(),
        bucket: bucket.to_owned(),
        prefix: format!("contract/{run}"),
        span: ExportSpan::Full {
            time: recovery.latest,
        },
        client_token: format!("contract-{run}"),
    };
    begun_once(store, &full, &end).await;
    refused(store, &full, without).await;
    listed(store, &full, &end).await;
    failed(store, &full, &end).await;
    if recovery.latest - recovery.earliest >= 15 * 60 {
        let span = ExportSpan::Incremental {
            from: recovery.latest - 15 * 60,
            to: recovery.latest,
            view: ExportView::NewImage,
        };
        let description = begin(store, &another(&full, "window", span)).await;
        let description = description.expect("an export");
        assert_eq!(description.span, Some(span));
        end(&description.arn).await;
        let list = store.exports(table).await.expect("a list");
        let listed = list.iter().find(|export| export.arn == description.arn);
        assert!(listed.expect("the export").incremental);
    }
}

async fn begin(
    store: &impl TableExports,
    request: &ExportRequest,
) -> Result<ExportDescription, ErrorKind> {
    let answer = store.begin_export(request).await;
    answer.map_err(|error| error.kind())
}

/// The same request with another token and another span.
fn another(request: &ExportRequest, token: &str, span: ExportSpan) -> ExportRequest {
    ExportRequest {
        span,
        client_token: format!("{}-{token}", request.client_token),
        ..request.clone()
    }
}

async fn begun_once(store: &impl TableExports, full: &ExportRequest, end: &impl AsyncFn(&str)) {
    let begun = begin(store, full).await.expect("an export");
    assert_eq!(begun.span, Some(full.span));
    assert_eq!(begun.bucket, full.bucket);
    assert_eq!(begun.prefix.as_deref(), Some(full.prefix.as_str()));
    assert_eq!(begun.client_token.as_deref(), Some(&*full.client_token));
    assert!(begun.arn.starts_with(&full.table_arn), "{}", begun.arn);
    let again = begin(store, full).await.expect("the same export");
    assert_eq!(again.arn, begun.arn, "at once again");
    let elsewhere = ExportRequest {
        prefix: "contract/elsewhere".to_owned(),
        ..full.clone()
    };
    let other = begin(store, &elsewhere).await;
    assert_eq!(other, Err(ErrorKind::Conflict), "another request");

    end(&begun.arn).await;
    let ended = store.export(&begun.arn).await.expect("a description");
    assert_eq!(ended.status, ExportStatus::Completed, "{ended:?}");
    assert_eq!((ended.item_count, &ended.failure), (Some(0), &None));
    let id = begun.arn.rsplit('/').next().expect("an id");
    let manifest = format!("{}/AWSDynamoDB/{id}/manifest-summary.json", full.prefix);
    assert_eq!(ended.manifest_key, Some(manifest));
    assert_eq!(ended.table_id, begun.table_id);
    let again = begin(store, full).await.expect("the same export");
    assert_eq!(again.arn, begun.arn, "after it ended");
    let missing = store.export(&format!("{}0", begun.arn)).await;
    assert_eq!(kind(missing.err()), Some(ErrorKind::NotFound));
}

async fn refused(store: &impl TableExports, full: &ExportRequest, without: &str) {
    let window = |from, to| ExportSpan::Incremental {
        from,
        to,
        view: ExportView::NewAndOldImages,
    };
    let ExportSpan::Full { time } = full.span else {
        panic!("a full export was expected: {full:?}");
    };
    for span in [
        ExportSpan::Full {
            time: time - 36 * DAY,
        },
        ExportSpan::Full { time: time + DAY },
        window(time - 36 * DAY, time - 36 * DAY + 3600),
        window(time, time + DAY),
        window(time, time),
        window(time, time - 3600),
        window(time - DAY - 1, time),
    ] {
        let answer = begin(store, &another(full, "refused", span)).await;
        assert_eq!(answer, Err(ErrorKind::Refused), "{span:?}");
    }
    let unrecovered = ExportRequest {
        table_arn: without.to_owned(),
        ..another(full, "without", full.span)
    };
    let answer = begin(store, &unrecovered).await;
    assert_eq!(answer, Err(ErrorKind::Refused), "recovery is off");
    let recovery = store.recovery(without).await.expect("a description");
    assert_eq!(recovery, None);
    let none = |answer: Option<StorageError>| {
        assert_eq!(kind(answer), Some(ErrorKind::NotFound));
    };
    let nowhere = format!("{}-no-such", full.table_arn);
    none(store.recovery(&nowhere).await.err());
    let nowhere = ExportRequest {
        table_arn: nowhere,
        ..another(full, "nowhere", full.span)
    };
    none(store.begin_export(&nowhere).await.err());
}

async fn listed(store: &impl TableExports, full: &ExportRequest, end: &impl AsyncFn(&str)) {
    let mut arns = Vec::new();
    for number in 0..MANY {
        let request = another(full, &format!("many-{number}"), full.span);
        let begun = begin(store, &request).await.expect("an export");
        assert!(!arns.contains(&begun.arn), "another token");
        arns.push(begun.arn);
    }
    let list = store.exports(&full.table_arn).await.expect("a list");
    for arn in &arns {
        let found: Vec<_> = list.iter().filter(|export| export.arn == *arn).collect();
        let [export] = &found[..] else {
            panic!("{arn} was expected once: {found:?}");
        };
        assert!(!export.incremental, "{arn}");
    }
    for arn in &arns {
        end(arn).await;
    }
    let list = store.exports(&full.table_arn).await.expect("a list");
    let completed = |arn: &String| {
        let mut list = list.iter();
        list.any(|export| export.arn == *arn && export.status == ExportStatus::Completed)
    };
    assert!(arns.iter().all(completed), "{list:?}");
}

/// An export whose bucket is missing begins, and fails.
async fn failed(store: &impl TableExports, full: &ExportRequest, end: &impl AsyncFn(&str)) {
    let nowhere = ExportRequest {
        bucket: "transload-contract-no-such-bucket".to_owned(),
        ..another(full, "no-bucket", full.span)
    };
    let begun = begin(store, &nowhere).await.expect("an export");
    end(&begun.arn).await;
    let ended = store.export(&begun.arn).await.expect("a description");
    assert_eq!(ended.status, ExportStatus::Failed);
    assert_eq!(ended.manifest_key, None);
    let (code, _) = ended.failure.expect("a failure");
    assert!(!code.is_empty());
}
