//! The members of a line: an item, or what a window did to one.

use crate::fault::LineFault;
use crate::names::Names;
use crate::text::{self, Text};
use crate::walk::{Tag, Walk};

/// What the lines of a file are. A scan makes lines of the form `Full` of the items that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineForm {
    /// `{"Item":{…}}`
    Full,
    /// `Metadata` and `Keys`, maybe `NewImage` and `OldImage`, in any order.
    Incremental,
}

/// A member of a line that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The item of a full line; the walk stands before it.
    Item,
    /// When the item was written last, in microseconds from 1970; the walk stands behind it.
    WriteMicros(u64),
    /// The key attributes; the walk stands before them, as it does for images.
    Keys,
    /// The item after the window.
    NewImage,
    /// The item before the window.
    OldImage,
}

/// A line that is read member by member, in the order in which they stand there. Members of other names are passed over.
pub(crate) struct Line<'a> {
    /// Where reading stands. Who gets a part consumes it from here.
    pub(crate) walk: Walk<'a>,
    form: LineForm,
    first: bool,
    /// A bit for each part that was there.
    seen: u8,
}

/// A line's parts, each checked: bytes of DynamoDB JSON.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Zero for a full line.
    pub(crate) write_micros: u64,
    /// Nothing for a full line.
    pub(crate) keys: Option<&'a [u8]>,
    /// The item of a full line, or the new image of an incremental one: nothing means that the item was removed.
    pub(crate) new_image: Option<&'a [u8]>,
    /// The old image of an incremental line.
    pub(crate) old_image: Option<&'a [u8]>,
}

const MICROS: &str = "microseconds since 1970, as {\"N\":\"…\"} or a text of digits";

impl<'a> Line<'a> {
    /// Begins to read a line; blanks around it, and so its line ending, are no matter.
    pub(crate) fn open(bytes: &'a [u8], form: LineForm) -> Result<Self, LineFault> {
        let line = Self::open_unchecked(bytes, form)?;
        if !line.walk.is_printable()
            && let Some(offset) = text::utf8_fault(bytes)
        {
            return Err(LineFault::at(offset, "UTF-8"));
        }
        Ok(line)
    }

    /// As [`Line::open`], of bytes whose UTF-8 is no matter here.
    pub(crate) fn open_unchecked(bytes: &'a [u8], form: LineForm) -> Result<Self, LineFault> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(LineFault::at(0, "a line of less than 4 GiB"));
        }
        let mut walk = Walk::new(bytes);
        walk.take(b'{', "a line of an export, '{'")?;
        Ok(Self {
            walk,
            form,
            first: true,
            seen: 0,
        })
    }

    /// The next part; nothing where the line ends. An image that is `null` is passed over, like one that is not there.
    #[inline]
    pub(crate) fn next_part(&mut self) -> Result<Option<Part>, LineFault> {
        // As DynamoDB writes all full lines.
        if self.first && self.form == LineForm::Full && self.walk.take_bytes(b"\"Item\":") {
            self.first = false;
            self.seen = 1;
            return Ok(Some(Part::Item));
        }
        if self.form == LineForm::Full
            && self.seen == 1
            && (self.walk.is_rest(b"}\n") || self.walk.is_rest(b"}"))
        {
            return Ok(None);
        }
        self.any_part()
    }

    #[inline(never)]
    fn any_part(&mut self) -> Result<Option<Part>, LineFault> {
        loop {
            let Some(name) = self.walk.name(self.first)? else {
                self.walk.end()?;
                return self.check_all_seen().map(|()| None);
            };
            self.first = false;
            let start = name.start();
            let part = match (self.form, &*raw_name(&name)) {
                (LineForm::Full, b"Item") => Some((0, Part::Item)),
                (LineForm::Incremental, b"Metadata") => {
                    self.once(0, start)?;
                    return Ok(Some(Part::WriteMicros(self.write_micros()?)));
                }
                (LineForm::Incremental, b"Keys") => Some((1, Part::Keys)),
                (LineForm::Incremental, b"NewImage") => Some((2, Part::NewImage)),
                (LineForm::Incremental, b"OldImage") => Some((3, Part::OldImage)),
                _ => None,
            };
            let Some((bit, part)) = part else {
                self.walk.ignore()?;
                continue;
            };
            self.once(bit, start)?;
            let may_be_null = matches!(part, Part::NewImage | Part::OldImage);
            if !(may_be_null && self.walk.take_word(b"null")) {
                return Ok(Some(part));
            }
        }
    }

    /// All parts, each checked to its end.
    pub(crate) fn parts(mut self, names: &mut Names) -> Result<Parts<'a>, LineFault> {
        names.clear();
        let mut parts = Parts::default();
        while let Some(part) = self.next_part()? {
            match part {
                Part::WriteMicros(micros) => parts.write_micros = micros,
                Part::Item | Part::NewImage => parts.new_image = Some(self.walk.item(names)?),
                Part::Keys => parts.keys = Some(self.walk.item(names)?),
                Part::OldImage => parts.old_image = Some(self.walk.item(names)?),
            }
        }
        Ok(parts)
    }

    fn once(&mut self, bit: u8, offset: usize) -> Result<(), LineFault> {
        if self.seen & 1 << bit != 0 {
            return Err(LineFault::at(offset, "each member of the line once"));
        }
        self.seen |= 1 << bit;
        Ok(())
    }

    fn check_all_seen(&self) -> Result<(), LineFault> {
        let (needed, expected) = match self.form {
            LineForm::Full => (0b1, "a line of a full export, with the member Item"),
            LineForm::Incremental => (
                0b11,
                "a line of an incremental export, with the members Metadata and Keys",
            ),
        };
        match self.seen & needed == needed {
            true => Ok(()),
            false => Err(self.walk.expected(expected)),
        }
    }

    fn write_micros(&mut self) -> Result<u64, LineFault> {
        self.walk.take(b'{', "the line's metadata, '{'")?;
        let (mut first, mut micros) = (true, None);
        while let Some(name) = self.walk.name(first)? {
            first = false;
            match &*raw_name(&name) {
                b"WriteTimestampMicros" if micros.is_none() => micros = Some(self.micros()?),
                b"WriteTimestampMicros" => {
                    return Err(LineFault::at(name.start(), "WriteTimestampMicros once"));
                }
                _ => self.walk.ignore()?,
            }
        }
        micros.ok_or_else(|| {
            self.walk
                .expected("WriteTimestampMicros in the line's metadata")
        })
    }

    /// Real exports have a number of DynamoDB JSON; AWS's guides show a text.
    fn micros(&mut self) -> Result<u64, LineFault> {
        let walk = &mut self.walk;
        let digits = match walk.peek() {
            Some(b'"') => walk.string()?,
            _ => {
                if walk.tag()? != Tag::N {
                    return Err(walk.expected(MICROS));
                }
                let digits = walk.number()?;
                walk.close()?;
                digits
            }
        };
        let text = digits.to_text();
        let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(micros) if all_digits => Ok(micros),
            _ => Err(LineFault::at(digits.start(), MICROS)),
        }
    }
}

/// A member's name however it is escaped.
fn raw_name<'a>(name: &Text<'a>) -> std::borrow::Cow<'a, [u8]> {
    match name.is_escaped() {
        true => name.to_text().into_owned().into_bytes().into(),
        false => name.raw().into(),
    }
}
