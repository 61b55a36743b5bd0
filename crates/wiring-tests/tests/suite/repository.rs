//! The repository works on any machine and is quick to clone.

use wiring_tests::{repository_files, root};

const MAX_FILE_BYTES: u64 = 1_000_000;

/// Folders that only some machine has. In two pieces, since this file is looked at too.
const MACHINE_FOLDERS: [&str; 4] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
];

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let mut faults = Vec::new();
    for path in repository_files() {
        let bytes = std::fs::read(root().join(&path)).expect("the file is there");
        for (line, number) in String::from_utf8_lossy(&bytes).lines().zip(1..) {
            if let Some(found) = machine_path(line) {
                faults.push(format!("{}:{number}: {found}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// An absolute path below one of the folders; `scripts/work/x` is none.
fn machine_path(line: &str) -> Option<&str> {
    MACHINE_FOLDERS
        .iter()
        .flat_map(|folder| line.match_indices(folder))
        .find(|(at, _)| {
            let before = line[..*at].chars().next_back();
            !before.is_some_and(|letter| letter.is_alphanumeric() || "._-}/".contains(letter))
        })
        .map(|(at, _)| line[at..].split_whitespace().next().unwrap_or_default())
}

#[test]
fn a_machine_path_is_told_from_a_relative_one() {
    let [root, home, work, _] = MACHINE_FOLDERS;
    for line in [
        format!("cd {root}x"),
        format!("\"{home}someone/.cargo\""),
        format!("{work}main"),
    ] {
        assert!(machine_path(&line).is_some(), "{line}");
    }
    for line in [
        format!("target{work}x"),
        format!("$HOME{work}x"),
        format!("${{dir}}{root}x"),
    ] {
        assert_eq!(machine_path(&line), None, "{line}");
    }
}

#[test]
fn no_file_is_large() {
    for path in repository_files() {
        let bytes = root()
            .join(&path)
            .metadata()
            .expect("the file is there")
            .len();
        assert!(
            bytes <= MAX_FILE_BYTES,
            "{} has {bytes} bytes, more than {MAX_FILE_BYTES}",
            path.display()
        );
    }
}
