//! What lies in the lake, compared with what the ledger's rows say: readers of a folder read whatever lies there.

use storage::{ObjectStore, StorageError};

/// Objects whose keys begin alike, of which each should have been made of a job's parts.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    /// The lake.
    pub bucket: &'a str,
    /// What their keys begin with.
    pub prefix: &'a str,
    /// What they were made of: `file of this export`, say.
    pub part: &'static str,
}

/// Why a folder does not hold what it should, or is not known to.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The store failed.
    #[error("the objects that were written cannot be listed")]
    Store(#[from] StorageError),
    /// An object that no part made.
    #[error(
        "{name} is of no {part}: expected only what was made of each; move it away and start the machine again"
    )]
    Foreign {
        /// `s3://bucket/key`.
        name: String,
        /// [`Folder::part`].
        part: &'static str,
    },
    /// An object that is gone.
    #[error("{name} is not there: expected {expected}, as it was written")]
    Lacking {
        /// `s3://bucket/key`.
        name: String,
        /// What it should be.
        expected: String,
    },
    /// An object that is another one.
    #[error("{name} has {found} bytes: expected {expected}, as they were written")]
    Size {
        /// `s3://bucket/key`.
        name: String,
        /// Its bytes.
        found: u64,
        /// Those that were written.
        expected: u64,
    },
}

/// Compares the objects of a folder with what was made, and says how many bytes they have together. `made` is in the order of
/// the keys, with bytes where they are known; of what lies there, `counts` says by its key whether it counts at all.
///
/// # Errors
/// The first object in that order that was not made, is not there or has another size; and if the store fails.
pub async fn compare_folder<'a, O: ObjectStore>(
    objects: &O,
    folder: Folder<'_>,
    made: impl IntoIterator<Item = (&'a str, Option<u64>)>,
    counts: impl Fn(&str) -> bool,
) -> Result<u64, FolderError> {
    let name = |key: &str| format!("s3://{}/{key}", folder.bucket);
    let lacking = |(key, bytes): (&str, Option<u64>)| FolderError::Lacking {
        name: name(key),
        expected: bytes.map_or_else(|| "it".to_owned(), |bytes| format!("{bytes} bytes")),
    };
    let listed = objects.list(folder.bucket, folder.prefix).await?;
    let mut made = made.into_iter().peekable();
    let mut bytes = 0;
    for object in listed.iter().filter(|object| counts(&object.key)) {
        match made.next_if(|(key, _)| *key <= object.key.as_str()) {
            Some((key, expected)) if key == object.key => {
                if let Some(expected) = expected
                    && expected != object.bytes
                {
                    return Err(FolderError::Size {
                        name: name(key),
                        found: object.bytes,
                        expected,
                    });
                }
            }
            Some(before) => return Err(lacking(before)),
            None => {
                return Err(FolderError::Foreign {
                    name: name(&object.key),
                    part: folder.part,
                });
            }
        }
        bytes += object.bytes;
    }
    match made.next() {
        Some(missing) => Err(lacking(missing)),
        None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use storage::ErrorKind;
    use storage::failing::{Failing, Fault, FaultPlan};
    use storage::memory::MemoryObjects;

    use super::*;

    const FOLDER: Folder<'static> = Folder {
        bucket: "lake",
        prefix: "f/",
        part: "file of this export",
    };

    fn lake(there: &BTreeMap<String, u64>) -> MemoryObjects {
        let objects = MemoryObjects::new().with_bucket("lake");
        for (key, bytes) in there {
            let size = usize::try_from(*bytes).expect("it is small");
            objects.seed("lake", key, vec![b'x'; size], &[]);
        }
        // Of another folder.
        objects.seed("lake", "e", "x", &[]);
        objects.seed("lake", "g/a", "x", &[]);
        objects
    }

    fn compare<O: ObjectStore>(
        objects: &O,
        made: &BTreeMap<String, Option<u64>>,
    ) -> Result<u64, FolderError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime starts");
        let made = made.iter().map(|(key, bytes)| (key.as_str(), *bytes));
        runtime.block_on(compare_folder(objects, FOLDER, made, |key| {
            key != "f/_SUCCESS.json"
        }))
    }

    fn map<T: Copy>(pairs: &[(&str, T)]) -> BTreeMap<String, T> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), *value))
            .collect()
    }

    #[test]
    fn each_fault_names_the_object_and_what_was_expected() {
        let made = map(&[("f/a", Some(3)), ("f/b", None)]);
        let fault = |there: &[(&str, u64)]| {
            let compared = compare(&lake(&map(there)), &made);
            compared.expect_err("it differs").to_string()
        };
        assert_eq!(
            fault(&[("f/a", 3), ("f/aa", 1), ("f/b", 2)]),
            "s3://lake/f/aa is of no file of this export: expected only what was made of each; move it away and start the machine again"
        );
        assert_eq!(
            fault(&[("f/b", 3)]),
            "s3://lake/f/a is not there: expected 3 bytes, as it was written"
        );
        assert_eq!(
            fault(&[("f/a", 3)]),
            "s3://lake/f/b is not there: expected it, as it was written"
        );
        assert_eq!(
            fault(&[("f/a", 2), ("f/b", 3)]),
            "s3://lake/f/a has 2 bytes: expected 3, as they were written"
        );
        let whole = lake(&map(&[("f/_SUCCESS.json", 9), ("f/a", 3), ("f/b", 4)]));
        assert_eq!(compare(&whole, &made).expect("it is the same"), 7);

        let plan = FaultPlan::seeded(1);
        plan.inject("ListObjectsV2", 1, Fault::Fail(ErrorKind::Denied));
        let failed = compare(&Failing::new(whole, plan), &made);
        assert!(matches!(failed, Err(FolderError::Store(_))), "{failed:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_folder_is_right_when_the_maps_are_the_same(
            there in proptest::collection::btree_map("f/[ab]{1,2}", 0..3_u64, 0..4),
            made in proptest::collection::btree_map("f/[ab]{1,2}", proptest::option::of(0..3_u64), 0..4),
        ) {
            let same = there.keys().eq(made.keys())
                && made.iter().all(|(key, bytes)| bytes.is_none_or(|bytes| bytes == there[key]));
            let compared = compare(&lake(&there), &made).ok();
            prop_assert_eq!(compared, same.then(|| there.values().sum()));
        }
    }
}
