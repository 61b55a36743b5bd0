use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{ImportProgress, StorageError, TableImports};

/// Imports in memory, which are what the test says of them.
#[derive(Debug, Clone, Default)]
pub struct MemoryImports {
    newest: Arc<Mutex<BTreeMap<String, ImportProgress>>>,
}

impl MemoryImports {
    /// No imports.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this is the newest import into the table with this ARN, or how far it is by now.
    pub fn report(&self, table_arn: &str, progress: ImportProgress) {
        self.lock().insert(table_arn.to_owned(), progress);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ImportProgress>> {
        self.newest
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl TableImports for MemoryImports {
    async fn newest_import(&self, table_arn: &str) -> Result<Option<ImportProgress>, StorageError> {
        Ok(self.lock().get(table_arn).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImportStatus;

    #[tokio::test]
    async fn an_import_is_as_it_was_last_reported() {
        let imports = MemoryImports::new();
        let progress = |processed_items| ImportProgress {
            arn: "import".to_owned(),
            status: ImportStatus::Running,
            processed_bytes: 0,
            processed_items,
            imported_items: 0,
            errors: 0,
            log_group: None,
            failure: None,
        };
        imports.report("offers", progress(1));
        imports.report("offers", progress(2));
        let newest = imports.clone().newest_import("offers").await.unwrap();
        assert_eq!(newest, Some(progress(2)));
        assert_eq!(imports.newest_import("orders").await.unwrap(), None);
    }
}
