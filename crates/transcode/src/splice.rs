//! Reading what an item holds, and its plain JSON: its bytes without the tags.

use records::MAX_DEPTH;

use crate::fault::LineFault;
use crate::names::Names;
use crate::number;
use crate::shaping::{Place, Shaping, Taken};
use crate::text::Text;
use crate::walk::{Tag, Walk};

/// What becomes of the plain JSON of what is read.
pub(crate) trait Sink {
    /// Takes a few bytes of the line.
    fn copy(&mut self, bytes: &[u8], start: usize, end: usize);

    /// Takes bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Hears of a member whose value is next. `levels` is [`MAX_DEPTH`] for an attribute of the item itself.
    #[inline(always)]
    fn member(&mut self, _name: &Text<'_>, _value: usize, _levels: usize) {}

    /// Takes the canonical spelling of a number; `false` and nothing taken if it is none.
    fn put_canonical(&mut self, text: &Text<'_>) -> bool;
}

/// Where the plain JSON is of no interest, and all is only checked.
pub(crate) struct Nothing;

impl Sink for Nothing {
    #[inline(always)]
    fn copy(&mut self, _: &[u8], _: usize, _: usize) {}

    #[inline(always)]
    fn put(&mut self, _: &[u8]) {}

    fn put_canonical(&mut self, text: &Text<'_>) -> bool {
        number::canonical(text, &mut Vec::new())
    }
}

impl Sink for Vec<u8> {
    /// Most runs are so short that a copy of a fixed length, cut afterwards, takes a fraction of the time.
    #[inline(always)]
    fn copy(&mut self, bytes: &[u8], start: usize, end: usize) {
        const FEW: usize = 32;
        let length = end - start;
        if length <= FEW
            && let Some(more) = bytes[start..].first_chunk::<FEW>()
        {
            let before = self.len();
            self.extend_from_slice(more);
            self.truncate(before + length);
        } else {
            self.extend_from_slice(&bytes[start..end]);
        }
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_canonical(&mut self, text: &Text<'_>) -> bool {
        number::canonical(text, self)
    }
}

/// Reads the item at which the walk stands.
#[inline]
pub(crate) fn item(
    walk: &mut Walk<'_>,
    names: &mut Names,
    sink: &mut impl Sink,
) -> Result<(), LineFault> {
    members(walk, names, MAX_DEPTH, sink)
}

/// As [`item`], with attributes renamed and dropped.
pub(crate) fn shaped_item(
    walk: &mut Walk<'_>,
    names: &mut Names,
    shaping: &Shaping,
    taken: &mut Taken,
    out: &mut Vec<u8>,
) -> Result<(), LineFault> {
    taken.clear();
    out.push(b'{');
    let mut first = true;
    let mut object = walk.object()?;
    while let Some(name) = walk.member(&mut object, names)? {
        let place = shaping.place(&name.to_text(), taken)?;
        if place == Place::Dropped {
            walk.value(names, MAX_DEPTH)?;
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        match place {
            Place::Renamed { json, .. } => out.extend_from_slice(json.as_bytes()),
            _ => out.extend_from_slice(name.quoted()),
        }
        out.push(b':');
        value(walk, names, MAX_DEPTH, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn members(
    walk: &mut Walk<'_>,
    names: &mut Names,
    levels: usize,
    sink: &mut impl Sink,
) -> Result<(), LineFault> {
    let bytes = walk.bytes();
    let mut object = walk.object()?;
    loop {
        if let Some(name) = walk.quick_member(&mut object, names)? {
            // What stands before the name, the name and its colon in one go.
            sink.copy(bytes, name.start() - 2, name.end() + 2);
            sink.member(&name, walk.offset(), levels);
        } else {
            let first = object.is_empty();
            let Some(name) = walk.any_member(&mut object, names)? else {
                break;
            };
            sink.put(if first { b"{" } else { b"," });
            sink.put(name.quoted());
            sink.put(b":");
            sink.member(&name, walk.offset(), levels);
        }
        value(walk, names, levels, sink)?;
    }
    sink.put(if object.is_empty() { b"{}" } else { b"}" });
    Ok(())
}

/// Reads a value, `{"S":"text"}`.
#[inline(always)]
pub(crate) fn value(
    walk: &mut Walk<'_>,
    names: &mut Names,
    levels: usize,
    sink: &mut impl Sink,
) -> Result<(), LineFault> {
    if quick_value(walk, names, levels, sink)? {
        return Ok(());
    }
    any_value(walk, names, levels, sink)
}

/// Reads a value, if it is written without blanks or exponent, and is no set or list.
#[inline(always)]
fn quick_value(
    walk: &mut Walk<'_>,
    names: &mut Names,
    levels: usize,
    sink: &mut impl Sink,
) -> Result<bool, LineFault> {
    let (bytes, at) = (walk.bytes(), walk.offset());
    // No value is shorter than this. What it is shows before its content begins.
    let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
        return Ok(false);
    };
    let start = at + BEFORE;
    let end = match u64::from_le_bytes(*chunk) & before(b"\xff\xff\xff\xff\xff\xff") {
        STRING => {
            let end = walk.string_end(start)?;
            if bytes.get(end + 1) != Some(&b'}') {
                return Ok(false);
            }
            sink.copy(bytes, start - 1, end + 1);
            end
        }
        NUMBER => {
            let Some(end) = number::plain_end(bytes, start) else {
                return Ok(false);
            };
            if bytes.get(end..).and_then(|rest| rest.first_chunk()) != Some(b"\"}") {
                return Ok(false);
            }
            sink.copy(bytes, start, end);
            end
        }
        MAP => {
            let levels = walk.level(levels)?;
            walk.go_to(start - 1);
            members(walk, names, levels, sink)?;
            return walk.close().map(|()| true);
        }
        BOOLEAN | NULL => return quick_word(walk, sink),
        _ => return Ok(false),
    };
    walk.go_to(end + 2);
    Ok(true)
}

/// Bytes of a value by which it is told what it is.
const BEFORE: usize = 6;
const STRING: u64 = before(b"{\"S\":\"");
const NUMBER: u64 = before(b"{\"N\":\"");
const MAP: u64 = before(b"{\"M\":{");
const BOOLEAN: u64 = before(b"{\"BOOL");
const NULL: u64 = before(b"{\"NULL");

const fn before(bytes: &[u8; BEFORE]) -> u64 {
    let [a, b, c, d, e, f] = *bytes;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// As [`quick_value`], for values that are a word.
#[inline]
fn quick_word(walk: &mut Walk<'_>, sink: &mut impl Sink) -> Result<bool, LineFault> {
    let word: &[u8] = if walk.take_bytes(b"{\"BOOL\":true}") {
        b"true"
    } else if walk.take_bytes(b"{\"BOOL\":false}") {
        b"false"
    } else if walk.take_bytes(b"{\"NULL\":true}") {
        b"null"
    } else {
        return Ok(false);
    };
    sink.put(word);
    Ok(true)
}

#[inline(never)]
fn any_value(
    walk: &mut Walk<'_>,
    names: &mut Names,
    levels: usize,
    sink: &mut impl Sink,
) -> Result<(), LineFault> {
    let tag = walk.tag()?;
    content(tag, walk, names, levels, sink)?;
    walk.close()
}

/// Reads what a value holds, behind its tag.
#[inline(always)]
pub(crate) fn content(
    tag: Tag,
    walk: &mut Walk<'_>,
    names: &mut Names,
    levels: usize,
    sink: &mut impl Sink,
) -> Result<(), LineFault> {
    match tag {
        Tag::S => string(walk, sink),
        Tag::N => put_number(walk, sink),
        Tag::B => binary(walk, sink),
        Tag::Bool => {
            let word: &[u8] = if walk.boolean()? { b"true" } else { b"false" };
            sink.put(word);
            Ok(())
        }
        Tag::Null => {
            walk.null()?;
            sink.put(b"null");
            Ok(())
        }
        Tag::Ss => array(walk, sink, string),
        Tag::Ns => array(walk, sink, put_number),
        Tag::Bs => array(walk, sink, binary),
        Tag::L => {
            let levels = walk.level(levels)?;
            array(walk, sink, |walk, sink| value(walk, names, levels, sink))
        }
        Tag::M => {
            let levels = walk.level(levels)?;
            members(walk, names, levels, sink)
        }
    }
}

#[inline(always)]
fn array<'a, S: Sink>(
    walk: &mut Walk<'a>,
    sink: &mut S,
    mut element: impl FnMut(&mut Walk<'a>, &mut S) -> Result<(), LineFault>,
) -> Result<(), LineFault> {
    sink.put(b"[");
    let mut elements = walk.array()?;
    let mut first = true;
    while walk.element(&mut elements)? {
        if !first {
            sink.put(b",");
        }
        first = false;
        element(walk, sink)?;
    }
    sink.put(b"]");
    Ok(())
}

#[inline]
fn string(walk: &mut Walk<'_>, sink: &mut impl Sink) -> Result<(), LineFault> {
    let text = walk.string()?;
    sink.copy(text.line(), text.start() - 1, text.end() + 1);
    Ok(())
}

#[inline]
fn binary(walk: &mut Walk<'_>, sink: &mut impl Sink) -> Result<(), LineFault> {
    let text = walk.binary()?;
    sink.copy(text.line(), text.start() - 1, text.end() + 1);
    Ok(())
}

/// Takes the digits, in the canonical spelling unless they are a number of JSON already.
#[inline]
fn put_number(walk: &mut Walk<'_>, sink: &mut impl Sink) -> Result<(), LineFault> {
    let text = walk.number_text()?;
    if number::is_plain(&text) {
        sink.copy(text.line(), text.start(), text.end());
        return Ok(());
    }
    match sink.put_canonical(&text) {
        true => Ok(()),
        false => Err(LineFault::at(text.start(), number::EXPECTED)),
    }
}
