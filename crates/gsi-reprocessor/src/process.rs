//! What is done with an item: the one part of this function that is meant to be replaced.
//!
//! `examples/own_process.rs` is a whole function with a process of its own.

use records::{Item, write_item_dynamodb_json, write_item_plain_json};

/// Turns an item into the body of an object.
#[expect(
    async_fn_in_trait,
    reason = "only called inside one function, on one thread"
)]
pub trait Process {
    /// The body for one item, which is as the table holds it, without the count of tries.
    ///
    /// Many calls run at the same time, on one thread. An item may come again: after a crash between its object and its mark,
    /// or because it was changed in between. The body of an unchanged item should be the same each time; it is then written
    /// once. In bundles a body is a part of a line, so it must be JSON there.
    ///
    /// # Errors
    /// [`ProcessError::Item`] counts as a try, and after a set number of them the item is set aside; with
    /// [`ProcessError::Service`] it stays pending for as long as it takes.
    async fn process(&self, item: &Item) -> Result<Vec<u8>, ProcessError>;
}

/// Why an item could not be processed.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The item itself is to blame; the text says how, and goes into the object that keeps the item.
    #[error("{0}")]
    Item(String),
    /// Something that the process needs does not work now; the item is as good as any other.
    #[error("a service that processing needs failed")]
    Service(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The process that is there if nobody replaces it: the item as JSON.
#[derive(Debug, Clone, Copy)]
pub struct ItemJson(pub ItemForm);

/// A form of an item in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemForm {
    /// `{"id":"1","tags":["a"]}`: numbers with all their digits, bytes as base64 text, sets as arrays.
    Plain,
    /// `{"id":{"S":"1"},"tags":{"SS":["a"]}}`: with the types, as exports have it.
    DynamoDb,
}

impl std::str::FromStr for ItemForm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "plain" => Ok(Self::Plain),
            "dynamodb" => Ok(Self::DynamoDb),
            _ => Err(()),
        }
    }
}

impl Process for ItemJson {
    async fn process(&self, item: &Item) -> Result<Vec<u8>, ProcessError> {
        let mut body = Vec::new();
        match self.0 {
            ItemForm::Plain => write_item_plain_json(item, &mut body),
            ItemForm::DynamoDb => write_item_dynamodb_json(item, &mut body),
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use records::item_from_dynamodb_json;

    use super::*;

    #[tokio::test]
    async fn the_item_is_written_with_every_digit() {
        let json = r#"{"id":{"S":"1"},"n":{"N":"12345678901234567890123456789012345678"},"s":{"SS":["a","b"]}}"#;
        let item = item_from_dynamodb_json(json).unwrap();
        let typed = ItemJson(ItemForm::DynamoDb).process(&item).await.unwrap();
        assert_eq!(String::from_utf8(typed).unwrap(), json);
        let plain = ItemJson(ItemForm::Plain).process(&item).await.unwrap();
        assert_eq!(
            String::from_utf8(plain).unwrap(),
            r#"{"id":"1","n":12345678901234567890123456789012345678,"s":["a","b"]}"#
        );
    }
}
