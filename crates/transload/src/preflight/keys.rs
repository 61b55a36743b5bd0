//! Keys of a table that is not there yet, as options of a command say them.

use records::{IndexShape, KeyAttribute, KeyType, TableShape};

/// Global secondary indexes of a table unless the quota is raised (Developer Guide, "Service, account, and table quotas").
const MAX_INDEXES: usize = 20;

/// A key: `id`, `id:S`, `account:S,offer:N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// The partition key.
    pub partition: KeyAttribute,
    /// The sort key, where there is one.
    pub sort: Option<KeyAttribute>,
}

/// A global secondary index: `by-status:status`, `by-status:status:S,created:N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub key: KeySpec,
}

impl KeySpec {
    /// Reads an option's text.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected ATTRIBUTE[:TYPE][,ATTRIBUTE[:TYPE]], such as id:S or account:S,offer:N; a TYPE is S, N or B";
        let parts: Vec<KeyAttribute> = text
            .split(',')
            .map(attribute)
            .collect::<Option<_>>()
            .ok_or(EXPECTED)?;
        match parts.as_slice() {
            [partition] => Ok(Self {
                partition: partition.clone(),
                sort: None,
            }),
            [partition, sort] if partition.name != sort.name => Ok(Self {
                partition: partition.clone(),
                sort: Some(sort.clone()),
            }),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

impl IndexSpec {
    /// Reads an option's text.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected NAME:ATTRIBUTE[:TYPE][,ATTRIBUTE[:TYPE]], such as processed-index:processed:S; a NAME has 3 to 255 of a-z, A-Z, 0-9, '_', '-' and '.'".to_owned()
        };
        let (name, key) = text.split_once(':').ok_or_else(expected)?;
        if !is_name(name) {
            return Err(expected());
        }
        Ok(Self {
            name: name.to_owned(),
            key: KeySpec::parse(key).map_err(|_| expected())?,
        })
    }
}

/// `id` or `id:N`; a text unless it says otherwise.
fn attribute(text: &str) -> Option<KeyAttribute> {
    let (name, kind) = match text.rsplit_once(':') {
        Some((name, "S")) => (name, KeyType::S),
        Some((name, "N")) => (name, KeyType::N),
        Some((name, "B")) => (name, KeyType::B),
        Some(_) => return None,
        None => (text, KeyType::S),
    };
    // A name of a key has 255 bytes at the most (Developer Guide, "Naming rules and data types").
    (1..=255).contains(&name.len()).then(|| KeyAttribute {
        name: name.to_owned(),
        kind,
    })
}

/// Whether a table or an index may be called so (Developer Guide, "Naming rules and data types").
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (3..=255).contains(&name.len()) && name.bytes().all(allowed)
}

/// The table that these options speak of.
///
/// # Errors
/// What they contradict each other in.
pub fn table_shape(
    table: &str,
    key: &KeySpec,
    indexes: &[IndexSpec],
) -> Result<TableShape, String> {
    if indexes.len() > MAX_INDEXES {
        return Err(format!("a table has at most {MAX_INDEXES} indexes"));
    }
    let mut kinds = std::collections::BTreeMap::new();
    let keys = std::iter::once(key).chain(indexes.iter().map(|index| &index.key));
    for attribute in keys.flat_map(|key| std::iter::once(&key.partition).chain(&key.sort)) {
        let kind = *kinds.entry(&attribute.name).or_insert(attribute.kind);
        if kind != attribute.kind {
            return Err(format!(
                "the attribute {:?} is said to be {kind} and {}: expected one type",
                attribute.name, attribute.kind
            ));
        }
    }
    for (nth, index) in indexes.iter().enumerate() {
        if indexes[..nth].iter().any(|other| other.name == index.name) {
            return Err(format!(
                "the index {:?} is there twice: expected a name once",
                index.name
            ));
        }
    }
    Ok(TableShape {
        name: table.to_owned(),
        partition: key.partition.clone(),
        sort: key.sort.clone(),
        indexes: indexes.iter().map(index_shape).collect(),
    })
}

fn index_shape(index: &IndexSpec) -> IndexShape {
    IndexShape {
        name: index.name.clone(),
        partition: vec![index.key.partition.clone()],
        sort: index.key.sort.iter().cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<(String, KeyType)> {
        let key = KeySpec::parse(text).unwrap();
        std::iter::once(key.partition)
            .chain(key.sort)
            .map(|attribute| (attribute.name, attribute.kind))
            .collect()
    }

    #[test]
    fn a_key_has_one_or_two_attributes_with_types() {
        assert_eq!(key("id"), [("id".to_owned(), KeyType::S)]);
        assert_eq!(
            key("account:B,a:b:N"),
            [
                ("account".to_owned(), KeyType::B),
                ("a:b".to_owned(), KeyType::N)
            ]
        );
        for bad in ["", ":S", "id:X", "id:s", "a,b,c", "a,", "a,a:N"] {
            let message = KeySpec::parse(bad).unwrap_err();
            assert!(message.starts_with("expected ATTRIBUTE"), "{bad}");
        }
    }

    #[test]
    fn an_index_has_a_name_and_a_key() {
        let index = IndexSpec::parse("processed-index:processed:S,created:N").unwrap();
        assert_eq!(index.name, "processed-index");
        assert_eq!(index.key, KeySpec::parse("processed,created:N").unwrap());
        for bad in [
            "",
            "index",
            "ab:processed",
            "a b c:x",
            "index:",
            "index:x:Y",
        ] {
            let message = IndexSpec::parse(bad).unwrap_err();
            assert!(message.starts_with("expected NAME"), "{bad}");
        }
    }

    #[test]
    fn an_attribute_has_one_type_and_an_index_one_name() {
        let key = KeySpec::parse("id").unwrap();
        let index = |text: &str| IndexSpec::parse(text).unwrap();
        let shape = table_shape("ids", &key, &[index("one:a,id"), index("two:id,b:N")]).unwrap();
        assert_eq!(shape.indexes[1].sort[0].kind, KeyType::N);
        let wrong = table_shape("ids", &key, &[index("one:a,id:N")]);
        assert_eq!(
            wrong.unwrap_err(),
            "the attribute \"id\" is said to be S and N: expected one type"
        );
        let twice = table_shape("ids", &key, &[index("one:a"), index("one:b")]);
        assert_eq!(
            twice.unwrap_err(),
            "the index \"one\" is there twice: expected a name once"
        );
        let many: Vec<IndexSpec> = (0..21).map(|n| index(&format!("i{n:02}:a"))).collect();
        assert_eq!(
            table_shape("ids", &key, &many).unwrap_err(),
            "a table has at most 20 indexes"
        );
    }
}
