//! Which attributes of an item are keys, and of what.

use records::{KeyAttribute, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, TableShape};

/// The key attributes of a table and its indexes, each once, and who needs them.
#[derive(Debug)]
pub(super) struct KeyPlan {
    pub(super) attributes: Vec<KeyAttribute>,
    pub(super) table: Vec<Role>,
    pub(super) indexes: Vec<Vec<Role>>,
}

/// A key attribute, by its number, and how long a value of it may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) attribute: usize,
    pub(super) max_bytes: usize,
    pub(super) is_partition: bool,
}

impl KeyPlan {
    pub(super) fn new(shape: &TableShape) -> Self {
        let mut attributes: Vec<KeyAttribute> = Vec::new();
        let mut role = |key: &KeyAttribute, is_partition: bool| {
            let known = attributes.iter().position(|other| other.name == key.name);
            let attribute = known.unwrap_or_else(|| {
                attributes.push(key.clone());
                attributes.len() - 1
            });
            Role {
                attribute,
                max_bytes: match is_partition {
                    true => MAX_PARTITION_KEY_BYTES,
                    false => MAX_SORT_KEY_BYTES,
                },
                is_partition,
            }
        };
        let mut table = vec![role(&shape.partition, true)];
        table.extend(shape.sort.iter().map(|key| role(key, false)));
        let indexes = shape
            .indexes
            .iter()
            .map(|index| {
                let partition = index.partition.iter().map(|key| (key, true));
                let sort = index.sort.iter().map(|key| (key, false));
                partition
                    .chain(sort)
                    .map(|(key, is_partition)| role(key, is_partition))
                    .collect()
            })
            .collect();
        Self {
            attributes,
            table,
            indexes,
        }
    }

    /// Names of the attributes that the table's own key needs.
    pub(super) fn table_attributes(&self) -> impl Iterator<Item = &str> {
        let name = |role: &Role| self.attributes[role.attribute].name.as_str();
        self.table.iter().map(name)
    }

    /// For each index the attributes, by their numbers.
    pub(super) fn index_attributes(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        self.indexes
            .iter()
            .map(|roles| roles.iter().map(|role| role.attribute))
    }
}
