//! The object of one data set that is being made.

use std::mem;

use storage::ObjectStore;
use storage::staged::{STAGED_PART_BYTES, Staged, StagedWriter};
use transcode::{Added, LineFault, ParquetEncoder, ParquetLimits, Shaping};

use super::checkpoint::RowCounts;
use super::compress::Compressor;
use super::encode::LineEncoder;
use super::error::OutputError;
use super::plan::OutputPlan;
use crate::settings::Format;

/// Bytes of lines that are compressed together.
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes that the row groups of all data sets gather together, unless there are more than sixteen.
const GATHERED_BYTES: u64 = 16 * 1024 * 1024;
/// The least that a row group gathers.
const MIN_GROUP_BYTES: u64 = 1024 * 1024;

/// What all data sets share.
pub(super) struct Tools {
    encoder: LineEncoder,
    shaping: Shaping,
    limits: ParquetLimits,
    compressor: Compressor,
    /// Bytes on their way to an object.
    ready: Vec<u8>,
    /// The memory of the block that was compressed last, for the next one that is begun: data sets that wait keep none.
    spare: Vec<u8>,
}

impl Tools {
    pub(super) fn new(plan: &OutputPlan) -> Result<Self, OutputError> {
        let shaping = match &plan.settings.shaping {
            None => Shaping::default(),
            Some(json) => {
                Shaping::parse(json).map_err(|error| OutputError::Settings(error.to_string()))?
            }
        };
        if let Some(schema) = &plan.schema
            && schema.discriminator() != plan.settings.discriminator.as_deref()
        {
            return Err(OutputError::Settings(format!(
                "the discriminator is {:?}, and that of the schema is {:?}: expected the same",
                plan.settings.discriminator,
                schema.discriminator()
            )));
        }
        let data_sets = plan
            .schema
            .as_ref()
            .map_or(1, |schema| schema.entities().count());
        let data_sets = u64::try_from(data_sets.max(1)).unwrap_or(u64::MAX);
        Ok(Self {
            encoder: LineEncoder::new(plan, shaping.clone()),
            shaping,
            limits: ParquetLimits {
                row_group_bytes: (GATHERED_BYTES / data_sets).max(MIN_GROUP_BYTES),
                ..ParquetLimits::default()
            },
            compressor: Compressor::new(plan.settings.codec)?,
            ready: Vec::new(),
            spare: Vec::new(),
        })
    }
}

/// An object that is being made. Asks nothing of the store before a part of it is full.
pub(super) struct Object<'a, O> {
    writer: StagedWriter<'a, O>,
    body: Body,
    rows: RowCounts,
    /// The number behind its last line.
    lines: u64,
}

enum Body {
    Lines {
        /// Lines that are not compressed yet.
        block: Vec<u8>,
        /// Bytes of the lines that were compressed.
        compressed: u64,
    },
    Columns(Box<ParquetEncoder>),
}

impl<'a, O: ObjectStore> Object<'a, O> {
    pub(super) fn new(
        objects: &'a O,
        plan: &OutputPlan,
        entity: &str,
        key: &str,
        tools: &Tools,
    ) -> Result<Self, OutputError> {
        let body = match (plan.settings.format, &plan.schema) {
            (Format::JsonLines | Format::Changes, _) => Body::Lines {
                block: Vec::new(),
                compressed: 0,
            },
            (Format::Parquet, None) => {
                return Err(OutputError::Settings(
                    "Parquet without a schema: expected one".to_owned(),
                ));
            }
            (Format::Parquet, Some(schema)) => Body::Columns(Box::new(ParquetEncoder::new(
                plan.form,
                schema.entity(Some(entity)).1,
                tools.shaping.clone(),
                tools.limits,
            ))),
        };
        Ok(Self {
            writer: StagedWriter::new(objects, &plan.bucket, key),
            body,
            rows: RowCounts::default(),
            lines: 0,
        })
    }

    pub(super) async fn add(
        &mut self,
        number: u64,
        line: &[u8],
        tools: &mut Tools,
    ) -> Result<(), OutputError> {
        let fault = |fault: LineFault| OutputError::Line {
            line: number + 1,
            fault,
        };
        let added = match &mut self.body {
            Body::Lines { block, .. } => {
                if block.capacity() == 0 {
                    *block = mem::take(&mut tools.spare);
                }
                tools.encoder.add(number, line, block).map_err(fault)?
            }
            Body::Columns(encoder) => encoder.add(line).map_err(fault)?,
        };
        match added {
            Added::Written => self.rows.written += 1,
            Added::FilteredOut => self.rows.filtered += 1,
        }
        self.lines = number + 1;
        self.write_ready(tools).await
    }

    pub(super) fn rows(&self) -> RowCounts {
        self.rows
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether it has as many bytes as a split is to have.
    pub(super) fn is_full(&self, split_bytes: u64) -> bool {
        let bytes = match &self.body {
            Body::Lines { block, compressed } => compressed + block.len() as u64,
            Body::Columns(encoder) => encoder.bytes_so_far(),
        };
        self.rows.written > 0 && bytes >= split_bytes
    }

    /// Bytes that it keeps in memory.
    pub(super) fn held_bytes(&self) -> usize {
        let unsent = self.writer.bytes() % STAGED_PART_BYTES as u64;
        let unready = match &self.body {
            Body::Lines { block, .. } => block.len(),
            Body::Columns(encoder) => encoder.held_bytes(),
        };
        unready + usize::try_from(unsent).unwrap_or(usize::MAX)
    }

    /// Ends it; nothing if no row was written to it.
    pub(super) async fn end(mut self, tools: &mut Tools) -> Result<Option<Staged>, OutputError> {
        if self.rows.written == 0 {
            return Ok(None);
        }
        let written = match self.body {
            Body::Lines { ref mut block, .. } => {
                let block = mem::take(block);
                write_block(&mut self.writer, block, tools).await
            }
            Body::Columns(encoder) => {
                tools.ready.clear();
                encoder.finish(&mut tools.ready);
                self.writer
                    .write(&tools.ready)
                    .await
                    .map_err(OutputError::from)
            }
        };
        match written {
            Ok(()) => Ok(self.writer.finish().await?),
            Err(error) => {
                abandon(self.writer).await;
                Err(error)
            }
        }
    }

    /// Forgets it.
    pub(super) async fn abandon(self) {
        abandon(self.writer).await;
    }

    /// Writes what makes a whole block, or row group.
    async fn write_ready(&mut self, tools: &mut Tools) -> Result<(), OutputError> {
        match &mut self.body {
            Body::Lines { block, compressed } => {
                if block.len() >= BLOCK_BYTES {
                    *compressed += block.len() as u64;
                    write_block(&mut self.writer, mem::take(block), tools).await?;
                }
            }
            Body::Columns(encoder) => {
                tools.ready.clear();
                encoder.take(&mut tools.ready);
                self.writer.write(&tools.ready).await?;
            }
        }
        Ok(())
    }
}

async fn write_block<O: ObjectStore>(
    writer: &mut StagedWriter<'_, O>,
    mut block: Vec<u8>,
    tools: &mut Tools,
) -> Result<(), OutputError> {
    if block.is_empty() {
        return Ok(());
    }
    tools.compressor.block(&block, &mut tools.ready)?;
    block.clear();
    tools.spare = block;
    Ok(writer.write(&tools.ready).await?)
}

async fn abandon<O: ObjectStore>(writer: StagedWriter<'_, O>) {
    if let Err(error) = writer.abandon().await {
        tracing::warn!(%error, "an upload could not be aborted");
    }
}
