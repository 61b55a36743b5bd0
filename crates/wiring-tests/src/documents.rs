//! Commands, links and named tests in Markdown.

use std::path::Path;

use crate::{read, repository_files, root};

/// A Markdown file of the repository.
#[derive(Debug)]
pub struct Document {
    /// Path from the root of the repository.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every Markdown file.
pub fn documents() -> Vec<Document> {
    repository_files()
        .iter()
        .filter_map(|path| path.to_str())
        .filter(|path| path.ends_with(".md"))
        .map(|path| Document {
            path: path.to_owned(),
            text: read(path),
        })
        .collect()
}

impl Document {
    /// Scripts that begin a line of a block of shell commands, or a code span in the text, with the number of the line.
    pub fn scripts(&self) -> Vec<(usize, &str)> {
        let commands = self.lines().filter_map(|line| match line.fence {
            Some("" | "sh" | "bash" | "console") => Some((line.number, line.text)),
            _ => None,
        });
        commands
            .chain(self.spans())
            .filter_map(|(number, command)| {
                let command = command.trim_start().trim_start_matches("$ ");
                let word = command.split_whitespace().next()?;
                let script = word.strip_prefix("./").unwrap_or(word);
                let name = script.strip_prefix("scripts/")?;
                (!name.is_empty() && !name.contains(['*', '<', '…'])).then_some((number, script))
            })
            .collect()
    }

    /// Relative targets of links outside of code, with the number of the line.
    pub fn links(&self) -> Vec<(usize, &str)> {
        let prose = || self.lines().filter(|line| line.fence.is_none());
        let inline = prose().flat_map(|line| {
            line.text
                .split("](")
                .skip(1)
                .filter_map(move |rest| Some((line.number, rest.split_once(')')?.0)))
        });
        let defined = prose().filter_map(|line| {
            let (_, target) = line.text.strip_prefix('[')?.split_once("]: ")?;
            Some((line.number, target.trim()))
        });
        inline
            .chain(defined)
            .filter(|(_, target)| {
                // Other sites, places in the same document, and names that rustdoc resolves.
                !target.contains("://")
                    && !target.starts_with(['#', '<'])
                    && !target.starts_with("mailto:")
                    && !target.contains("::")
            })
            .collect()
    }

    /// Whether a relative link leads to a file or folder of the repository.
    pub fn leads_somewhere(&self, target: &str) -> bool {
        let path = target.split('#').next().unwrap_or_default();
        let folder = root().join(&self.path);
        folder.parent().unwrap_or(Path::new("")).join(path).exists()
    }

    /// What is between backticks in the text, with the number of the line.
    pub fn spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|line| line.fence.is_none())
            .flat_map(|line| {
                line.text
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .map(move |span| (line.number, span))
            })
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut fence = None;
        self.text
            .lines()
            .zip(1..)
            .filter_map(move |(text, number)| {
                if let Some(language) = text.trim_start().strip_prefix("```") {
                    fence = match fence {
                        None => Some(language.trim()),
                        Some(_) => None,
                    };
                    return None;
                }
                Some(Line {
                    number,
                    text,
                    fence,
                })
            })
    }
}

struct Line<'a> {
    number: usize,
    text: &'a str,
    /// Language of the fenced block that the line is in.
    fence: Option<&'a str>,
}

/// The pairs `` `path` :: `name` `` of a text, which may go over the end of a line.
pub fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').collect();
    parts
        .windows(3)
        .skip(1)
        .step_by(2)
        .filter(|window| window[1].trim() == "::")
        .map(|window| (window[0], window[2]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_links_and_named_tests_are_found() {
        let document = Document {
            path: "docs/X.md".to_owned(),
            text: "Run `scripts/demo --keep`, see [a](../README.md#use) and [b](https://x.y) or [`c`](crate::c).\n\
                   ```sh\n./scripts/test --quick\n$ scripts/build\necho '[d](e)'\n```\n```text\nscripts/none\n```\n[f]: g.md\n"
                .to_owned(),
        };
        let scripts = document.scripts();
        assert_eq!(
            scripts,
            [
                (3, "scripts/test"),
                (4, "scripts/build"),
                (1, "scripts/demo")
            ]
        );
        assert_eq!(document.links(), [(1, "../README.md#use"), (10, "g.md")]);
        assert!(document.leads_somewhere("../Cargo.toml#x"));
        assert!(!document.leads_somewhere("Cargo.toml"));
        let row = "| 1. Rows | `code` | `a/b.rs` :: `one`; `c.py` ::\n`two` and `three` |";
        assert_eq!(named_tests(row), [("a/b.rs", "one"), ("c.py", "two")]);
    }
}
