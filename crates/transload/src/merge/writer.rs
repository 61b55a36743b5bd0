//! Rows as lines of CSV.

use super::error::MergeError;
use super::place::Place;
use super::plan::{Plan, SheetPlan, Target};
use super::row::{Kind, Row};
use super::sink::Sink;
use super::{AcceptRounded, Job, Merged};
use crate::duplicate_keys::{DuplicateKeys, RowPlace};

/// Writes rows, counts them, and keeps their keys.
pub(super) struct RowWriter<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan,
    sink: Sink,
    keys: DuplicateKeys,
    /// By column of the output: whether it may have numbers of more than 15 digits.
    accepts_rounded: Vec<bool>,
    /// The fields of all added columns, each with a comma before it, and the end of the line.
    end: Vec<u8>,
    line: Vec<u8>,
    refused: super::Listed,
    /// Numbers that were met.
    pub(super) numbers: u64,
    pub(super) merged: Merged,
}

impl<'a> RowWriter<'a> {
    /// Writes the header.
    pub(super) fn begin(job: &'a Job<'a>, plan: &'a Plan, sink: Sink) -> Result<Self, MergeError> {
        let added = || job.added.iter().map(|(name, _)| name);
        let columns: Vec<String> = plan.columns.iter().chain(added()).cloned().collect();
        let accepts = |column: &String| match job.accept_rounded {
            AcceptRounded::Nowhere => false,
            AcceptRounded::Everywhere => true,
            AcceptRounded::In(columns) => columns.contains(column),
        };
        let mut end = Vec::new();
        for (_, value) in job.added {
            end.push(b',');
            push_field(&mut end, value);
        }
        end.push(b'\n');
        let mut writer = Self {
            job,
            plan,
            sink,
            keys: DuplicateKeys::new().map_err(MergeError::Temporary)?,
            accepts_rounded: plan.columns.iter().map(accepts).collect(),
            end: b"\n".to_vec(),
            line: Vec::new(),
            refused: super::Listed::default(),
            numbers: 0,
            merged: Merged::default(),
        };
        let header: Vec<&str> = columns.iter().map(String::as_str).collect();
        writer.make_line(&header);
        writer.write_line()?;
        writer.end = end;
        writer.merged.key = plan
            .key
            .iter()
            .map(|place| columns[*place].clone())
            .collect();
        writer.merged.columns = columns;
        Ok(writer)
    }

