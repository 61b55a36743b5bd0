use futures_util::TryStreamExt;

use super::super::canned::{Answer, Canned};
use super::*;

fn object(version: Option<&str>, etag: Option<&str>) -> ObjectId {
    ObjectId {
        bucket: "inbox".to_owned(),
        key: "a b/ä+%.csv".to_owned(),
        version: version.map(str::to_owned),
        etag: etag.map(str::to_owned),
    }
}

async fn store(answers: Vec<Answer>) -> (Canned, AwsObjects) {
    let server = Canned::start(answers).await;
    let objects = server.clients().await.objects();
    (server, objects)
}

async fn open_against(answer: Answer, from: u64) -> Result<ObjectBody, StorageError> {
    let (_server, objects) = store(vec![answer]).await;
    objects.open(&object(None, None), from).await
}

async fn kind_of_open(answer: Answer, from: u64) -> Option<ErrorKind> {
    open_against(answer, from)
        .await
        .err()
        .map(|error| error.kind())
}

#[tokio::test]
async fn an_object_is_asked_for_by_version_etag_and_offset() {
    let (server, objects) = store(vec![
        Answer::new(206, "6789")
            .header("content-range", "bytes 6-9/10")
            .header("etag", "\"e1\"")
            .header("x-amz-meta-transload-mapping", "m.json"),
    ])
    .await;
    let opened = objects
        .open(&object(Some("v1"), Some("e1")), 6)
        .await
        .unwrap();
    assert_eq!((opened.meta.size, opened.meta.etag.as_str()), (10, "e1"));
    assert_eq!(opened.meta.metadata["transload-mapping"], "m.json");
    let content: Vec<Bytes> = opened.content.try_collect().await.unwrap();
    assert_eq!(content.concat(), b"6789");

    let asked = &server.asked()[0];
    let line = "GET /inbox/a%20b/%C3%A4%2B%25.csv?x-id=GetObject&versionId=v1";
    assert_eq!(asked.line(), line);
    assert_eq!(asked.header("if-match"), Some("\"e1\""));
    assert_eq!(asked.header("range"), Some("bytes=6-"));
}

#[tokio::test]
async fn a_whole_object_is_asked_for_without_a_range() {
    let (server, objects) = store(vec![Answer::new(200, "abc").header("etag", "\"e1\"")]).await;
    let opened = objects.open(&object(None, None), 0).await.unwrap();
    assert_eq!(opened.meta.size, 3);
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.header("range"), asked.header("if-match")),
        (None, None)
    );
    assert_eq!(asked.header("x-amz-checksum-mode"), None);
}

#[tokio::test]
async fn an_offset_past_the_end_gives_an_empty_stream() {
    let (server, objects) = store(vec![
        Answer::new(416, "<Error><Code>InvalidRange</Code></Error>"),
        Answer::new(200, "")
            .header("content-length", "10")
            .header("etag", "\"e1\""),
    ])
    .await;
    let opened = objects.open(&object(None, None), 10).await.unwrap();
    assert_eq!((opened.meta.size, opened.meta.etag.as_str()), (10, "e1"));
    let content: Vec<Bytes> = opened.content.try_collect().await.unwrap();
    assert!(content.is_empty());
    assert!(server.asked()[1].line().starts_with("HEAD "));
}

