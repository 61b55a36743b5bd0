use std::io::Write;

use md5::{Digest, Md5};
use proptest::prelude::*;
use records::base64_text;
use storage::failing::{Failing, Fault, FaultPlan};
use storage::memory::MemoryObjects;

use super::*;
use crate::describe;

pub(crate) const FOLDER: &str = "copies/AWSDynamoDB/01790000000000-0a1c3e57";
pub(crate) const ADDRESS: &str = "s3://lake/copies/AWSDynamoDB/01790000000000-0a1c3e57/";

pub(crate) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The objects of an export by their keys, as DynamoDB writes them: each file with these lines.
pub(crate) fn export(files: &[Vec<String>], incremental: bool) -> Vec<(String, Vec<u8>)> {
    let data = match incremental {
        true => "copies/AWSDynamoDB/data".to_owned(),
        false => format!("{FOLDER}/data"),
    };
    let (mut objects, mut list, mut items) = (Vec::new(), String::new(), 0);
    for (nth, lines) in files.iter().enumerate() {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let content = gzip(&text);
        let key = format!("{data}/file{nth}.json.gz");
        let md5 = base64_text(&Md5::digest(&content));
        let count = lines.len();
        list.push_str(&format!(
            r#"{{"itemCount":{count},"md5Checksum":"{md5}","etag":"e-1","dataFileS3Key":"{key}"}}"#
        ));
        list.push('\n');
        items += count;
        objects.push((key, content));
    }
    let time = match incremental {
        true => {
            r#""exportFromTime":"2026-09-21T14:13:20.000Z","exportToTime":"2026-09-21T14:28:20.000Z""#
        }
        false => r#""exportTime":"2026-09-21T14:13:20.000Z""#,
    };
    let summary = format!(
        r#"{{"exportArn":"arn:aws:dynamodb:us-east-1:111122223333:table/offers/export/01790000000000-0a1c3e57","tableArn":"arn:aws:dynamodb:us-east-1:111122223333:table/offers","s3Bucket":"lake","manifestFilesS3Key":"{FOLDER}/manifest-files.json","itemCount":{items},"outputFormat":"DYNAMODB_JSON",{time}}}"#
    );
    for (name, content) in [("manifest-files", list), ("manifest-summary", summary)] {
        let md5 = base64_text(&Md5::digest(&content));
        objects.push((format!("{FOLDER}/{name}.json"), content.into_bytes()));
        objects.push((format!("{FOLDER}/{name}.md5"), md5.into_bytes()));
    }
    objects
}

/// A lake with an export.
pub(crate) fn lake(files: &[Vec<String>], incremental: bool) -> MemoryObjects {
    let objects = MemoryObjects::new().with_bucket("lake").with_chunks_of(50);
    for (key, content) in export(files, incremental) {
        objects.seed("lake", &key, content, &[]);
    }
    objects
}

/// A full export's line.
pub(crate) fn item(id: &str, rest: &str) -> String {
    format!(r#"{{"Item":{{"id":{{"S":"{id}"}}{rest}}}}}"#)
}

pub(crate) async fn opened<O: ObjectStore + 'static>(objects: O) -> ExportSource<O> {
    let opened = ExportSource::of_objects(Rc::new(objects), ADDRESS).await;
    opened.map_err(|error| describe(&error)).unwrap()
}

/// Keeps the lines of each file.
struct Keep(Vec<(usize, String)>);

impl LineWork for Keep {
    fn line(&mut self, file: usize, line: &str) -> Result<(), WorkFault> {
        if line.contains("poison") {
            return Err("it has poison: expected none".into());
        }
        self.0.push((file, line.to_owned()));
        Ok(())
    }
}

async fn kept<O: ObjectStore + 'static>(
    source: &ExportSource<O>,
    threads: usize,
) -> Result<(Vec<(usize, String)>, ReadProgress), ExportSourceError> {
    let works = (0..threads).map(|_| Keep(Vec::new())).collect();
    let places = 0..source.files().len();
    let mut last = ReadProgress::default();
    let works = read(source.files(), places, works, |progress| last = progress).await?;
    let mut lines: Vec<_> = works.into_iter().flat_map(|work| work.0).collect();
    // Files come in any order, the lines of each in theirs.
    lines.sort_by_key(|(file, _)| *file);
    Ok((lines, last))
}

