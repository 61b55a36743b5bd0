//! Bundles: the results of many items in one compressed object of JSON Lines.
//!
//! ```text
//! {"run":17,"key":{"id":{"S":"42"}},"output":{…}}
//! ```
//!
//! An item may be in several bundles, after a crash or a change. The line with the highest run is its last word: runs of a lane
//! read one after another, and a run reads an item once.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use records::{TableShape, heap_bytes, write_item_dynamodb_json};
use serde_json::value::RawValue;

use crate::markers::Lane;
use crate::names::bundle_object;
use crate::work::Pending;

/// Items of a bundle at most.
pub const MAX_BUNDLE_ITEMS: usize = 500;
/// A bundle ends when its items and results take so much memory together.
pub const MAX_BUNDLE_BYTES: usize = 8 * 1024 * 1024;
/// The usual trade-off: a higher level is slower by half and makes the objects smaller by two percent.
const GZIP_LEVEL: Compression = Compression::new(6);

/// The lines that are gathered for the next bundle.
#[derive(Default)]
pub struct Bundle {
    items: Vec<Pending>,
    lines: Vec<u8>,
    bytes: usize,
}

/// A bundle as it is stored, and the items whose results it has.
pub struct SealedBundle {
    /// Its name in the lake.
    pub name: String,
    /// The compressed lines.
    pub body: Bytes,
    /// The items.
    pub items: Vec<Pending>,
}

impl Bundle {
    /// Whether a result can go into a bundle, which wants JSON.
    ///
    /// # Errors
    /// Why it cannot, and what was expected.
    pub fn check(output: &[u8]) -> Result<(), String> {
        serde_json::from_slice::<&RawValue>(output)
            .map(drop)
            .map_err(|error| {
                format!(
                    "the result is no JSON ({error}): expected JSON, since results go into bundles"
                )
            })
    }

    /// Adds an item and its result, which has been checked.
    pub fn add(&mut self, run: u64, pending: Pending, output: &[u8]) {
        write!(self.lines, "{{\"run\":{run},\"key\":").expect("memory can be written to");
        write_item_dynamodb_json(&pending.key, &mut self.lines);
        self.lines.extend_from_slice(b",\"output\":");
        // Line breaks can only be between tokens here, where a space says the same.
        let one_line = output.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => *other,
        });
        self.lines.extend(one_line);
        self.lines.extend_from_slice(b"}\n");
        self.bytes += heap_bytes(&pending.item) + output.len();
        self.items.push(pending);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the bundle is to be sealed.
    pub fn is_full(&self) -> bool {
        self.items.len() >= MAX_BUNDLE_ITEMS || self.bytes >= MAX_BUNDLE_BYTES
    }

    /// The bundle as it is stored; nothing if there is nothing in it.
    ///
    /// # Errors
    /// If the lines cannot be compressed.
    pub fn seal(self, lane: &Lane, table: &TableShape) -> io::Result<Option<SealedBundle>> {
        let (Some(first), Some(last)) = (self.items.first(), self.items.last()) else {
            return Ok(None);
        };
        let name = bundle_object(lane, table, &first.key, &last.key, &self.lines);
        let mut encoder = GzEncoder::new(Vec::new(), GZIP_LEVEL);
        encoder.write_all(&self.lines)?;
        Ok(Some(SealedBundle {
            name,
            body: Bytes::from(encoder.finish()?),
            items: self.items,
        }))
    }
}
