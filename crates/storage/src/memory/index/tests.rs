use records::Number;

use super::super::MemoryTables;
use super::*;
use crate::{Condition, ErrorKind, ItemStore, ItemWrite};

fn key(name: &str, kind: KeyType) -> KeyAttribute {
    KeyAttribute {
        name: name.to_owned(),
        kind,
    }
}

fn shape() -> TableShape {
    let index = |name: &str, partition: &[(&str, KeyType)], sort: &[(&str, KeyType)]| {
        let keys = |keys: &[(&str, KeyType)]| -> Vec<KeyAttribute> {
            keys.iter().map(|(name, kind)| key(name, *kind)).collect()
        };
        IndexShape {
            name: name.to_owned(),
            partition: keys(partition),
            sort: keys(sort),
        }
    };
    TableShape {
        name: "offers".to_owned(),
        partition: key("id", KeyType::S),
        sort: None,
        indexes: vec![
            index("pending", &[("marker", KeyType::S)], &[]),
            index(
                "by-price",
                &[("marker", KeyType::S)],
                &[("price", KeyType::N)],
            ),
            index("numbers", &[("price", KeyType::N)], &[]),
            index(
                "pairs",
                &[("marker", KeyType::S), ("other", KeyType::S)],
                &[],
            ),
        ],
    }
}

fn text(text: &str) -> Value {
    Value::S(text.to_owned())
}

fn number(text: &str) -> Value {
    Value::N(Number::parse(text).unwrap())
}

fn item(id: &str, members: &[(&str, Value)]) -> Item {
    let mut item = Item::from([("id".to_owned(), text(id))]);
    let members = members.iter();
    item.extend(members.map(|(name, value)| ((*name).to_owned(), value.clone())));
    item
}

fn pending(id: &str) -> Item {
    item(id, &[("marker", text("false"))])
}

fn with(items: impl IntoIterator<Item = Item>) -> MemoryTables {
    let tables = MemoryTables::new().with_table(shape());
    tables.seed("offers", items);
    tables
}

fn page(index: &str) -> IndexPage {
    IndexPage {
        index: index.to_owned(),
        attribute: "marker".to_owned(),
        value: "false".to_owned(),
        select: IndexSelect::Keys,
        limit: None,
        start: None,
    }
}

async fn ids(tables: &MemoryTables, page: &IndexPage) -> Vec<String> {
    let entries = tables.index_page(&shape(), page).await.unwrap();
    assert_eq!(entries.count, entries.keys.len() as u64);
    let ids = entries.keys.into_iter().map(|key| {
        assert_eq!(key.len(), 1, "only the table's key: {key:?}");
        match &key["id"] {
            Value::S(id) => id.clone(),
            other => panic!("{other:?}"),
        }
    });
    ids.collect()
}

#[tokio::test]
async fn an_index_has_the_items_with_all_of_its_key_in_the_order_of_its_sort_key() {
    let offer = |id: &str, marker: &str, price: &str| {
        item(id, &[("marker", text(marker)), ("price", number(price))])
    };
    let tables = with([
        offer("a", "false", "10"),
        offer("b", "false", "9"),
        offer("c", "true", "1"),
        offer("d", "false", "-1"),
        offer("z", "false", "9.0"),
        pending("without a price"),
        item("without a marker", &[("price", number("1"))]),
    ]);
    assert_eq!(ids(&tables, &page("by-price")).await, ["d", "b", "z", "a"]);
    let unsorted = ["a", "b", "d", "z", "without a price"];
    assert_eq!(ids(&tables, &page("pending")).await, unsorted);

    let entries = async |limit, start| {
        let page = IndexPage {
            limit: Some(limit),
            start,
            ..page("by-price")
        };
        tables.index_page(&shape(), &page).await.unwrap()
    };
    let first = entries(2, None).await;
    assert_eq!(first.next, Some(offer("b", "false", "9")));
    // The place after which a page begins stays, also where its item is there no more.
    let gone = ItemWrite::Delete(item("b", &[]));
    let deleted = tables.write_if(&shape(), &gone, &Condition::Exists).await;
    deleted.unwrap();
    let second = entries(2, first.next).await;
    assert_eq!(second.keys, [item("z", &[]), item("a", &[])]);
    // A page that its limit ends says where to go on even if nothing follows.
    assert_eq!(second.next, Some(offer("a", "false", "10")));
    let third = entries(2, second.next).await;
    assert_eq!((third.keys, third.count, third.next), (vec![], 0, None));
}

