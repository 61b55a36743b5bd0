//! Lines of plain JSON.

use std::io::Write;

use crate::fault::LineFault;
use crate::line::{Line, LineForm, Part};
use crate::names::Names;
use crate::shaping::{Shaping, Taken};
use crate::walk::Walk;
use crate::{Added, splice};

/// Makes a line of plain JSON of each line of an export.
///
/// Of a full line, the item: texts, numbers, base64, arrays for lists and sets, objects for maps, true, false and null. Of an
/// incremental line, `{"Metadata":{"WriteTimestampMicros":1},"Keys":{},"NewImage":{},"OldImage":{}}` in this order, without the
/// images that are not there.
#[derive(Debug)]
pub struct JsonEncoder {
    form: LineForm,
    shaping: Shaping,
    names: Names,
    taken: Taken,
    /// The members of an incremental line, until their order is known.
    keys: Vec<u8>,
    new_image: Vec<u8>,
    old_image: Vec<u8>,
}

impl JsonEncoder {
    /// An encoder of lines of this form.
    pub fn new(form: LineForm, shaping: Shaping) -> Self {
        Self {
            form,
            shaping,
            names: Names::default(),
            taken: Taken::default(),
            keys: Vec::new(),
            new_image: Vec::new(),
            old_image: Vec::new(),
        }
    }

    /// Appends what a line becomes, with `\n` behind it. The line may have its own line ending or not.
    ///
    /// # Errors
    /// If the line is none of its form, or a renamed attribute would take the name of another one; `out` is then as it was.
    pub fn add(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<Added, LineFault> {
        let start = out.len();
        // A number's canonical spelling is the only thing that can be longer than what stands in the line.
        out.reserve(line.len() + 64);
        self.names.clear();
        let line = Line::open(line, self.form)?;
        let added = match self.form {
            LineForm::Full => self.full(line, out),
            LineForm::Incremental => self.incremental(line, out),
        };
        match added {
            Ok(Added::Written) => out.push(b'\n'),
            Ok(Added::FilteredOut) | Err(_) => out.truncate(start),
        }
        added
    }

    fn full(&mut self, mut line: Line<'_>, out: &mut Vec<u8>) -> Result<Added, LineFault> {
        let mut added = Added::Written;
        while line.next_part()?.is_some() {
            let item = line.walk;
            self.item(&mut line.walk, out)?;
            if self.shaping.filters() && !self.shaping.keeps(item, &mut self.names)? {
                added = Added::FilteredOut;
            }
        }
        Ok(added)
    }

    fn incremental(&mut self, mut line: Line<'_>, out: &mut Vec<u8>) -> Result<Added, LineFault> {
        let mut write_micros = 0;
        let mut keys = std::mem::take(&mut self.keys);
        let mut new_image = std::mem::take(&mut self.new_image);
        let mut old_image = std::mem::take(&mut self.old_image);
        keys.clear();
        new_image.clear();
        old_image.clear();
        while let Some(part) = line.next_part()? {
            match part {
                Part::WriteMicros(micros) => write_micros = micros,
                Part::Keys => self.item(&mut line.walk, &mut keys)?,
                Part::OldImage => self.item(&mut line.walk, &mut old_image)?,
                Part::NewImage | Part::Item => {
                    let item = line.walk;
                    self.item(&mut line.walk, &mut new_image)?;
                    // What is no longer kept is gone for those who read the output.
                    if self.shaping.filters() && !self.shaping.keeps(item, &mut self.names)? {
                        new_image.clear();
                    }
                }
            }
        }
        write!(
            out,
            "{{\"Metadata\":{{\"WriteTimestampMicros\":{write_micros}}}"
        )
        .expect("a Vec takes all bytes");
        for (name, member) in [
            ("Keys", &keys),
            ("NewImage", &new_image),
            ("OldImage", &old_image),
        ] {
            if !member.is_empty() {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                out.extend_from_slice(member);
            }
        }
        out.push(b'}');
        (self.keys, self.new_image, self.old_image) = (keys, new_image, old_image);
        Ok(Added::Written)
    }

    fn item(&mut self, walk: &mut Walk<'_>, out: &mut Vec<u8>) -> Result<(), LineFault> {
        match self.shaping.shapes_columns() {
            false => splice::item(walk, &mut self.names, out),
            true => splice::shaped_item(walk, &mut self.names, &self.shaping, &mut self.taken, out),
        }
    }
}
