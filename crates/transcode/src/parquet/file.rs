//! A Parquet file in memory, of which finished row groups are taken away.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema as ArrowSchema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;

use super::arrays::{Texts, field, take_array};
use super::builder::Builder;
use super::dictionary;
use crate::schema::Column;

/// The key of the file's metadata under which the schema is.
pub(super) const SCHEMA_KEY: &str = "transload.schema";

/// Values that a column's writer takes at once.
const BATCH: usize = 4_096;

/// What is kept of a column of a row group until the file ends, and what the end itself takes: as measured, with texts of twenty bytes.
const DESCRIBED_BYTES: usize = 1_700;

/// What the root of the file's schema is called.
const ROOT: &str = "transload";

/// Row groups are written column by column, each compressed before the next one is looked at, so that there is one column's
/// pages at a time besides the columns themselves.
pub(super) struct File {
    writer: SerializedFileWriter<Vec<u8>>,
    fields: Vec<FieldRef>,
    arrow: SchemaRef,
}

fn properties() -> Result<WriterPropertiesBuilder, ParquetError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_write_batch_size(BATCH)
        .set_statistics_enabled(EnabledStatistics::Chunk))
}

impl File {
    pub(super) fn new(columns: &[Column], schema_json: String) -> Result<Self, ParquetError> {
        let fields = |texts| -> Vec<FieldRef> {
            columns.iter().map(|column| field(column, texts)).collect()
        };
        let described = ArrowSchema::new(fields(Texts::Utf8));
        let parquet = ArrowSchemaConverter::new()
            .schema_root(ROOT)
            .convert(&described)?;
        let properties = properties()?
            .set_key_value_metadata(Some(vec![KeyValue::new(
                SCHEMA_KEY.to_owned(),
                schema_json,
            )]))
            .build();
        let writer =
            SerializedFileWriter::new(Vec::new(), parquet.root_schema_ptr(), Arc::new(properties))?;
        let fields = fields(Texts::Bytes);
        Ok(Self {
            writer,
            arrow: Arc::new(ArrowSchema::new(fields.clone())),
            fields,
        })
    }

    /// Writers of a row group's leaves. Properties hold for a whole file, so a file that is never written lends its own.
    fn column_writers(&self, builders: &[Builder]) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
        let mut dictionaries = Vec::new();
        for builder in builders {
            dictionary::choose(builder, &mut dictionaries);
        }
        let leaves = self.writer.schema_descr().columns();
        let properties = leaves.iter().zip(dictionaries).fold(
            properties()?,
            |properties, (leaf, dictionary)| {
                properties.set_column_dictionary_enabled(leaf.path().clone(), dictionary)
            },
        );
        let lender = SerializedFileWriter::new(
            std::io::sink(),
            self.writer.schema_descr().root_schema_ptr(),
            Arc::new(properties.build()),
        )?;
        ArrowRowGroupWriterFactory::new(&lender, Arc::clone(&self.arrow))
            .create_column_writers(self.writer.flushed_row_groups().len())
    }

    /// Writes all slots of these columns as a row group and empties the builders.
    pub(super) fn write(
        &mut self,
        builders: &mut [Builder],
        rows: usize,
    ) -> Result<(), ParquetError> {
        let mut writers = self.column_writers(builders)?.into_iter();
        let mut group = self.writer.next_row_group()?;
        for (builder, field) in builders.iter_mut().zip(&self.fields) {
            let array = take_array(builder, field.data_type(), rows)?;
            for leaf in compute_leaves(field, &array)? {
                let mut column = writers.next().ok_or_else(|| {
                    ParquetError::General("a column has more leaves than writers".to_owned())
                })?;
                column.write(&leaf)?;
                column.close()?.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        Ok(())
    }

    /// Bytes of the file so far, also those that were taken away.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Bytes of memory that the descriptions of the written row groups take, until they are written at the file's end.
    pub(super) fn described_bytes(&self) -> usize {
        let chunks =
            self.writer.flushed_row_groups().len() * self.writer.schema_descr().num_columns();
        chunks * DESCRIBED_BYTES
    }

    /// Moves the bytes that are there to the end of `out`.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        self.writer.flush()?;
        let bytes = self.writer.inner_mut();
        out.append(bytes);
        Ok(())
    }

    /// Ends the file and appends what was not taken to `out`.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        out.append(&mut self.writer.into_inner()?);
        Ok(())
    }
}
