use clap::Parser;
use records::{IndexShape, Item, KeyAttribute, KeyType, TableShape, item_from_dynamodb_json};
use storage::memory::MemoryTables;

use super::*;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    redrive: RedriveArgs,
}

fn arguments(more: &[&str]) -> RedriveArgs {
    let given = ["redrive", "--table", "offers", "--index", "pending"];
    let given = given.iter().chain(more);
    Arguments::try_parse_from(given)
        .expect("the arguments are good")
        .redrive
}

fn tables(markers: &[&str]) -> MemoryTables {
    let key = |name: &str| KeyAttribute {
        name: name.to_owned(),
        kind: KeyType::S,
    };
    let tables = MemoryTables::new().with_table(TableShape {
        name: "offers".to_owned(),
        partition: key("id"),
        sort: None,
        indexes: vec![IndexShape {
            name: "pending".to_owned(),
            partition: vec![key("processed")],
            sort: Vec::new(),
        }],
    });
    let items = markers.iter().enumerate().map(|(id, marker)| -> Item {
        let json = format!(
            r#"{{"id":{{"S":"{id}"}},"processed":{{"S":"{marker}"}},"processed_tries":{{"N":"3"}}}}"#
        );
        item_from_dynamodb_json(json).expect("an item")
    });
    tables.seed("offers", items);
    tables
}

fn held(tables: &MemoryTables) -> Vec<String> {
    let items = tables.scan("offers").into_iter();
    items
        .map(|item| {
            let mut json = Vec::new();
            records::write_item_plain_json(&item, &mut json);
            String::from_utf8(json).expect("JSON")
        })
        .collect()
}

async fn redriven(args: &RedriveArgs, tables: &MemoryTables) -> Redriven {
    let markers = markers(args).expect("the markers are good");
    put_back(args, &markers, tables).await.expect("it works")
}

#[tokio::test]
async fn failed_items_are_pending_again_and_others_are_as_they_were() {
    let tables = tables(&["failed", "true", "failed", "false"]);
    let counted = arguments(&["--dry-run"]);
    assert_eq!(
        text(&counted, redriven(&counted, &tables).await),
        "2 items of offers are set aside; without --dry-run they become pending again."
    );
    assert!(held(&tables)[0].contains("failed"));

    let args = arguments(&[]);
    let done = redriven(&args, &tables).await;
    assert_eq!(
        text(&args, done),
        "2 of 2 items of offers are pending again; the next run or the drain takes them."
    );
    assert_eq!(
        json_text(&args, done),
        r#"{"changed_meanwhile":0,"command":"redrive","dry_run":false,"found":2,"index":"pending","put_back":2,"table":"offers"}"#
    );
    assert_eq!(
        held(&tables),
        [
            r#"{"id":"0","processed":"false","processed_tries":0}"#,
            r#"{"id":"1","processed":"true","processed_tries":3}"#,
            r#"{"id":"2","processed":"false","processed_tries":0}"#,
            r#"{"id":"3","processed":"false","processed_tries":3}"#,
        ]
    );
    assert_eq!(
        text(&args, redriven(&args, &tables).await),
        "No item of offers is set aside."
    );
}

#[tokio::test]
async fn every_lane_gets_its_own_marker_back() {
    let tables = tables(&["failed#0", "failed#1", "failed#2"]);
    let args = arguments(&[
        "--lanes",
        "2",
        "--pending",
        "false#{shard}",
        "--failed",
        "failed#{shard}",
    ]);
    assert_eq!(redriven(&args, &tables).await.put_back, 2);
    let markers: Vec<bool> = ["false#0", "false#1", "failed#2"]
        .iter()
        .zip(held(&tables))
        .map(|(marker, item)| item.contains(marker))
        .collect();
    assert_eq!(markers, [true; 3]);
}

#[tokio::test]
async fn what_cannot_be_used_is_said() {
    let message = |more: &[&str]| {
        let error = markers(&arguments(more)).expect_err("it cannot be used");
        assert!(error.is_usage());
        error.to_string()
    };
    assert_eq!(
        message(&["--lanes", "2"]),
        "--pending \"false\": expected a text with {shard} in it, since there are several lanes"
    );
    assert_eq!(
        message(&["--failed", "false"]),
        "--failed \"false\": expected another text than the pending and the done marker's"
    );
    let args = arguments(&["--marker", "state"]);
    let markers = markers(&args).expect("the markers are good");
    let error = put_back(&args, &markers, &tables(&[])).await;
    let error = error.expect_err("the index is another attribute's");
    assert!(error.is_usage());
    assert!(
        error.to_string().starts_with(
            "index \"pending\" of table offers has the partition key processed (S) (delete it first"
        ),
        "{error}"
    );
    let none = RedriveArgs {
        table: "offer".to_owned(),
        ..arguments(&[])
    };
    let error = put_back(&none, &markers, &tables(&[])).await;
    let error = error.expect_err("there is no such table");
    assert!(
        error
            .to_string()
            .starts_with("there is no table offer: check --table"),
        "{error}"
    );
}
