//! The contract of updates, of reads of one item, and of writes on the condition that an item is as it was read.

use records::{Item, TableShape, Value};

use super::items::{all, key_of, number, text, write_if};
use super::{item, kind};
use crate::{Condition, ErrorKind, ItemStore, ItemWrite, MAX_COMPARED_ATTRIBUTES, WriteOutcome};

pub(super) async fn updates(store: &impl ItemStore, shape: &TableShape) {
    let mut expected = item(shape, 1, "updated");
    let key = key_of(shape, &expected);
    let put = ItemWrite::Put(expected.clone());
    let outcome = write_if(store, shape, &put, &Condition::Exists).await;
    assert!(outcome.is_done());
    for (set, remove) in [
        (vec!["text", "new"], vec!["empty"]),
        (vec!["number"], vec!["list", "no such", "a.b #c"]),
        (vec![], vec!["new", "texts"]),
    ] {
        let set: Item = set
            .into_iter()
            .map(|name| (name.to_owned(), text("changed")))
            .collect();
        let update = ItemWrite::Update {
            key: key.clone(),
            set: set.clone(),
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        };
        let outcome = write_if(store, shape, &update, &Condition::Exists).await;
        assert_eq!(outcome, WriteOutcome::Updated(Some(expected.clone())));
        expected.extend(set);
        expected.retain(|name, _| !remove.contains(&name.as_str()));
        let found = store.item(shape, &key).await.expect("a read");
        assert_eq!(found, Some(expected.clone()));
    }
    assert_eq!(all(store, shape).await, [expected]);

    // An update makes the item where the condition does not ask for one.
    let absent = key_of(shape, &item(shape, 2, ""));
    assert_eq!(store.item(shape, &absent).await.expect("a read"), None);
    let update = ItemWrite::Update {
        key: absent.clone(),
        set: Item::from([("text".to_owned(), text("made"))]),
        remove: vec!["other".to_owned()],
    };
    let older = Condition::AbsentOrOlder {
        attribute: "text".to_owned(),
        than: text("made"),
    };
    let outcome = write_if(store, shape, &update, &older).await;
    assert_eq!(outcome, WriteOutcome::Updated(None));
    let mut made = absent.clone();
    made.insert("text".to_owned(), text("made"));
    let found = store.item(shape, &absent).await.expect("a read");
    assert_eq!(found, Some(made));
    let delete = ItemWrite::Delete(absent.clone());
    let outcome = write_if(store, shape, &delete, &Condition::Exists).await;
    assert!(outcome.is_done());
    assert_eq!(store.item(shape, &absent).await.expect("a read"), None);

    for key in [item(shape, 1, "more than a key"), Item::new()] {
        let error = store.item(shape, &key).await.err();
        assert_eq!(kind(error), Some(ErrorKind::Refused), "{key:?}");
    }
}

/// Every attribute is compared, whatever its type, and none besides those given.
pub(super) async fn held_items(store: &impl ItemStore, shape: &TableShape) {
    let mut held = item(shape, 1, "held");
    held.insert("n1".to_owned(), number("1"));
    held.insert("bytes".to_owned(), Value::binary_set(vec![vec![1], vec![]]));
    let put = ItemWrite::Put(held.clone());
    let replace = async |condition: &Condition| write_if(store, shape, &put, condition).await;
    assert_eq!(replace(&Condition::Exists).await, WriteOutcome::Done);
    let whole = Condition::holds(held.clone());
    assert_eq!(replace(&whole).await, WriteOutcome::Done);
    let refused = WriteOutcome::Refused(Some(held.clone()));
    for (name, value) in &held {
        let with = |value: Value| {
            let mut expected = held.clone();
            expected.insert(name.clone(), value);
            Condition::holds(expected)
        };
        let one = Condition::holds(Item::from([(name.clone(), value.clone())]));
        assert_eq!(replace(&one).await, WriteOutcome::Done, "{name}");
        let others = [text("another"), number("-7"), Value::L(vec![value.clone()])];
        for other in others {
            assert_eq!(replace(&with(other)).await, refused, "{name}");
        }
        let mut missing = held.clone();
        missing.insert(format!("{name} 2"), value.clone());
        assert_eq!(replace(&Condition::holds(missing)).await, refused, "{name}");
    }
    let equal = Item::from([
        ("n1".to_owned(), number("1.0")),
        (
            "texts".to_owned(),
            Value::string_set(vec!["b".to_owned(), "a".to_owned()]),
        ),
    ]);
    assert_eq!(replace(&Condition::holds(equal)).await, WriteOutcome::Done);
    let part = Item::from([("texts".to_owned(), Value::string_set(vec!["a".to_owned()]))]);
    assert_eq!(replace(&Condition::holds(part)).await, refused);
    let without = |absent: &str| Condition::Holds {
        attributes: Item::from([("n1".to_owned(), number("1"))]),
        absent: vec!["nowhere".to_owned(), absent.to_owned()],
    };
    assert_eq!(replace(&without("n2")).await, WriteOutcome::Done);
    assert_eq!(replace(&without("bytes")).await, refused);
    let most = (0..MAX_COMPARED_ATTRIBUTES).map(|n| (format!("attribute {n:03}"), number("1")));
    let most: Item = most.collect();
    assert_eq!(replace(&Condition::holds(most)).await, refused);
}