fn files() -> Vec<Vec<String>> {
    let lines = |names: &[&str]| names.iter().map(|name| item(name, "")).collect();
    vec![lines(&["a", "b", "c"]), lines(&[]), lines(&["d"])]
}

fn expected() -> Vec<(usize, String)> {
    let files = files().into_iter().enumerate();
    files
        .flat_map(|(file, lines)| lines.into_iter().map(move |line| (file, line)))
        .collect()
}

#[tokio::test]
async fn every_line_of_an_export_is_read_once_on_any_number_of_threads() {
    for incremental in [false, true] {
        for threads in [1, 2, 5] {
            let source = opened(lake(&files(), incremental)).await;
            assert_eq!(source.is_incremental().await.unwrap(), incremental);
            assert_eq!(source.manifest().unwrap().without_checksum, [""; 0]);
            let (lines, progress) = kept(&source, threads).await.unwrap();
            assert_eq!(lines, expected());
            assert_eq!((progress.done, progress.all, progress.items), (4, 4, 4));
        }
    }
    // By its summary, too.
    let address = format!("{ADDRESS}manifest-summary.json");
    let source = ExportSource::of_objects(Rc::new(lake(&files(), false)), &address).await;
    assert_eq!(source.unwrap().name(), ADDRESS);
}

#[tokio::test]
async fn a_copy_of_an_export_is_read_where_it_lies() {
    for incremental in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        for (key, content) in export(&files(), incremental) {
            let path = folder.path().join(key.strip_prefix("copies/").unwrap());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let copy = folder.path().join("AWSDynamoDB/01790000000000-0a1c3e57");
        for path in [copy.clone(), copy.join(SUMMARY)] {
            let source: ExportSource<MemoryObjects> =
                ExportSource::of_paths(&[path]).await.unwrap();
            assert_eq!(kept(&source, 2).await.unwrap().0, expected());
            assert!(source.look_for_files().await.unwrap() > 60);
        }
        // In another bucket and folder, likewise.
        let objects = MemoryObjects::new().with_bucket("other");
        for (key, content) in export(&files(), incremental) {
            objects.seed("other", &key.replace("copies/", "moved/"), content, &[]);
        }
        let address = ADDRESS.replace("lake/copies", "other/moved");
        let source = ExportSource::of_objects(Rc::new(objects), &address).await;
        assert_eq!(kept(&source.unwrap(), 2).await.unwrap().0, expected());
    }
}

#[tokio::test]
async fn loose_files_are_read_by_their_names_whatever_compresses_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = |names: &[&str]| -> String {
        let lines = names.iter().map(|name| item(name, "") + "\n\n");
        lines.collect()
    };
    let zstd = zstd::encode_all(text(&["d"]).as_bytes(), 0).unwrap();
    std::fs::create_dir(folder.path().join("tl_type=item")).unwrap();
    for (name, content) in [
        ("a.json.gz", gzip(&text(&["a", "b"]))),
        ("b.jsonl", text(&["c"]).into_bytes()),
        ("tl_type=item/c.jsonl.zst", zstd),
        ("_SUCCESS.json", b"{}".to_vec()),
        ("notes.txt", b"x".to_vec()),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let source: ExportSource<MemoryObjects> = ExportSource::of_paths(&[folder.path().to_owned()])
        .await
        .unwrap();
    assert_eq!(source.files().len(), 3);
    assert!(!source.is_incremental().await.unwrap());
    let (lines, progress) = kept(&source, 2).await.unwrap();
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["a", "b", "c", "d"].map(|name| item(name, "")));
    assert_eq!(progress.items, 4);
    assert!(progress.done == progress.all && progress.all > 100);

    let nothing = tempfile::tempdir().unwrap();
    let message = async |path: PathBuf| {
        let opened = ExportSource::<MemoryObjects>::of_paths(&[path]).await;
        let error = opened.err().unwrap();
        assert!(error.is_usage());
        describe(&error)
    };
    assert!(
        message(nothing.path().to_owned())
            .await
            .starts_with("there is nothing to read in")
    );
    assert!(
        message(nothing.path().join("x.json"))
            .await
            .starts_with("there is no file")
    );
}

