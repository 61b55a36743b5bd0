//! Parquet of export lines: columns as a schema says, and what fits none of them as JSON beside them.

mod arrays;
mod bits;
mod builder;
mod dictionary;
mod file;
mod fit;
mod lookup;
mod numbers;
mod row;
mod unescape;

use self::builder::{Builder, Context};
use self::file::File;
use self::lookup::Lookup;
use crate::schema::{Column, ColumnKind, EXTRA_COLUMN, EntitySchema};
use crate::shaping::Taken;
use crate::{Added, LineFault, LineForm, Shaping};

/// When a row group ends. The file in memory is taken away group by group, so this is what bounds memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetLimits {
    /// Bytes that the columns take before they are compressed. One item more than that fits, and at most 1 GiB are used.
    pub row_group_bytes: u64,
    /// Rows.
    pub row_group_rows: usize,
}

impl Default for ParquetLimits {
    /// 16 MiB and a million rows: a few MiB of a file.
    fn default() -> Self {
        Self {
            row_group_bytes: 16 << 20,
            row_group_rows: 1 << 20,
        }
    }
}

/// The most that [`ParquetLimits::row_group_bytes`] can be, so that places in a column fit 32 bits.
const MAX_ROW_GROUP_BYTES: u64 = 1 << 30;
/// What compressing makes of a byte of a column, until the file itself says it.
const ASSUMED_RATIO: u64 = 4;
/// No part of writing to memory can fail, and the arrays are of the schema's types by construction.
const WRITTEN: &str = "columns of the schema's types can be written to memory";

/// The columns before those of the schema in a file of an incremental export.
const CHANGE_COLUMNS: [(&str, ColumnKind); 3] = [
    ("tl_change", ColumnKind::String),
    ("tl_write_micros", ColumnKind::Integer),
    ("tl_old_image", ColumnKind::Json),
];

/// Makes a Parquet file of the lines of an export that are of one entity. The same lines make the same bytes.
pub struct ParquetEncoder {
    form: LineForm,
    shaping: Shaping,
    limits: ParquetLimits,
    file: File,
    /// Ours, those of the schema, and `_extra`.
    builders: Vec<Builder>,
    /// How many are before those of the schema.
    leading: usize,
    lookup: Lookup,
    context: Context,
    /// Rows of the row group that is being gathered.
    group_rows: usize,
    /// Rows of those that are written.
    written_rows: u64,
    /// Bytes of columns of row groups that are written, before they were compressed.
    written_bytes: u64,
    /// What of the row fits no column, as JSON.
    extra: Vec<u8>,
    old_image: Vec<u8>,
    taken: Taken,
}

impl ParquetEncoder {
    /// An encoder of lines of this form into these columns; `shaping` is applied first, so that the columns have its names.
    pub fn new(
        form: LineForm,
        schema: &EntitySchema,
        shaping: Shaping,
        limits: ParquetLimits,
    ) -> Self {
        let leading: &[_] = match form {
            LineForm::Full => &[],
            LineForm::Incremental => &CHANGE_COLUMNS,
        };
        let ours = |(name, kind): &(&str, ColumnKind)| Column {
            name: (*name).to_owned(),
            kind: kind.clone(),
        };
        let columns: Vec<Column> = leading
            .iter()
            .map(ours)
            .chain(schema.columns().iter().cloned())
            .chain([ours(&(EXTRA_COLUMN, ColumnKind::Json))])
            .collect();
        Self {
            form,
            shaping,
            limits: ParquetLimits {
                row_group_bytes: limits.row_group_bytes.min(MAX_ROW_GROUP_BYTES),
                ..limits
            },
            file: File::new(&columns, schema.to_json()).expect(WRITTEN),
            builders: columns
                .iter()
                .map(|column| Builder::new(&column.kind))
                .collect(),
            leading: leading.len(),
            lookup: Lookup::new(schema.columns().iter().map(|column| column.name.as_str())),
            context: Context::default(),
            group_rows: 0,
            written_rows: 0,
            written_bytes: 0,
            extra: Vec::new(),
            old_image: Vec::new(),
            taken: Taken::default(),
        }
    }

    /// Adds the row that a line becomes.
    ///
    /// # Errors
    /// If the line is none of its form; there is then no row of it.
    pub fn add(&mut self, line: &[u8]) -> Result<Added, LineFault> {
        let bytes = self.context.bytes;
        let added = self.read_row(line);
        match added {
            Ok(Added::Written) => {
                self.group_rows += 1;
                if self.context.bytes >= self.limits.row_group_bytes
                    || self.group_rows >= self.limits.row_group_rows
                {
                    self.write_group();
                }
            }
            Ok(Added::FilteredOut) => {}
            Err(_) => {
                self.context.bytes = bytes;
                for builder in &mut self.builders {
                    builder.truncate(self.group_rows);
                }
            }
        }
        added
    }

    /// Appends to `out` the bytes of the file that are made and were not taken before.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        self.file.take(out).expect(WRITTEN);
    }

    /// Bytes of the file if it ended here: those that are made, and an estimate of what the row group that is being gathered
    /// will take.
    pub fn bytes_so_far(&self) -> u64 {
        let made = self.file.bytes();
        let gathered = match self.written_bytes {
            0 => self.context.bytes / ASSUMED_RATIO,
            written => {
                let share = u128::from(self.context.bytes) * u128::from(made) / u128::from(written);
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        };
        made.saturating_add(gathered)
    }

    /// Bytes that it keeps in memory: the columns of the row group that is being gathered, and for the end of the file what each
    /// column of each written row group is.
    pub fn held_bytes(&self) -> usize {
        let gathered = usize::try_from(self.context.bytes).unwrap_or(usize::MAX);
        gathered.saturating_add(self.file.described_bytes())
    }

    /// Rows that the file has so far.
    pub fn rows(&self) -> u64 {
        self.written_rows + self.group_rows as u64
    }

    /// What of the row that was added last fits no column: a JSON object of DynamoDB JSON by attribute name, as it is in `_extra`;
    /// empty if all of it fits.
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// Ends the file and appends to `out` what of it was not taken before. A file of no rows is a good one.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.write_group();
        self.file.finish(out).expect(WRITTEN);
    }

    fn write_group(&mut self) {
        if self.group_rows == 0 {
            return;
        }
        self.file
            .write(&mut self.builders, self.group_rows)
            .expect(WRITTEN);
        self.written_rows += self.group_rows as u64;
        self.written_bytes += std::mem::take(&mut self.context.bytes);
        self.group_rows = 0;
    }
}