#[tokio::test]
async fn errors_of_a_read_have_their_kind() {
    let error = |status, code| Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
    assert_eq!(
        kind_of_open(error(404, "NoSuchKey"), 0).await,
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind_of_open(error(404, "NoSuchVersion"), 0).await,
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind_of_open(error(405, "MethodNotAllowed"), 0).await,
        Some(ErrorKind::NotFound)
    );
    assert_eq!(
        kind_of_open(error(412, "PreconditionFailed"), 0).await,
        Some(ErrorKind::Conflict)
    );
    // A store that ignores the range would give the wrong bytes.
    assert_eq!(
        kind_of_open(Answer::new(200, "0123"), 2).await,
        Some(ErrorKind::Internal)
    );

    let denied = open_against(error(403, "AccessDenied"), 0)
        .await
        .err()
        .unwrap();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(
        denied.message().contains("there is no such object"),
        "{denied}"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_not_an_end() {
    let opened = open_against(Answer::new(200, "0123456789").cut_at(4), 0)
        .await
        .unwrap();
    let ends = opened.content.collect::<Vec<_>>().await;
    let Some(Err(error)) = ends.last() else {
        panic!("the stream ended well: {ends:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Unanswered);
}

#[tokio::test]
async fn opening_is_retried() {
    let (server, objects) = store(vec![Answer::none(), Answer::new(200, "abc")]).await;
    objects.open(&object(None, None), 0).await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn the_signature_of_a_put_covers_its_content() {
    let (server, objects) = store(vec![Answer::new(200, "")]).await;
    objects
        .put("lake", "json-copy/k", Bytes::from_static(b"abc"))
        .await
        .unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.body, "abc");
    // SHA-256 of `abc`, from FIPS 180-4's examples.
    assert_eq!(
        asked.header("x-amz-content-sha256"),
        Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
    assert_eq!(asked.header("x-amz-trailer"), None);
    assert_eq!(asked.header("if-none-match"), None);
}

#[tokio::test]
async fn a_new_object_is_put_on_the_condition_that_there_is_none() {
    let refusal = |status, code| Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
    let (server, objects) = store(vec![
        Answer::new(200, ""),
        Answer::none(),
        refusal(412, "PreconditionFailed"),
        refusal(409, "ConditionalRequestConflict"),
    ])
    .await;
    let put = || objects.put_new("lake", "changes/k", Bytes::from_static(b"abc"));
    put().await.unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.line(), "PUT /lake/changes/k?x-id=PutObject");
    assert_eq!(asked.header("if-none-match"), Some("*"));
    assert_eq!(asked.header("if-match"), None);
    assert_eq!(asked.body, "abc");

    // The first try may have landed: then the conflict is with the caller's own object.
    assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(server.asked().len(), 3);
    assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn an_object_is_replaced_on_the_condition_that_it_has_its_etag() {
    let refusal = |status, code| Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
    let (server, objects) = store(vec![
        Answer::new(200, ""),
        Answer::none(),
        refusal(412, "PreconditionFailed"),
        refusal(404, "NoSuchKey"),
        refusal(409, "ConditionalRequestConflict"),
    ])
    .await;
    let put = || objects.put_replacing("lake", "done/k", "e1", Bytes::from_static(b"abc"));
    put().await.unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.line(), "PUT /lake/done/k?x-id=PutObject");
    assert_eq!(asked.header("if-match"), Some("\"e1\""));
    assert_eq!(asked.header("if-none-match"), None);
    assert_eq!(asked.body, "abc");

    assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(server.asked().len(), 3, "a lost answer is asked for again");
    assert_eq!(put().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(put().await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn all_pages_of_a_list_are_read_and_decoded() {
    let page = |more: &str, key: &str, size: &str| {
        Answer::new(
            200,
            format!(
                "<ListBucketResult><EncodingType>url</EncodingType>{more}<Contents><Key>{key}</Key>\
                    <LastModified>2026-01-31T12:00:00.000Z</LastModified>{size}</Contents></ListBucketResult>"
            ),
        )
    };
    let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    let (server, objects) = store(vec![
        page(more, "a+b/%C3%A4%2B%25.csv", "<Size>5368709120</Size>"),
        page("", "b", "<Size>0</Size>"),
        page("", "b", ""),
    ])
    .await;
    let listed = |key: &str, bytes| ListedObject {
        key: key.to_owned(),
        bytes,
        modified: Timestamp(1_769_860_800_000),
    };
    assert_eq!(
        objects.list("inbox", "").await.unwrap(),
        [listed("a b/ä+%.csv", 5_368_709_120), listed("b", 0)]
    );
    assert!(server.asked()[1].line().contains("continuation-token=t"));
    let error = objects.list("inbox", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
}

#[tokio::test]
async fn an_upload_that_is_gone_is_aborted_already() {
    let (_server, objects) = store(vec![Answer::new(
        404,
        "<Error><Code>NoSuchUpload</Code></Error>",
    )])
    .await;
    let upload = Upload {
        bucket: "lake".to_owned(),
        key: "k".to_owned(),
        id: "u".to_owned(),
    };
    objects.abort_upload(&upload).await.unwrap();
}
