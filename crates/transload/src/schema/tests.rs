use std::sync::Arc;

use storage::memory::MemoryObjects;
use transcode::Shaping;
use transcode::schema::Schema;

use super::*;
use crate::export_source::tests::{item, lake, opened};

fn files() -> Vec<Vec<String>> {
    let rows = |from: u32, to: u32| -> Vec<String> {
        (from..to)
            .map(|n| {
                let mixed = match n {
                    7 => r#","mixed":{"S":"x"}"#,
                    _ => r#","mixed":{"N":"1"}"#,
                };
                item(&format!("k{n}"), &format!(r#","n":{{"N":"{n}"}}{mixed}"#))
            })
            .collect()
    };
    vec![rows(0, 5), Vec::new(), rows(5, 9), rows(9, 10)]
}

async fn inferred(
    files: &[Vec<String>],
    sample: Option<usize>,
    threads: usize,
    shaping: &str,
) -> InferredFrom {
    let source: ExportSource<MemoryObjects> = opened(lake(files, false)).await;
    let task = InferTask {
        source: &source,
        sample,
        discriminator: None,
        shaping: Arc::new(Shaping::parse(shaping).unwrap()),
        threads,
    };
    infer(&task, |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_schema_is_that_of_all_files_in_any_order_on_any_number_of_threads() {
    let one = inferred(&files(), None, 1, "{}").await;
    assert_eq!((one.files, one.items, one.filtered), (4, 10, 0));
    insta::assert_snapshot!(one.inferred.schema.to_json(), @r#"{"entities":{"item":{"columns":[{"name":"id","type":"string"},{"name":"mixed","type":"json"},{"name":"n","type":"integer"}]}},"version":1}"#);
    let told: Vec<String> = one
        .inferred
        .conflicts
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("mixed: types N (9), S (1)")
            || told[0].contains("mixed: types S (1), N (9)"),
        "{told:?}"
    );
    let mut backwards = files();
    backwards.reverse();
    for threads in [1, 3] {
        let again = inferred(&backwards, None, threads, "{}").await;
        assert_eq!(again.inferred, one.inferred);
    }
}

#[tokio::test]
async fn a_sample_of_files_and_a_shaping_are_taken_into_account() {
    let some = inferred(&files(), Some(2), 2, "{}").await;
    // The first file and the third one.
    assert_eq!((some.files, some.items), (2, 9));
    let shaped = inferred(
        &files(),
        None,
        2,
        r#"{"columns":{"mixed":{"drop":true},"n":{"rename":"count"}},"keep":{"id":["k1","k2"]}}"#,
    )
    .await;
    assert_eq!((shaped.items, shaped.filtered), (10, 8));
    insta::assert_snapshot!(shaped.inferred.schema.to_json(), @r#"{"entities":{"item":{"columns":[{"name":"count","type":"integer"},{"name":"id","type":"string"}]}},"version":1}"#);
    assert!(shaped.inferred.conflicts.is_empty());
    assert_eq!(places(10, Some(3)), [0, 3, 6]);
    assert_eq!(places(2, Some(3)), [0, 1]);
}

async fn checked(files: &[Vec<String>], schema: &str, threads: usize) -> Checked {
    let source: ExportSource<MemoryObjects> = opened(lake(files, false)).await;
    let task = CheckTask {
        source: &source,
        schema: Arc::new(Schema::parse(schema).unwrap()),
        sample: None,
        shaping: Arc::default(),
        threads,
    };
    check(&task, |_| {}).await.unwrap()
}

#[tokio::test]
async fn what_was_inferred_fits_whole() {
    let schema = inferred(&files(), None, 2, "{}").await.inferred.schema;
    let checked = checked(&files(), &schema.to_json(), 2).await;
    assert_eq!((checked.rows, checked.whole), (10, 10));
    assert!(checked.misfits.is_empty());
}

#[tokio::test]
async fn what_does_not_fit_is_counted_by_attribute_reason_and_type() {
    let schema = r#"{"version":1,"entities":{"item":{"columns":[{"name":"id","type":"string"},{"name":"mixed","type":"integer"}]}}}"#;
    let mut files = files();
    files.push(vec![item("fits", r#","mixed":{"N":"5"}"#)]);
    let checked = checked(&files, schema, 2).await;
    assert_eq!((checked.files, checked.rows, checked.whole), (5, 11, 1));
    let misfit = |attribute: &str, reason, found: &str| Misfit {
        entity: "item".to_owned(),
        attribute: attribute.to_owned(),
        reason,
        found: found.to_owned(),
    };
    let expected = [
        (misfit("mixed", MisfitReason::OtherType, "S"), 1),
        (misfit("n", MisfitReason::NoColumn, "N"), 10),
    ];
    assert_eq!(checked.misfits, expected.into());
}

#[tokio::test]
async fn items_of_no_entity_are_whole_in_extra() {
    let schema = r#"{"version":1,"discriminator":"kind","entities":{"order":{"columns":[{"name":"id","type":"string"},{"name":"kind","type":"string"}]}}}"#;
    let files = [vec![
        item("a", r#","kind":{"S":"order"}"#),
        item("b", r#","kind":{"S":"other"}"#),
        item("c", ""),
    ]];
    let checked = checked(&files, schema, 1).await;
    let count = |rows, whole| EntityCount { rows, whole };
    assert_eq!(
        checked.entities,
        [
            ("tl_other".to_owned(), count(2, 0)),
            ("order".to_owned(), count(1, 1)),
        ]
        .into()
    );
}
