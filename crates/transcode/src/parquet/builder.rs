//! The values of a column as they are gathered: plain vectors, from which what does not fit is taken back.

use super::bits::{Bits, Validity};
use super::lookup::Lookup;
use crate::fault::LineFault;
use crate::names::Names;
use crate::schema::{Column, ColumnKind};
use crate::walk::Walk;

/// A column, or a part of one: as many slots as it has values and nulls.
///
/// Nulls at the end may be missing; whoever owns the builder knows how many slots there are and fills them in
/// ([`Builder::fill`]), so that a column costs nothing for items that do not have it.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) validity: Validity,
    pub(super) values: Values,
    /// Bytes that a slot takes before what it points to.
    pub(super) slot_bytes: u64,
}

#[derive(Debug)]
pub(super) enum Values {
    Bytes(Spans),
    Json(Spans),
    Text(Spans),
    Integer(Vec<i64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: u8,
    },
    Double(Vec<f64>),
    Boolean(Bits),
    List {
        ends: Ends,
        element: Box<Builder>,
    },
    Set {
        ends: Ends,
        element: Box<Builder>,
    },
    Struct {
        lookup: Lookup,
        members: Vec<Builder>,
    },
    Map {
        ends: Ends,
        keys: Spans,
        value: Box<Builder>,
    },
}

/// Where each slot of a list ends.
#[derive(Debug)]
pub(super) struct Ends(pub(super) Vec<i32>);

/// Byte strings behind one another.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) ends: Ends,
    pub(super) bytes: Vec<u8>,
}

/// What filling columns needs besides them.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// The names of open objects.
    pub(super) names: Names,
    /// Bytes that the columns hold, but for null slots at their ends. What was taken back is counted too.
    pub(super) bytes: u64,
}

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    #[inline]
    pub(super) fn push(&mut self, end: usize) {
        self.0
            .push(i32::try_from(end).expect("a row group's columns are far below 2 GiB"));
    }

    fn repeat(&mut self, count: usize) {
        let last = self.last();
        self.0.resize(self.0.len() + count, last);
    }

    fn last(&self) -> i32 {
        self.0.last().copied().unwrap_or_default()
    }

    /// Keeps this many slots, and says where the last of them ends.
    fn truncate(&mut self, slots: usize) -> usize {
        self.0.truncate(slots + 1);
        usize::try_from(self.last()).unwrap_or_default()
    }
}

impl Spans {
    #[inline]
    pub(super) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn truncate(&mut self, slots: usize) {
        let end = self.ends.truncate(slots);
        self.bytes.truncate(end);
    }
}

impl Builder {
    pub(super) fn new(kind: &ColumnKind) -> Self {
        let boxed = |kind: &ColumnKind| Box::new(Self::new(kind));
        let (slot_bytes, values) = match kind {
            ColumnKind::String => (4, Values::Text(Spans::default())),
            ColumnKind::Json => (4, Values::Json(Spans::default())),
            ColumnKind::Binary => (4, Values::Bytes(Spans::default())),
            ColumnKind::Integer => (8, Values::Integer(Vec::new())),
            ColumnKind::Double => (8, Values::Double(Vec::new())),
            ColumnKind::Boolean => (1, Values::Boolean(Bits::default())),
            ColumnKind::Decimal { precision, scale } => {
                let (values, precision, scale) = (Vec::new(), *precision, *scale);
                (
                    16,
                    Values::Decimal {
                        values,
                        precision,
                        scale,
                    },
                )
            }
            ColumnKind::List(kind) => {
                let (ends, element) = (Ends::default(), boxed(kind));
                (4, Values::List { ends, element })
            }
            ColumnKind::Set(kind) => {
                let (ends, element) = (Ends::default(), boxed(kind));
                (4, Values::Set { ends, element })
            }
            ColumnKind::Map(kind) => {
                let (ends, keys, value) = (Ends::default(), Spans::default(), boxed(kind));
                (4, Values::Map { ends, keys, value })
            }
            ColumnKind::Struct(columns) => {
                let members: Vec<Self> = columns
                    .iter()
                    .map(|column| Self::new(&column.kind))
                    .collect();
                let bytes = members.iter().map(|member| member.slot_bytes).sum();
                (bytes, Values::structure(columns, members))
            }
        };
        Self {
            validity: Validity::default(),
            values,
            slot_bytes,
        }
    }