#[tokio::test]
async fn whatever_is_wrong_with_an_export_is_named() {
    let rewritten = |name: &str, old: &str, new: &str| {
        let objects = lake(&files(), false);
        let key = format!("{FOLDER}/{name}");
        let content = objects.content("lake", &key).unwrap();
        let content = String::from_utf8(content.to_vec()).unwrap();
        assert!(content.contains(old), "{content}");
        let content = content.replace(old, new);
        let md5 = base64_text(&Md5::digest(&content));
        objects.seed("lake", &key.replace(".json", ".md5"), md5, &[]);
        objects.seed("lake", &key, content, &[]);
        objects
    };
    let message = async |objects: MemoryObjects| {
        let error = match ExportSource::of_objects(Rc::new(objects), ADDRESS).await {
            Err(error) => error,
            Ok(source) => kept(&source, 2).await.unwrap_err(),
        };
        assert!(error.is_fault_of_export(), "{error:?}");
        describe(&error).replace(FOLDER, "F")
    };
    for name in ["manifest-summary", "manifest-files"] {
        let objects = lake(&files(), false);
        objects.seed("lake", &format!("{FOLDER}/{name}.md5"), "AAAA", &[]);
        let wrong = message(objects).await;
        assert!(
            wrong.starts_with(&format!("s3://lake/F/{name}.json has the MD5 ")),
            "{wrong}"
        );
        let end = format!(": expected AAAA, as s3://lake/F/{name}.md5 says");
        assert!(wrong.ends_with(&end), "{wrong}");
    }
    let files_json = "manifest-files.json";
    insta::assert_snapshot!(message(rewritten(files_json, "copies/", "elsewhere/")).await, @r#"s3://lake/F/manifest-files.json, line 1: the data file "elsewhere/AWSDynamoDB/01790000000000-0a1c3e57/data/file0.json.gz" lies elsewhere: expected a key below copies/AWSDynamoDB"#);
    let wrong = message(rewritten(files_json, "data/file0", "data/../file0")).await;
    assert!(wrong.contains("lies elsewhere"), "{wrong}");
    insta::assert_snapshot!(message(rewritten(files_json, "data/file0", "data/gone")).await, @"s3://lake/F/data/gone.json.gz is not there: expected it, as the manifest names it");
    insta::assert_snapshot!(message(rewritten(files_json, "data/file1", "data/file0")).await, @"s3://lake/F/manifest-files.json, line 2: the file file0.json.gz is listed before: expected each file once");
    let wrong = message(rewritten(files_json, "\"itemCount\":3", "\"itemCount\":x")).await;
    assert!(
        wrong.starts_with(
            "s3://lake/F/manifest-files.json, line 1: the line of the manifest cannot be read"
        ),
        "{wrong}"
    );
    insta::assert_snapshot!(message(rewritten("manifest-summary.json", "\"itemCount\":4", "\"itemCount\":5")).await, @"s3://lake/F/manifest-files.json has the item count 4: expected 5, as s3://lake/F/manifest-summary.json says");
    insta::assert_snapshot!(message(lake(&[vec![item("a", ""), item("poison", "")]], false)).await, @"s3://lake/F/data/file0.json.gz, line 2: it has poison: expected none");
    let objects = lake(&files(), false);
    objects.seed(
        "lake",
        &format!("{FOLDER}/data/file0.json.gz"),
        gzip("{}\n"),
        &[],
    );
    let wrong = message(objects).await;
    assert!(
        wrong.starts_with("s3://lake/F/data/file0.json.gz has the MD5 "),
        "{wrong}"
    );
    let objects = lake(&files(), false);
    let cut = objects
        .content("lake", &format!("{FOLDER}/data/file0.json.gz"))
        .unwrap();
    objects.seed(
        "lake",
        &format!("{FOLDER}/data/file0.json.gz"),
        cut.slice(..20),
        &[],
    );
    let wrong = message(objects).await;
    assert!(wrong.starts_with("a file of the export cannot be read: s3://lake/F/data/file0.json.gz cannot be read after line 0"), "{wrong}");

    let listless = MemoryObjects::new().with_bucket("lake");
    for (key, content) in export(&files(), false) {
        if !key.ends_with(files_json) {
            listless.seed("lake", &key, content, &[]);
        }
    }
    let wrong = message(listless).await;
    assert!(wrong.starts_with("s3://lake/F/manifest-files.json is not there: expected a manifest of an export that is complete"), "{wrong}");

    let unmarked = lake(&files(), false);
    let nowhere = ExportSource::of_objects(Rc::new(unmarked), "s3://lake/copies/").await;
    let error = nowhere.err().unwrap();
    assert!(error.is_usage());
    insta::assert_snapshot!(error, @"s3://lake/copies/manifest-summary.json is not there: expected the folder of an export that is complete, s3://bucket/prefix/AWSDynamoDB/<export id>/");
}

#[tokio::test]
async fn a_missing_checksum_of_a_manifest_is_told_and_no_error() {
    let objects = MemoryObjects::new().with_bucket("lake");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(FOLDER);
    std::fs::create_dir_all(copy.join("data")).unwrap();
    for (key, content) in export(&files(), false) {
        if !key.ends_with("manifest-files.md5") {
            std::fs::write(folder.path().join(&key), &content).unwrap();
            objects.seed("lake", &key, content, &[]);
        }
    }
    let source = opened(objects).await;
    let expected = format!("{ADDRESS}manifest-files.json");
    assert_eq!(source.manifest().unwrap().without_checksum, [expected]);

    let list = copy.join("manifest-files.json");
    let source = ExportSource::<MemoryObjects>::of_paths(std::slice::from_ref(&copy)).await;
    let told = source.unwrap().manifest().unwrap().without_checksum.clone();
    assert_eq!(told, [path_name(&list)]);

    // AWS's guides call it otherwise; it counts as well.
    std::fs::write(copy.join("manifest-files.checksum"), "AAAA").unwrap();
    let wrong = ExportSource::<MemoryObjects>::of_paths(std::slice::from_ref(&copy)).await;
    let wrong = describe(&wrong.err().unwrap());
    let end = format!(
        ": expected AAAA, as {} says",
        path_name(&copy.join("manifest-files.checksum"))
    );
    assert!(wrong.ends_with(&end), "{wrong}");

    // What is there and cannot be opened is not missing.
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    let wrong = ExportSource::<MemoryObjects>::of_paths(&[copy]).await;
    let wrong = wrong.err().unwrap();
    assert!(!wrong.is_fault_of_export());
    assert!(
        describe(&wrong).ends_with("it is no regular file"),
        "{wrong:?}"
    );
}

// Not with a paused clock, which stands still while other threads are at work.
#[tokio::test]
async fn a_broken_body_is_read_on_and_a_store_that_fails_is_no_fault_of_the_export() {
    let plan = FaultPlan::seeded(1);
    let source = opened(Failing::new(lake(&files(), false), plan.clone())).await;
    let before = plan.count("GetObject");
    plan.inject("GetObject", 1, Fault::BodyError(30));
    plan.inject("GetObject", 2, Fault::BodyEnd(5));
    assert_eq!(kept(&source, 2).await.unwrap().0, expected());
    // The three files, and two of them once more.
    assert_eq!(plan.count("GetObject") - before, 5);
    plan.inject("GetObject", 2, Fault::Fail(ErrorKind::Denied));
    let error = kept(&source, 2).await.unwrap_err();
    assert!(
        !error.is_fault_of_export() && !error.is_usage(),
        "{error:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// However lines are spread over files, and files over threads.
    #[test]
    fn any_files_are_read_whole(counts in proptest::collection::vec(0..5_usize, 0..6), threads in 1..4_usize) {
        let files: Vec<Vec<String>> = counts
            .iter()
            .enumerate()
            .map(|(file, count)| (0..*count).map(|line| item(&format!("{file}-{line}"), "")).collect())
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (lines, progress) = runtime.block_on(async {
            kept(&opened(lake(&files, false)).await, threads).await.unwrap()
        });
        let wanted: Vec<String> = files.concat();
        prop_assert_eq!(progress.items, wanted.len() as u64);
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        prop_assert_eq!(lines, wanted);
    }
}
