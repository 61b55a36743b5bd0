//! JSON strings as they stand in a line.

use std::borrow::Cow;

#[cfg(target_arch = "aarch64")]
use memchr::arch::aarch64::neon::memchr::Two;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
use memchr::arch::all::memchr::Two;
#[cfg(target_arch = "x86_64")]
use memchr::arch::x86_64::sse2::memchr::Two;

use crate::fault::LineFault;

/// Bytes that are looked at at once.
const NEAR: usize = 16;

pub(crate) const BASE64_EXPECTED: &str = "standard base64 with its padding";

/// The inside of a JSON string, checked: its escapes are good and there is no control character.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    bytes: &'a [u8],
    start: usize,
    end: usize,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A string that was scanned before.
    pub(crate) fn new(bytes: &'a [u8], start: usize, end: usize) -> Self {
        let escaped = bytes[start..end].contains(&b'\\');
        Self {
            bytes,
            start,
            end,
            escaped,
        }
    }

    /// A string that was scanned before and has no escapes.
    #[inline(always)]
    pub(crate) fn unescaped(bytes: &'a [u8], start: usize, end: usize) -> Self {
        Self {
            bytes,
            start,
            end,
            escaped: false,
        }
    }

    /// Bytes of the line before its first character.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Bytes of the line before its closing quote.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Whether there is any backslash in it.
    #[inline]
    pub(crate) fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// All bytes of the line.
    #[inline]
    pub(crate) fn line(&self) -> &'a [u8] {
        self.bytes
    }

    /// As it stands in the line, escapes and all, without its quotes.
    #[inline]
    pub(crate) fn raw(&self) -> &'a [u8] {
        &self.bytes[self.start..self.end]
    }

    /// As it stands in the line, with its quotes.
    #[inline]
    pub(crate) fn quoted(&self) -> &'a [u8] {
        &self.bytes[self.start - 1..=self.end]
    }

    /// Whether this text is meant.
    #[inline]
    pub(crate) fn is(&self, text: &str) -> bool {
        match self.escaped {
            true => self.to_text() == text,
            false => self.raw() == text.as_bytes(),
        }
    }

    /// The text that is meant. It allocates only where there are escapes.
    pub(crate) fn to_text(self) -> Cow<'a, str> {
        let plain = match self.escaped {
            true => None,
            false => std::str::from_utf8(self.raw()).ok(),
        };
        match plain {
            Some(text) => Cow::Borrowed(text),
            // Bytes that are no UTF-8 come only from who did not check the line.
            None => Cow::Owned(serde_json::from_slice(self.quoted()).unwrap_or_default()),
        }
    }
}

/// Whether there are only characters of ASCII that can be seen, and blanks, as nearly always.
#[inline]
pub(crate) fn is_printable(bytes: &[u8]) -> bool {
    // Bytes beyond ASCII are negative.
    !any(bytes, |byte| (byte as i8) < 0x20)
}

/// Whether there are control characters.
#[inline(never)]
pub(crate) fn has_controls(bytes: &[u8]) -> bool {
    any(bytes, |byte| byte < 0x20)
}

/// Whether a byte is of a kind. The processor looks at many at once, since it does not stop at the first of a chunk.
#[inline(always)]
fn any(bytes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    const CHUNK: usize = 32;
    let in_chunk = |chunk: &[u8; CHUNK]| {
        chunk
            .iter()
            .fold(0, |any, byte| any | u8::from(test(*byte)))
    };
    match bytes.last_chunk() {
        Some(last) => {
            let (chunks, _) = bytes.as_chunks();
            chunks.iter().any(|chunk| in_chunk(chunk) != 0) || in_chunk(last) != 0
        }
        None => bytes.iter().any(|byte| test(*byte)),
    }
}

/// The first byte that is no UTF-8, if any.
#[inline(never)]
pub(crate) fn utf8_fault(bytes: &[u8]) -> Option<usize> {
    const CHUNK: usize = 32;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<CHUNK>() {
        let (words, _) = chunk.as_chunks();
        let all = words
            .iter()
            .fold(0, |all, word| all | u64::from_le_bytes(*word));
        if all & 0x8080_8080_8080_8080 == 0 {
            at += CHUNK;
            continue;
        }
        let ascii = chunk.iter().take_while(|byte| byte.is_ascii()).count();
        match utf8_run(bytes, at + ascii) {
            Ok(end) => at = end,
            Err(fault) => return Some(fault),
        }
    }
    let rest = std::str::from_utf8(&bytes[at..]);
    rest.err().map(|error| at + error.valid_up_to())
}

