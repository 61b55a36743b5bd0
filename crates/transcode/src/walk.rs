//! Reading the DynamoDB JSON of a line token by token, without a tree.
//!
//! Everything that is read is checked, so that its bytes can be copied into JSON as they are. A [`Walk`] is a place in a line
//! and a `Copy`: who wants to try something keeps one and goes back to it. It does not check UTF-8; [`Line::open`] does, for
//! the whole line.
//!
//! ```text
//! let mut line = Line::open(bytes, LineForm::Full)?;
//! while let Some(part) = line.next_part()? {            // Part::Item, or WriteMicros, Keys, NewImage and OldImage
//!     let mut members = line.walk.object()?;            // the walk stands before the item
//!     while let Some(name) = line.walk.member(&mut members, &mut names)? {
//!         match line.walk.tag()? {
//!             Tag::S => { let text = line.walk.string()?; … line.walk.close()? }
//!             …
//!         }
//!     }
//! }
//! ```
//!
//! [`Line::open`]: crate::line::Line::open

use crate::fault::LineFault;
use crate::names::{Members, Names};
use crate::splice::Nothing;
use crate::text::Text;
use crate::{number, splice, text};

/// The type of an attribute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    S,
    N,
    B,
    Bool,
    Null,
    Ss,
    Ns,
    Bs,
    L,
    M,
}

/// A place in a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether there are bytes that are no printable ASCII, but for the line ending.
    others: bool,
    /// Whether there are control characters, but for the line ending: then each string is searched for them.
    controls: bool,
}

