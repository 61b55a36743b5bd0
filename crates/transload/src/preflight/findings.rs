//! What a source holds that an import would stumble over, lose or change.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use crate::wording::counted;

/// Examples that are kept of each kind: the first ones.
const EXAMPLES: usize = 3;

/// What ImportTable does where it meets something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The import ends FAILED or cannot be started. What it has imported by then stays in a partial table, and what it has
    /// processed is paid for (Developer Guide, "DynamoDB data import from Amazon S3: how it works").
    Fails,
    /// Rows are lost without a word.
    LosesRows,
    /// AWS's guides do not say what happens.
    Undocumented,
    /// It is imported, otherwise than one may expect.
    Changes,
}

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is described by `Kind::said`")]
pub enum Kind {
    TooManyObjects,
    TooManyBytes,
    MixedCompression,
    MixedFormats,
    MixedDelimiters,
    Archive,
    BrokenCompression,
    Utf16,
    ByteOrderMark,
    NoHeader,
    UnnamedColumn,
    RepeatedColumn,
    NoKeyColumn,
    BrokenRow,
    FieldCount,
    LooseQuote,
    NotAnItem,
    MissingKey,
    KeyWrongType,
    KeyTooLong,
    IndexKey,
    ItemTooLarge,
    DuplicateKey,
    LineBreak,
    IndexWithoutColumn,
    OutsideIndex,
    EmptyCells,
    TextColumns,
    OtherHeader,
    EmptyObject,
}

impl Kind {
    /// What ImportTable makes of it, as far as AWS's guides say.
    pub fn effect(self) -> Effect {
        match self {
            // "items will overwrite until one remains … in random order, are not counted as errors, and are not emitted to
            // CloudWatch logs" (Developer Guide, "Import format quotas and validation").
            Self::DuplicateKey => Effect::LosesRows,
            // "newlines are used as item delimiters" (Developer Guide, "Amazon S3 import formats for DynamoDB"), which leaves
            // open what a line break between quotes is.
            Self::LineBreak => Effect::Undocumented,
            Self::IndexWithoutColumn
            | Self::OutsideIndex
            | Self::EmptyCells
            | Self::TextColumns
            | Self::OtherHeader
            | Self::EmptyObject => Effect::Changes,
            _ => Effect::Fails,
        }
    }

    /// What was found, such as `1 row has no key or an empty one`.
    pub fn said(self, count: u64) -> String {
        let (noun, [one, many], rest) = self.words();
        let verb = if count == 1 { one } else { many };
        format!("{} {verb} {rest}", counted(count, noun))
    }

