//! One line into the columns.

use records::MAX_DEPTH;

use super::ParquetEncoder;
use super::lookup::Last;
use crate::line::{Line, Part};
use crate::shaping::Place;
use crate::walk::Walk;
use crate::{Added, LineFault, LineForm};

/// What `tl_change` says where there is an item, and where it was removed.
const PUT: &[u8] = b"PUT";
const DELETE: &[u8] = b"DELETE";

impl ParquetEncoder {
    /// Reads a line into the slot behind the rows that are there. On a fault, the builders are to be truncated.
    pub(super) fn read_row(&mut self, bytes: &[u8]) -> Result<Added, LineFault> {
        self.context.names.clear();
        self.extra.clear();
        let mut line = Line::open(bytes, self.form)?;
        let mut micros = 0;
        let (mut keys, mut old_image, mut image) = (None, None, None);
        let mut is_read = false;
        while let Some(part) = line.next_part()? {
            let place = line.walk;
            match part {
                Part::WriteMicros(value) => {
                    micros = i64::try_from(value)
                        .map_err(|_| place.expected("WriteTimestampMicros within 63 bits"))?;
                }
                Part::Keys => {
                    keys = Some(place);
                    line.walk.item(&mut self.context.names)?;
                }
                Part::OldImage => {
                    old_image = Some(place);
                    line.walk.item(&mut self.context.names)?;
                }
                // Whether the item stays can hang on its last attribute.
                Part::Item | Part::NewImage if self.shaping.filters() => {
                    line.walk.item(&mut self.context.names)?;
                    if self.shaping.keeps(place, &mut self.context.names)? {
                        image = Some(place);
                    }
                }
                Part::Item | Part::NewImage => {
                    self.read_item(&mut line.walk)?;
                    is_read = true;
                }
            }
        }
        let is_put = is_read || image.is_some();
        if self.form == LineForm::Full && !is_put {
            return Ok(Added::FilteredOut);
        }
        if !is_read && let Some(mut walk) = image.or(keys) {
            self.read_item(&mut walk)?;
        }
        if self.form == LineForm::Incremental {
            self.read_change(is_put, micros, old_image)?;
        }
        if !self.extra.is_empty() {
            self.extra.push(b'}');
            if let Some(column) = self.builders.last_mut() {
                column.push_bytes(self.group_rows, &self.extra, &mut self.context);
            }
        }
        Ok(Added::Written)
    }

    /// Fills the columns of incremental exports.
    fn read_change(
        &mut self,
        is_put: bool,
        micros: i64,
        old_image: Option<Walk<'_>>,
    ) -> Result<(), LineFault> {
        let change = if is_put { PUT } else { DELETE };
        let row = self.group_rows;
        self.builders[0].push_bytes(row, change, &mut self.context);
        self.builders[1].push_integer(row, micros, &mut self.context);
        if let Some(mut walk) = old_image {
            self.shape_item(&mut walk)?;
            self.builders[2].push_bytes(row, &self.old_image, &mut self.context);
        }
        Ok(())
    }

    /// Reads an item into its columns and `extra`.
    fn read_item(&mut self, walk: &mut Walk<'_>) -> Result<(), LineFault> {
        self.taken.clear();
        let row = self.group_rows;
        let shapes = self.shaping.shapes_columns();
        let mut last = Last::default();
        let mut object = walk.object()?;
        while let Some(name) = walk.member(&mut object, &mut self.context.names)? {
            let found;
            let mut json = name.quoted();
            if shapes || name.is_escaped() {
                match self.shaping.place(&name.to_text(), &mut self.taken)? {
                    Place::Same => {
                        found = self
                            .lookup
                            .find(&name, self.context.names.number(), &mut last);
                    }
                    Place::Renamed { name, json: quoted } => {
                        found = self.lookup.find_text(name.as_bytes(), &mut last);
                        json = quoted.as_bytes();
                    }
                    Place::Dropped => {
                        walk.value(&mut self.context.names, MAX_DEPTH)?;
                        continue;
                    }
                }
            } else {
                found = self
                    .lookup
                    .find(&name, self.context.names.number(), &mut last);
            }
            walk.peek();
            let start = walk.offset();
            match found {
                Some(place) => {
                    let column = &mut self.builders[self.leading + place];
                    let before = column.len();
                    if column.push(row, walk, &mut self.context, MAX_DEPTH)? {
                        self.context.bytes += column.slot_bytes(row + 1 - before);
                        continue;
                    }
                    column.truncate(row);
                }
                None => {
                    walk.value(&mut self.context.names, MAX_DEPTH)?;
                }
            }
            let value = &walk.bytes()[start..walk.offset()];
            push_member(&mut self.extra, json, value);
        }
        Ok(())
    }

    /// Makes `old_image` the DynamoDB JSON of an item with its attributes renamed and dropped.
    fn shape_item(&mut self, walk: &mut Walk<'_>) -> Result<(), LineFault> {
        self.old_image.clear();
        self.taken.clear();
        let names = &mut self.context.names;
        let mut object = walk.object()?;
        while let Some(name) = walk.member(&mut object, names)? {
            let value = walk.value(names, MAX_DEPTH)?;
            match self.shaping.place(&name.to_text(), &mut self.taken)? {
                Place::Same => push_member(&mut self.old_image, name.quoted(), value),
                Place::Renamed { json, .. } => {
                    push_member(&mut self.old_image, json.as_bytes(), value);
                }
                Place::Dropped => {}
            }
        }
        if self.old_image.is_empty() {
            self.old_image.push(b'{');
        }
        self.old_image.push(b'}');
        Ok(())
    }
}

/// Appends a member to an object that is not closed, or not begun where `out` is empty.
fn push_member(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    out.extend_from_slice(name);
    out.push(b':');
    out.extend_from_slice(value);
}