    /// Slots so far.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.validity.len()
    }

    /// Null slots up to this many in all.
    #[inline]
    pub(super) fn fill(&mut self, len: usize) {
        if self.len() < len {
            self.push_nulls(len - self.len());
        }
    }

    #[cold]
    fn push_nulls(&mut self, count: usize) {
        self.validity.push_nulls(count);
        let len = self.validity.len();
        match &mut self.values {
            Values::Bytes(spans) | Values::Json(spans) | Values::Text(spans) => {
                spans.ends.repeat(count);
            }
            Values::Integer(values) => values.resize(len, 0),
            Values::Decimal { values, .. } => values.resize(len, 0),
            Values::Double(values) => values.resize(len, 0.0),
            Values::Boolean(bits) => bits.push_many(false, count),
            Values::List { ends, .. } | Values::Set { ends, .. } | Values::Map { ends, .. } => {
                ends.repeat(count);
            }
            // Members are filled when they get a value, or at the end.
            Values::Struct { .. } => {}
        }
    }

    /// Keeps this many slots.
    pub(super) fn truncate(&mut self, len: usize) {
        self.validity.truncate(len);
        self.truncate_values(len);
    }

    /// Takes back what a value that does not fit has left behind the slots; there may be fewer than `len`.
    fn truncate_values(&mut self, len: usize) {
        match &mut self.values {
            Values::Bytes(spans) | Values::Json(spans) | Values::Text(spans) => spans.truncate(len),
            Values::Integer(values) => values.truncate(len),
            Values::Decimal { values, .. } => values.truncate(len),
            Values::Double(values) => values.truncate(len),
            Values::Boolean(bits) => bits.truncate(len),
            Values::List { ends, element } | Values::Set { ends, element } => {
                element.truncate(ends.truncate(len));
            }
            Values::Struct { members, .. } => {
                for member in members {
                    member.truncate(len);
                }
            }
            Values::Map { ends, keys, value } => {
                let end = ends.truncate(len);
                keys.truncate(end);
                value.truncate(end);
            }
        }
    }

    /// Reads a whole value, `{"S":"text"}`, into the slot behind `slot` others. If it does not fit, `false` is returned, and
    /// the builder is to be truncated to `slot` before anything else; the same holds for a fault. The walk stands behind the
    /// value either way.
    #[inline]
    pub(super) fn push(
        &mut self,
        slot: usize,
        walk: &mut Walk<'_>,
        context: &mut Context,
        levels: usize,
    ) -> Result<bool, LineFault> {
        self.fill(slot);
        let fits = if let Values::Json(spans) = &mut self.values {
            let value = walk.value(&mut context.names, levels)?;
            spans.bytes.extend_from_slice(value);
            spans.end();
            context.bytes += value.len() as u64;
            true
        } else {
            let tag = walk.tag()?;
            let fits = self.values.push(slot, tag, walk, context, levels)?;
            walk.close()?;
            fits
        };
        if fits {
            self.validity.push_value();
        }
        Ok(fits)
    }

    /// Puts a text or JSON of ours into the slot behind `slot` others.
    pub(super) fn push_bytes(&mut self, slot: usize, bytes: &[u8], context: &mut Context) {
        self.fill(slot);
        if let Values::Text(spans) | Values::Json(spans) = &mut self.values {
            spans.bytes.extend_from_slice(bytes);
            spans.end();
            self.validity.push_value();
            context.bytes += bytes.len() as u64 + self.slot_bytes;
        }
    }

    /// Puts an integer of ours into the slot behind `slot` others.
    pub(super) fn push_integer(&mut self, slot: usize, value: i64, context: &mut Context) {
        self.fill(slot);
        if let Values::Integer(values) = &mut self.values {
            values.push(value);
            self.validity.push_value();
            context.bytes += self.slot_bytes;
        }
    }

    /// Bytes that the slots from one number of them to another take, but for what they point to.
    #[inline]
    pub(super) fn slot_bytes(&self, slots: usize) -> u64 {
        self.slot_bytes * slots as u64
    }
}

impl Values {
    fn structure(columns: &[Column], members: Vec<Builder>) -> Self {
        Self::Struct {
            lookup: Lookup::new(columns.iter().map(|column| column.name.as_str())),
            members,
        }
    }
}