    /// Writes a row below the header of its sheet.
    pub(super) fn take(
        &mut self,
        sheet: &SheetPlan,
        (place, row_place): (Place<'_>, RowPlace),
        row: &Row,
    ) -> Result<(), MergeError> {
        self.merged.empty_rows += row.gap;
        let mut fields = vec![""; self.plan.columns.len()];
        let (mut has_value, mut is_refused) = (false, false);
        for (column, text, kind) in row.cells() {
            let text = match kind {
                Kind::Text if self.job.trim => text.trim(),
                _ => text,
            };
            if text.is_empty() {
                continue;
            }
            has_value = true;
            let outside = match self.job.columns {
                [] => Target::Unnamed,
                _ => Target::Left,
            };
            let fault = match sheet.targets.get(column).copied().unwrap_or(outside) {
                Target::Left => None,
                Target::Unnamed => Some(
                    "a value in a column without a name: name the column, or choose columns with --columns"
                        .to_owned(),
                ),
                Target::Column(index) => {
                    fields[index] = text;
                    self.count(kind);
                    fault(text, kind, self.accepts_rounded[index])
                }
            };
            if let Some(fault) = fault {
                is_refused = true;
                self.refuse(|| format!("{}: {fault}", place.cell(row.number, column)));
            }
        }
        if !has_value {
            self.merged.empty_rows += 1;
            return Ok(());
        }
        if is_refused {
            return Ok(());
        }
        if let Some(column) = self
            .plan
            .key
            .iter()
            .find(|column| fields[**column].is_empty())
        {
            let name = &self.plan.columns[*column];
            self.merged
                .empty_keys
                .add(|| format!("{}: no {name}", place.row(row.number)));
            return Ok(());
        }
        self.make_line(&fields);
        let key = self.plan.key.iter().map(|column| fields[*column]);
        let kept = self.keys.push(key, &self.line, row_place);
        kept.map_err(MergeError::Temporary)?;
        self.merged.rows += 1;
        self.write_line()
    }

    /// A cell that cannot be taken as it is.
    pub(super) fn refuse(&mut self, text: impl FnOnce() -> String) {
        self.refused.add(text);
    }

    fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Number => self.numbers += 1,
            Kind::LongNumber => {
                self.numbers += 1;
                self.merged.rounded += 1;
            }
            Kind::Padded => self.merged.padded += 1,
            Kind::Text | Kind::Other | Kind::Error | Kind::NoTime => {}
        }
    }

    fn make_line(&mut self, fields: &[&str]) {
        self.line.clear();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.line.push(b',');
            }
            push_field(&mut self.line, field);
        }
        self.line.extend_from_slice(&self.end);
    }

    fn write_line(&mut self) -> Result<(), MergeError> {
        self.merged.bytes += self.line.len() as u64;
        self.sink.append(&self.line)
    }

    /// All rows are taken: the output appears, unless something was refused.
    pub(super) fn finish(mut self, plan: &Plan) -> Result<Merged, MergeError> {
        if self.refused.count > 0 {
            return Err(MergeError::Refused(self.refused));
        }
        if self.merged.empty_keys.count > 0 && !self.job.skip_empty_keys {
            return Err(MergeError::EmptyKeys(self.merged.empty_keys));
        }
        let duplicates = self.keys.finish().map_err(MergeError::Temporary)?;
        let place = |at: RowPlace| plan.place(at.source as usize).row(at.row).to_string();
        let examples = duplicates.examples.iter();
        self.merged.duplicate_examples = examples
            .map(|(before, later)| [place(*later), place(*before)])
            .collect();
        self.merged.duplicates = duplicates.rows;
        self.merged.duplicate_keys = duplicates.repeated_keys;
        self.merged.differing_duplicates = duplicates.differing;
        self.sink.finish()?;
        Ok(self.merged)
    }
}

/// Why the text of a cell may not be written.
fn fault(text: &str, kind: Kind, accepts_rounded: bool) -> Option<String> {
    match kind {
        Kind::LongNumber if !accepts_rounded => Some(format!(
            "{text} has more than 15 digits, and a spreadsheet keeps no more of a number: format the column as text and enter its numbers anew, or export them again (--accept-rounded takes what is in the file)"
        )),
        Kind::Error => Some(format!(
            "{text}: correct the formula, or leave the column out with --columns"
        )),
        Kind::NoTime => Some(format!(
            "{text} is in the format of a date or a time, and is none: give the cell another format"
        )),
        _ => None,
    }
}

/// Appends a field (RFC 4180).
fn push_field(line: &mut Vec<u8>, text: &str) {
    // A byte order mark at the start of a file is not read as text.
    let is_odd = text
        .bytes()
        .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
        || text.starts_with('\u{feff}');
    if !is_odd {
        return line.extend_from_slice(text.as_bytes());
    }
    line.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_are_read_as_they_were_written(fields in prop::collection::vec("[a,\"\n\r;\u{feff}é ]{1,5}", 1..5)) {
            let mut line = Vec::new();
            for (index, field) in fields.iter().enumerate() {
                if index > 0 {
                    line.push(b',');
                }
                push_field(&mut line, field);
            }
            line.push(b'\n');
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&line[..]);
            let records: Vec<Vec<String>> = reader.deserialize().map(Result::unwrap).collect();
            prop_assert_eq!(records, [fields]);
        }
    }
}