impl<'a> Walk<'a> {
    /// A walk over bytes that are UTF-8.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let others = !text::is_printable(line);
        Self {
            bytes,
            at: 0,
            others,
            controls: others && text::has_controls(line),
        }
    }

    /// Whether all bytes but the line ending are printable ASCII.
    #[inline]
    pub(crate) fn is_printable(&self) -> bool {
        !self.others
    }

    /// Whether there are control characters but for the line ending.
    #[inline]
    pub(crate) fn has_controls(&self) -> bool {
        self.controls
    }

    /// Bytes before this place.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// All bytes of the line.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Goes to another place of the same line.
    pub(crate) fn go_to(&mut self, offset: usize) {
        self.at = offset;
    }

    /// The fault that something else was expected here.
    #[cold]
    pub(crate) fn expected(&self, what: &'static str) -> LineFault {
        LineFault::at(self.at, what)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips blanks; the byte behind them is not consumed.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Consumes this byte, and blanks before it.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), LineFault> {
        if self.peek() != Some(byte) {
            return Err(self.expected(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Consumes the word (`true`, `false`, `null`) if it stands here.
    #[inline(always)]
    pub(crate) fn take_word(&mut self, word: &[u8]) -> bool {
        self.peek();
        let there = self.bytes[self.at..].starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    /// Where the string ends that begins at `start`, behind its quote.
    #[inline(always)]
    pub(crate) fn string_end(&self, start: usize) -> Result<usize, LineFault> {
        text::end(self.bytes, start, self.controls).map(|(end, _)| end)
    }

    /// Consumes these bytes if they stand right here.
    #[inline]
    pub(crate) fn take_bytes(&mut self, bytes: &[u8]) -> bool {
        let there = self.bytes[self.at..].starts_with(bytes);
        if there {
            self.at += bytes.len();
        }
        there
    }

    /// Whether these bytes are all that follows.
    #[inline]
    pub(crate) fn is_rest(&self, bytes: &[u8]) -> bool {
        self.bytes.get(self.at..) == Some(bytes)
    }

    /// Consumes blanks up to the end of the line.
    pub(crate) fn end(&mut self) -> Result<(), LineFault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the line")),
        }
    }

    /// Opens an object; its members come from [`Walk::member`].
    #[inline]
    pub(crate) fn object(&mut self) -> Result<Members, LineFault> {
        self.take(b'{', "an object, '{'")?;
        Ok(Members::default())
    }

    /// The next member's name; the walk then stands before its value, which must be consumed before the next call. Nothing
    /// where the object ends. A name that was there before in the object is a fault.
    #[inline]
    pub(crate) fn member(
        &mut self,
        members: &mut Members,
        names: &mut Names,
    ) -> Result<Option<Text<'a>>, LineFault> {
        if let Some(name) = self.quick_member(members, names)? {
            return Ok(Some(name));
        }
        self.any_member(members, names)
    }

    /// The next member's name and its colon, if it is written without blanks and escapes as DynamoDB writes them, and `{` was
    /// consumed.
    #[inline(always)]
    pub(crate) fn quick_member(
        &mut self,
        members: &mut Members,
        names: &mut Names,
    ) -> Result<Option<Text<'a>>, LineFault> {
        let bytes = self.bytes;
        let Some(start) = self.quick_start(members.is_empty()) else {
            return Ok(None);
        };
        if let Some(length) = names.expected(members, bytes, start) {
            let end = start + length;
            self.at = end + 2;
            return Ok(Some(Text::unescaped(bytes, start, end)));
        }
        let Some(name) = self.quick_rest(start) else {
            return Ok(None);
        };
        names.add(members, start, name.end(), false, bytes)?;
        Ok(Some(name))
    }

    /// The next member's name however it is written; nothing where the object ends.
    #[inline]
    pub(crate) fn any_member(
        &mut self,
        members: &mut Members,
        names: &mut Names,
    ) -> Result<Option<Text<'a>>, LineFault> {
        let Some(name) = self.any_name(members.is_empty())? else {
            names.close(members, self.bytes)?;
            return Ok(None);
        };
        let is_escaped = name.is_escaped();
        names.add(members, name.start(), name.end(), is_escaped, self.bytes)?;
        Ok(Some(name))
    }

    /// As [`Walk::member`], whether or not the name was there before.
    #[inline]
    pub(crate) fn name(&mut self, first: bool) -> Result<Option<Text<'a>>, LineFault> {
        match self.quick_name(first) {
            Some(name) => Ok(Some(name)),
            None => self.any_name(first),
        }
    }

    /// A name without blanks or escapes and its colon: `{"name":` or `,"name":`, where `{` is consumed.
    #[inline(always)]
    fn quick_name(&mut self, first: bool) -> Option<Text<'a>> {
        let start = self.quick_start(first)?;
        self.quick_rest(start)
    }

    /// Where a name begins behind its quote, if there are no blanks before it.
    #[inline(always)]
    fn quick_start(&self, first: bool) -> Option<usize> {
        let start = self.at + 2 - usize::from(first);
        let before = if first { b"{\"" } else { b",\"" };
        let there = self.bytes.get(start.wrapping_sub(2)..)?.first_chunk();
        (there == Some(before)).then_some(start)
    }

    #[inline(always)]
    fn quick_rest(&mut self, start: usize) -> Option<Text<'a>> {
        let bytes = self.bytes;
        let end = text::special(bytes, start);
        if self.controls || bytes.get(end..)?.first_chunk() != Some(b"\":") {
            return None;
        }
        self.at = end + 2;
        Some(Text::unescaped(bytes, start, end))
    }

    /// A name that may have blanks around it, or escapes.
    #[inline]
    pub(crate) fn any_name(&mut self, first: bool) -> Result<Option<Text<'a>>, LineFault> {
        // So nearly all objects end.
        if self.take_bytes(b"}") {
            return Ok(None);
        }
        self.spaced_name(first)
    }

    #[inline(never)]
    fn spaced_name(&mut self, first: bool) -> Result<Option<Text<'a>>, LineFault> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            Some(_) if first => {}
            _ => return Err(self.expected("',' or '}'")),
        }
        let name = self.text("a name in quotes")?;
        self.take(b':', "':' behind a name")?;
        Ok(Some(name))
    }

    /// Opens an array; its elements are told by [`Walk::element`].
    #[inline]
    pub(crate) fn array(&mut self) -> Result<Elements, LineFault> {
        self.take(b'[', "an array, '['")?;
        Ok(Elements { any: false })
    }

    /// Whether there is another element: if so the walk stands before it, and it must be consumed before the next call.
    #[inline]
    pub(crate) fn element(&mut self, elements: &mut Elements) -> Result<bool, LineFault> {
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if elements.any => {
                self.at += 1;
                // A value must follow: `[1,]` is no JSON.
                if self.peek() == Some(b']') {
                    return Err(self.expected("an element"));
                }
            }
            Some(_) if !elements.any => {}
            _ => return Err(self.expected("',' or ']'")),
        }
        elements.any = true;
        Ok(true)
    }

    /// The tag of a value, `{"S":`; the walk then stands before what it holds. [`Walk::close`] ends the value.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Tag, LineFault> {
        match self.quick_tag() {
            Some(tag) => Ok(tag),
            None => self.any_tag(),
        }
    }

    /// A tag without blanks, as DynamoDB writes it.
    #[inline]
    fn quick_tag(&mut self) -> Option<Tag> {
        let (tag, length) = match self.bytes.get(self.at..)?.first_chunk::<8>()? {
            b"{\"BOOL\":" => (Tag::Bool, 8),
            b"{\"NULL\":" => (Tag::Null, 8),
            [b'{', b'"', tag, b'"', b':', ..] => match tag {
                b'S' => (Tag::S, 5),
                b'N' => (Tag::N, 5),
                b'M' => (Tag::M, 5),
                b'L' => (Tag::L, 5),
                b'B' => (Tag::B, 5),
                _ => return None,
            },
            [b'{', b'"', b'S', b'S', b'"', b':', ..] => (Tag::Ss, 6),
            [b'{', b'"', b'N', b'S', b'"', b':', ..] => (Tag::Ns, 6),
            [b'{', b'"', b'B', b'S', b'"', b':', ..] => (Tag::Bs, 6),
            _ => return None,
        };
        self.at += length;
        Some(tag)
    }

    fn any_tag(&mut self) -> Result<Tag, LineFault> {
        const EXPECTED: &str =
            "the type of a value, one of S, N, B, BOOL, NULL, SS, NS, BS, L and M";
        self.take(b'{', "a value such as {\"S\":\"text\"}")?;
        self.peek();
        let start = self.at;
        let name = self.text(EXPECTED)?;
        let tag = match name.raw() {
            b"S" => Tag::S,
            b"N" => Tag::N,
            b"B" => Tag::B,
            b"BOOL" => Tag::Bool,
            b"NULL" => Tag::Null,
            b"SS" => Tag::Ss,
            b"NS" => Tag::Ns,
            b"BS" => Tag::Bs,
            b"L" => Tag::L,
            b"M" => Tag::M,
            _ => return Err(LineFault::at(start, EXPECTED)),
        };
        self.take(b':', "':' behind the type of a value")?;
        Ok(tag)
    }

    /// Ends a value behind what it holds.
    #[inline]
    pub(crate) fn close(&mut self) -> Result<(), LineFault> {
        self.take(b'}', "'}', since a value has one type")
    }

    /// A JSON string of any kind: a name, or what an S holds.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>, LineFault> {
        self.text("a text in quotes")
    }

    #[inline]
    fn text(&mut self, expected: &'static str) -> Result<Text<'a>, LineFault> {
        self.take(b'"', expected)?;
        let text = text::scan_in(self.bytes, self.at, self.controls)?;
        self.at = text.end() + 1;
        Ok(text)
    }

    /// What an N holds, which may be no number.
    #[inline]
    pub(crate) fn number_text(&mut self) -> Result<Text<'a>, LineFault> {
        self.text("a number in quotes")
    }

    /// What an N holds: checked to be a number of DynamoDB.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Text<'a>, LineFault> {
        let text = self.number_text()?;
        match number::is_plain(&text) || number::canonical(&text, &mut Vec::new()) {
            true => Ok(text),
            false => Err(LineFault::at(text.start(), number::EXPECTED)),
        }
    }

    /// What a B holds: checked to be standard base64. It has no escapes unless a slash is written as `\/` or the like.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<Text<'a>, LineFault> {
        let text = self.text("base64 in quotes")?;
        match text::is_base64(&text) {
            true => Ok(text),
            false => Err(LineFault::at(text.start(), text::BASE64_EXPECTED)),
        }
    }

    /// What a BOOL holds.
    #[inline]
    pub(crate) fn boolean(&mut self) -> Result<bool, LineFault> {
        if self.take_word(b"true") {
            return Ok(true);
        }
        match self.take_word(b"false") {
            true => Ok(false),
            false => Err(self.expected("true or false")),
        }
    }

    /// What a NULL holds.
    #[inline]
    pub(crate) fn null(&mut self) -> Result<(), LineFault> {
        match self.take_word(b"true") {
            true => Ok(()),
            false => Err(self.expected("true, since NULL is true or nothing")),
        }
    }

    /// Reads and checks a whole value, `{"S":"text"}`, of at most `levels` lists and maps inside one another
    /// ([`records::MAX_DEPTH`] for an attribute), and returns its bytes.
    #[inline]
    pub(crate) fn value(
        &mut self,
        names: &mut Names,
        levels: usize,
    ) -> Result<&'a [u8], LineFault> {
        self.peek();
        let start = self.at;
        splice::value(self, names, levels, &mut Nothing)?;
        Ok(&self.bytes[start..self.at])
    }

    /// Reads and checks what a value holds, behind its tag.
    pub(crate) fn content(
        &mut self,
        tag: Tag,
        names: &mut Names,
        levels: usize,
    ) -> Result<(), LineFault> {
        splice::content(tag, self, names, levels, &mut Nothing)
    }

    /// Reads and checks an item, `{"id":{"S":"1"}}`, and returns its bytes.
    pub(crate) fn item(&mut self, names: &mut Names) -> Result<&'a [u8], LineFault> {
        self.peek();
        let start = self.at;
        splice::item(self, names, &mut Nothing)?;
        Ok(&self.bytes[start..self.at])
    }

    /// The levels that are left inside of a list or map.
    pub(crate) fn level(&self, levels: usize) -> Result<usize, LineFault> {
        levels
            .checked_sub(1)
            .ok_or_else(|| self.expected("at most 32 lists and maps inside one another"))
    }

    /// Reads any JSON that is of no interest; it is checked no further than serde_json does when it ignores a value.
    pub(crate) fn ignore(&mut self) -> Result<(), LineFault> {
        let rest = &self.bytes[self.at..];
        let mut values =
            serde_json::Deserializer::from_slice(rest).into_iter::<serde::de::IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            _ => Err(self.expected("a JSON value")),
        }
    }
}

/// Whether an array had an element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements {
    any: bool,
}
