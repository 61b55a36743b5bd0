//! What Rust sources call, found by their text.

use std::path::Path;

use crate::{read, repository_files};

/// The code under a folder (relative to the root of the repository) without tests, comments and white space.
///
/// # Panics
/// If there is no Rust file.
pub fn squeezed(folder: impl AsRef<Path>) -> String {
    let folder = folder.as_ref();
    let files: Vec<_> = repository_files()
        .into_iter()
        .filter(|path| {
            path.starts_with(folder) && path.extension().is_some_and(|name| name == "rs")
        })
        .collect();
    assert!(
        !files.is_empty(),
        "no Rust source is in {}",
        folder.display()
    );
    files.iter().map(|path| squeeze(&read(path))).collect()
}

/// Operations that are called on something named `client` or `retrying`, such as `get_object`, in order of their appearance.
///
/// # Panics
/// If the code sends a request that was not begun that way, since it would be overlooked.
pub fn sdk_calls(squeezed: &str) -> Vec<String> {
    let operations: Vec<String> = squeezed
        .split("client.")
        .flat_map(|piece| piece.split("retrying."))
        .skip(1)
        .filter_map(|after| after.split_once("()"))
        .map(|(name, _)| name.to_owned())
        .filter(|name| is_name(name))
        .collect();
    let sent = squeezed.matches(".send()").count();
    assert_eq!(
        sent,
        operations.len(),
        "{sent} requests are sent and {} are begun by `client.<operation>()` or `retrying.<operation>()`: {operations:?}",
        operations.len()
    );
    assert!(
        !squeezed.contains(".presigned("),
        "a presigned request is none that this reads"
    );
    operations
}

fn squeeze(source: &str) -> String {
    let code = source
        .split_once("#[cfg(test)]\nmod tests {")
        .map_or(source, |(code, _)| code);
    code.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .flat_map(str::chars)
        .filter(|letter| !letter.is_whitespace())
        .collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_over_lines_and_not_in_comments_or_tests() {
        let code = squeeze(
            "self\n  .client // the shared one\n  .get_object()\n  .send()\n/// client.put_item()\nself.retrying.query().send();\n\
             #[cfg(test)]\nmod tests {\n client.scan().send();\n}",
        );
        assert_eq!(sdk_calls(&code), ["get_object", "query"]);
    }

    #[test]
    #[should_panic(expected = "2 requests are sent")]
    fn a_request_that_is_begun_in_another_way_is_not_overlooked() {
        sdk_calls(&squeeze("client.query().send(); s3.get_object().send();"));
    }
}