    /// The noun that is counted, its verb behind one and behind many of them, and what is said of it.
    fn words(self) -> (&'static str, [&'static str; 2], &'static str) {
        const IS: [&str; 2] = ["is", "are"];
        const HAS: [&str; 2] = ["has", "have"];
        match self {
            Self::TooManyObjects => ("object", IS, "in the source: an import takes 50,000"),
            Self::TooManyBytes => ("stored byte", IS, "in the source: an import takes 15 TB"),
            Self::MixedCompression => (
                "object",
                IS,
                "compressed otherwise than the first one: an import takes one compression",
            ),
            Self::MixedFormats => (
                "object",
                IS,
                "of another format than the first one: an import takes one format",
            ),
            Self::MixedDelimiters => (
                "object",
                HAS,
                "another delimiter than the first one: an import takes one delimiter",
            ),
            Self::Archive => (
                "object",
                IS,
                "no text, but a zip archive or an Excel workbook",
            ),
            Self::BrokenCompression => ("compressed object", IS, "damaged or cut off"),
            Self::Utf16 => ("object", IS, "UTF-16: an import takes UTF-8"),
            Self::ByteOrderMark => (
                "object",
                HAS,
                "a byte-order mark, which would become a part of the first column's name",
            ),
            Self::NoHeader => (
                "object",
                HAS,
                "no readable first line with the names of the columns",
            ),
            Self::UnnamedColumn => ("column", HAS, "no name"),
            Self::RepeatedColumn => ("column", HAS, "the name of another one"),
            Self::NoKeyColumn => ("object", HAS, "no column for a key of the table"),
            Self::BrokenRow => ("line", ["cannot", "cannot"], "be read as a row"),
            Self::FieldCount => ("row", HAS, "more or fewer fields than the header"),
            Self::LooseQuote => ("row", HAS, "a quote that is not doubled"),
            Self::NotAnItem => ("line", IS, "no item in DynamoDB JSON"),
            Self::MissingKey => ("row", HAS, "no key or an empty one"),
            Self::KeyWrongType => ("row", HAS, "a key that is not of its type"),
            Self::KeyTooLong => ("row", HAS, "a key that is too long"),
            Self::IndexKey => ("row", HAS, "a key of an index that no index takes"),
            Self::ItemTooLarge => ("item", IS, "larger than 400 KB"),
            Self::DuplicateKey => (
                "row",
                HAS,
                "the key of a row before: one row of each key stays, at random",
            ),
            Self::LineBreak => ("row", HAS, "a line break between quotes"),
            Self::IndexWithoutColumn => (
                "index attribute",
                HAS,
                "no column in the source: its index stays empty",
            ),
            Self::OutsideIndex => ("row", IS, "not in an index, for want of a key"),
            Self::EmptyCells => ("cell", IS, "empty: the item has no such attribute"),
            Self::TextColumns => (
                "column",
                ["becomes", "become"],
                "text, numbers too: only keys have types",
            ),
            Self::OtherHeader => ("object", HAS, "another header than the first one"),
            Self::EmptyObject => ("object", IS, "empty and passed over"),
        }
    }

    /// What can be done about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::TooManyObjects | Self::TooManyBytes => {
                "cut the source into several tables or ingest it"
            }
            Self::MixedCompression | Self::MixedFormats | Self::MixedDelimiters => {
                "put them under prefixes of their own"
            }
            Self::Archive => "convert them into CSV first (transload merge reads workbooks)",
            Self::BrokenCompression => "get the whole objects",
            Self::Utf16 | Self::ByteOrderMark => {
                "write it anew with transload merge, or ingest, which reads it"
            }
            Self::NoHeader => "begin with a line in UTF-8 that names the columns, up to 256 KiB",
            Self::UnnamedColumn | Self::RepeatedColumn => "give each column a name of its own",
            Self::NoKeyColumn => {
                "check --key, and the delimiter, which has to be a comma, semicolon, tab or bar"
            }
            Self::BrokenRow
            | Self::FieldCount
            | Self::LooseQuote
            | Self::NotAnItem
            | Self::MissingKey
            | Self::KeyWrongType
            | Self::KeyTooLong
            | Self::IndexKey
            | Self::ItemTooLarge => {
                "repair them, or ingest, which sets them aside and loads the rest"
            }
            Self::DuplicateKey => {
                "ingest keeps the last one of a key; --accept-duplicates takes the one that chance leaves"
            }
            Self::LineBreak => "ingest reads them; --accept-line-breaks tries the import",
            Self::IndexWithoutColumn => {
                "add the column, or ingest with a row mapping that has constants or shards"
            }
            Self::OutsideIndex | Self::EmptyCells | Self::OtherHeader | Self::EmptyObject => {
                "nothing, if that is meant"
            }
            Self::TextColumns => "nothing, if that is meant; ingest takes types from a row mapping",
        }
    }
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file or `s3://bucket/key`.
    pub object: Rc<str>,
    /// The line, from 1, where it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is there, in a few words, without the row's contents but for names and numbers.
    pub detail: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.object)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// All that was found of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// What an import does about it.
    pub effect: Effect,
    /// How many there are.
    pub count: u64,
    /// The first ones.
    pub examples: Vec<Place>,
}

/// Findings by kind: memory for a few examples of each, however many there are.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<Kind, Finding>);

impl Findings {
    /// Counts one; `place` is made only where it is kept.
    pub(super) fn add(&mut self, kind: Kind, place: impl FnOnce() -> Place) {
        let finding = self.of(kind);
        finding.count += 1;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(place());
        }
    }

    /// Counts many that have no place of their own.
    pub(super) fn count(&mut self, kind: Kind, count: u64) {
        if count > 0 {
            self.of(kind).count += count;
        }
    }

    /// Sets the examples of a kind.
    pub(super) fn show(&mut self, kind: Kind, examples: Vec<Place>) {
        if !examples.is_empty() {
            self.of(kind).examples = examples;
            self.of(kind).examples.truncate(EXAMPLES);
        }
    }

    fn of(&mut self, kind: Kind) -> &mut Finding {
        self.0.entry(kind).or_insert_with(|| Finding {
            kind,
            effect: kind.effect(),
            count: 0,
            examples: Vec::new(),
        })
    }

    /// The gravest first.
    pub(super) fn into_list(self) -> Vec<Finding> {
        let mut list: Vec<Finding> = self.0.into_values().collect();
        list.sort_by_key(|finding| finding.effect);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many_are_said_as_people_say_them() {
        assert_eq!(Kind::MissingKey.said(1), "1 row has no key or an empty one");
        assert_eq!(
            Kind::MissingKey.said(2_000),
            "2,000 rows have no key or an empty one"
        );
        assert_eq!(Kind::BrokenRow.said(2), "2 lines cannot be read as a row");
    }

    #[test]
    fn the_first_examples_are_kept_and_all_are_counted() {
        let mut findings = Findings::default();
        findings.count(Kind::EmptyCells, 0);
        for line in 1..=5 {
            findings.add(Kind::EmptyCells, || Place {
                object: "a.csv".into(),
                line: Some(line),
                detail: "column x".to_owned(),
            });
        }
        findings.count(Kind::MissingKey, 2);
        let list = findings.into_list();
        assert_eq!(
            list.iter()
                .map(|finding| (finding.kind, finding.effect, finding.count))
                .collect::<Vec<_>>(),
            [
                (Kind::MissingKey, Effect::Fails, 2),
                (Kind::EmptyCells, Effect::Changes, 5)
            ]
        );
        assert_eq!(list[1].examples.len(), 3);
        assert_eq!(list[1].examples[2].to_string(), "a.csv, line 3: column x");
    }
}