/// Where the bytes beyond ASCII end that begin at `start`. No character has both kinds, so these are characters by themselves.
fn utf8_run(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let rest = &bytes[start..];
    let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
    match std::str::from_utf8(&rest[..length]) {
        Ok(_) => Ok(start + length),
        Err(error) => Err(start + error.valid_up_to()),
    }
}

/// Reads a string from behind its opening quote.
#[cfg(test)]
pub(crate) fn scan(bytes: &[u8], start: usize) -> Result<Text<'_>, LineFault> {
    scan_in(bytes, start, true)
}

/// Reads a string from behind its opening quote. `controls` says whether the line has control characters, which a string must
/// not have.
#[inline]
pub(crate) fn scan_in(bytes: &[u8], start: usize, controls: bool) -> Result<Text<'_>, LineFault> {
    let (end, escaped) = end(bytes, start, controls)?;
    Ok(Text {
        bytes,
        start,
        end,
        escaped,
    })
}

/// Where a string ends that is read from behind its opening quote, and whether there are escapes in it.
#[inline(always)]
pub(crate) fn end(bytes: &[u8], start: usize, controls: bool) -> Result<(usize, bool), LineFault> {
    let at = special(bytes, start);
    match bytes.get(at) {
        Some(b'"') if !controls => Ok((at, false)),
        _ => any_end(bytes, start, at, controls),
    }
}

/// As [`end`], from the first quote or backslash on.
#[inline(never)]
fn any_end(
    bytes: &[u8],
    start: usize,
    first: usize,
    controls: bool,
) -> Result<(usize, bool), LineFault> {
    let mut end = first;
    loop {
        match bytes.get(end) {
            Some(b'\\') => end = special(bytes, escape(bytes, end)?),
            Some(_) => break,
            None => return Err(LineFault::at(end, "the closing quote of a text")),
        }
    }
    let control = match controls {
        true => bytes[start..end].iter().position(|byte| *byte < 0x20),
        false => None,
    };
    match control {
        None => Ok((end, end > first)),
        Some(control) => Err(LineFault::at(
            start + control,
            "no control character in a text",
        )),
    }
}

/// The first quote or backslash from `at` on, else the end. Most strings are so short that it is among the first 16 bytes.
#[inline(always)]
pub(crate) fn special(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..).and_then(near_special) {
        Some(near) => at + near,
        None => far_special(bytes, at),
    }
}

/// The first quote or backslash of the first 16 bytes.
#[inline(always)]
pub(crate) fn near_special(bytes: &[u8]) -> Option<usize> {
    let chunk = bytes.first_chunk::<NEAR>()?;
    Two::new(b'"', b'\\')?.find(chunk)
}

#[inline(never)]
fn far_special(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while bytes.len() - at >= NEAR {
        if let Some(near) = near_special(&bytes[at..]) {
            return at + near;
        }
        at += NEAR;
    }
    let rest = bytes[at..].iter();
    at + rest.take_while(|byte| !b"\"\\".contains(byte)).count()
}

/// The place behind the escape that begins at `at`. Half a surrogate pair stands for no character, and is refused.
fn escape(bytes: &[u8], at: usize) -> Result<usize, LineFault> {
    let fault = || LineFault::at(at, "an escape of JSON, such as \\n or a whole \\u0041");
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match unit(bytes, at).ok_or_else(fault)? {
            0xd800..=0xdbff => match unit(bytes, at + 6) {
                Some(0xdc00..=0xdfff) => Ok(at + 12),
                _ => Err(fault()),
            },
            0xdc00..=0xdfff => Err(fault()),
            _ => Ok(at + 6),
        },
        _ => Err(fault()),
    }
}

/// The number of the `\uXXXX` that begins at `at`, if there is one.
pub(crate) fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = bytes.get(at..at + 6)? else {
        return None;
    };
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// Whether a text is standard base64 with its padding, and no bit too many.
pub(crate) fn is_base64(text: &Text<'_>) -> bool {
    match text.is_escaped() {
        true => is_base64_bytes(text.to_text().as_bytes()),
        false => is_base64_bytes(text.raw()),
    }
}

fn is_base64_bytes(text: &[u8]) -> bool {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        _ => text,
    };
    let padding = text.len() - digits.len();
    let Some(last) = digits.last() else {
        return text.is_empty();
    };
    // The last digit's bits that belong to no byte.
    let spare = match padding {
        0 => 0,
        1 => 0b11,
        _ => 0b1111,
    };
    text.len().is_multiple_of(4)
        && digits.iter().all(|byte| BASE64[usize::from(*byte)] < 64)
        && BASE64[usize::from(*last)] & spare == 0
}

/// For each byte its value as a digit of base64; 64 if it is none.
const BASE64: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [64; 256];
    let mut index = 0;
    while index < 64 {
        table[alphabet[index] as usize] = index as u8;
        index += 1;
    }
    table
};