#[tokio::test]
async fn a_count_names_no_keys_and_goes_on_like_a_page() {
    let tables = with(["a", "b", "c"].map(pending));
    let count = IndexPage {
        select: IndexSelect::Count,
        limit: Some(2),
        ..page("pending")
    };
    let first = tables.index_page(&shape(), &count).await.unwrap();
    assert_eq!((first.count, first.keys), (2, vec![]));
    assert_eq!(first.next, Some(pending("b")));
    let rest = IndexPage {
        start: first.next,
        ..count
    };
    let second = tables.index_page(&shape(), &rest).await.unwrap();
    assert_eq!((second.count, second.next), (1, None));
}

#[tokio::test]
async fn a_page_ends_at_1_mib_of_keys() {
    let large = "x".repeat(2_000);
    let tables = with((0..1_000).map(|n| pending(&format!("{n:03}{large}"))));
    let (mut found, mut pages, mut next) = (Vec::new(), Vec::new(), page("pending"));
    while pages.len() < 10 {
        let entries = tables.index_page(&shape(), &next).await.unwrap();
        pages.push(entries.count);
        found.extend(entries.keys);
        if entries.next.is_none() {
            break;
        }
        next.start = entries.next;
    }
    // `id`, its 2,003 bytes, `marker` and `false`.
    assert_eq!(pages, [1_048_576 / 2_016, 1_000 - 1_048_576 / 2_016]);
    let expected: Vec<Item> = tables
        .scan("offers")
        .iter()
        .map(|item| key_attributes(&shape(), item))
        .collect();
    assert!(found == expected, "all keys in their order");
}

#[tokio::test]
async fn refuses_queries_that_dynamodb_refuses() {
    let tables = with(["a", "b"].map(pending));
    type Spoil = fn(&mut IndexPage);
    let refused: [(&str, Spoil); 12] = [
        ("no such index", |page| page.index = "no".to_owned()),
        ("another attribute", |page| page.attribute = "id".to_owned()),
        ("two attributes", |page| page.index = "pairs".to_owned()),
        ("a number", |page| {
            page.index = "numbers".to_owned();
            page.attribute = "price".to_owned();
        }),
        ("an empty page", |page| page.limit = Some(0)),
        ("an empty value", |page| page.value = String::new()),
        ("a long value", |page| page.value = "x".repeat(2_049)),
        ("a start in no index", |page| {
            page.start = Some(item("a", &[]))
        }),
        ("a start elsewhere", |page| {
            page.start = Some(item("a", &[("marker", text("true"))]))
        }),
        ("a start with more", |page| {
            page.start = Some(item("a", &[("marker", text("false")), ("x", text("y"))]))
        }),
        ("a start without a key", |page| {
            page.start = Some(Item::from([("marker".to_owned(), text("false"))]))
        }),
        ("a start without a price", |page| {
            page.index = "by-price".to_owned();
            page.start = Some(pending("a"));
        }),
    ];
    for (name, spoil) in refused {
        let mut page = page("pending");
        spoil(&mut page);
        let error = tables.index_page(&shape(), &page).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{name}");
    }
    let elsewhere = TableShape {
        name: "orders".to_owned(),
        ..shape()
    };
    let error = tables.index_page(&elsewhere, &page("pending")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_index_lags_behind_until_it_catches_up() {
    let tables = with(["a", "b", "c"].map(pending));
    tables.lag_index("offers");
    let done = |id: &str| ItemWrite::Update {
        key: item(id, &[]),
        set: Item::from([("marker".to_owned(), text("true"))]),
        remove: Vec::new(),
    };
    let gone = ItemWrite::Delete(item("b", &[]));
    for write in [done("a"), gone] {
        let answer = tables.write_if(&shape(), &write, &Condition::Exists).await;
        answer.unwrap();
    }
    tables.seed("offers", ["d", "e"].map(pending));
    let seen = async || ids(&tables, &page("pending")).await;
    assert_eq!(seen().await, ["a", "b", "c"]);
    // Only the index lags.
    let read = tables.item(&shape(), &item("b", &[])).await.unwrap();
    assert_eq!((read, tables.scan("offers").len()), (None, 4));

    let is = |id: &'static str| move |key: &Item| *key == item(id, &[]);
    tables.catch_up("offers", is("a"));
    assert_eq!(seen().await, ["b", "c"]);
    tables.catch_up("offers", is("b"));
    tables.catch_up("offers", is("e"));
    assert_eq!(seen().await, ["c", "e"]);
    // It goes on lagging: what is written now is not seen either, also of a key that has caught up.
    tables.seed("offers", ["a", "f"].map(pending));
    assert_eq!(seen().await, ["c", "e"]);
    tables.catch_up_all("offers");
    assert_eq!(seen().await, ["a", "c", "d", "e", "f"]);
    tables.seed("offers", [pending("b")]);
    assert_eq!(seen().await, ["a", "b", "c", "d", "e", "f"]);
    tables.catch_up("offers", |_| true);
    assert_eq!(
        seen().await,
        ["a", "b", "c", "d", "e", "f"],
        "nothing lags any more"
    );
}
