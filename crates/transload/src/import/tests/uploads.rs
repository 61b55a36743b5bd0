//! A file of this machine becomes an object, once.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::MemoryObjects;
use tempfile::TempDir;

use super::*;

const KEY: &str = "imports/ids/ids.csv";

fn file(content: &[u8]) -> (TempDir, LocalFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.csv");
    fs::write(&path, content).unwrap();
    let file = LocalFile::open(&path).unwrap();
    (folder, file)
}

fn large() -> Vec<u8> {
    (0..20_000_000_u32).map(|n| (n % 251) as u8).collect()
}

async fn placed<O: ObjectStore + 'static>(
    store: &Rc<O>,
    file: &LocalFile,
    table_exists: bool,
) -> Result<([u8; 32], Vec<u64>), ImportError> {
    let mut seen = Vec::new();
    let fingerprint = place_file(store, "lake", "ids", file, table_exists, |bytes| {
        seen.push(bytes)
    })
    .await?;
    Ok((fingerprint, seen))
}

#[tokio::test]
async fn a_file_becomes_an_object_once() {
    for content in [b"id\n1\n".to_vec(), large()] {
        let store = Rc::new(MemoryObjects::new().with_versioned_bucket("lake"));
        let (_folder, file) = file(&content);
        let (first, seen) = placed(&store, &file, false).await.unwrap();
        assert_eq!(seen.last(), Some(&(content.len() as u64)));
        assert!(seen.is_sorted());
        assert!(store.content("lake", KEY).unwrap() == content);
        let listed = store.list("lake", "").await.unwrap();
        // The same content is left as it is, also where a table is in the way.
        for table_exists in [false, true] {
            let (again, _) = placed(&store, &file, table_exists).await.unwrap();
            assert_eq!(again, first);
        }
        assert_eq!(store.list("lake", "").await.unwrap(), listed);
        // Other content of the same size takes its place, and has another fingerprint.
        let mut other = content.clone();
        *other.last_mut().unwrap() = b' ';
        fs::write(file.path(), &other).unwrap();
        let file = LocalFile::open(file.path()).unwrap();
        let refused = placed(&store, &file, true).await.unwrap_err();
        assert!(matches!(refused, ImportError::TableExists(_)));
        let (changed, _) = placed(&store, &file, false).await.unwrap();
        assert_ne!(changed, first);
        assert!(store.content("lake", KEY).unwrap() == other);
        assert_eq!(store.open_uploads(), []);
    }
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_opened_is_not_imported() {
    // Also one of the same size, of which an upload alone sees nothing.
    for (content, later) in [
        (b"id\n1\n".to_vec(), b"id\n2\n".to_vec()),
        (b"id\n1\n".to_vec(), b"id\n1\n2\n".to_vec()),
        (large(), b"id\n1\n".to_vec()),
    ] {
        let store = Rc::new(MemoryObjects::new().with_bucket("lake"));
        let (folder, file) = file(&content);
        // A clock that is coarser than two writes must not hide the second one.
        fs::write(file.path(), &later).unwrap();
        let written = fs::File::options().append(true).open(file.path()).unwrap();
        let tomorrow =
            fs::metadata(folder.path()).unwrap().modified().unwrap() + Duration::from_secs(86_400);
        written.set_modified(tomorrow).unwrap();
        let refused = placed(&store, &file, false).await.unwrap_err();
        assert!(
            refused.to_string().ends_with("nobody writes it"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_named_with_what_helps() {
    let store = Rc::new(MemoryObjects::new().with_bucket("other"));
    let (_folder, file) = file(b"id\n1\n");
    let refused = placed(&store, &file, false).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no bucket lake: check --bucket (output LakeBucket of the stack) and the region (AWS_REGION or the profile's)"
    );
    assert!(refused.is_usage());
    let missing = about_machine(MACHINE, ErrorKind::NotFound);
    assert!(
        missing.starts_with(&format!("there is no state machine {MACHINE}")),
        "{missing}"
    );
    assert!(about_machine(MACHINE, ErrorKind::Denied).contains("states:StartExecution"));
    assert!(about_machine(MACHINE, ErrorKind::Throttled).contains("again is safe"));
}

#[tokio::test]
async fn an_object_that_the_import_would_take_too_is_in_the_way() {
    let store = Rc::new(MemoryObjects::new().with_bucket("lake"));
    store.seed("lake", "imports/ids/ids.csv.gz", "x", &[]);
    store.seed("lake", "imports/ids/id", "x", &[]);
    let (_folder, file) = file(b"id\n1\n");
    let refused = placed(&store, &file, false).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "s3://lake/imports/ids/ids.csv.gz is there too, and an import of imports/ids/ids.csv would take it with it, as its key begins in the same way: delete it, or rename the file"
    );
    assert_eq!(store.content("lake", KEY), None);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_leaves_nothing_and_can_be_repeated() {
    let content = large();
    for (operation, nth) in [
        ("CreateMultipartUpload", 1),
        ("UploadPart", 2),
        ("CompleteMultipartUpload", 1),
    ] {
        let plan = FaultPlan::seeded(1);
        let memory = MemoryObjects::new().with_bucket("lake");
        let store = Rc::new(Failing::new(memory, plan.clone()));
        plan.inject(operation, nth, Fault::Fail(ErrorKind::Denied));
        let (_folder, file) = file(&content);
        let failed = placed(&store, &file, false).await.unwrap_err();
        assert!(matches!(
            failed,
            ImportError::Upload(UploadError::Denied { .. })
        ));
        assert_eq!(store.inner().open_uploads(), [], "{operation}");
        assert_eq!(store.inner().content("lake", KEY), None);
        placed(&store, &file, false).await.unwrap();
        assert!(store.inner().content("lake", KEY).unwrap() == content);
    }
}
