//! Encodings of an input file.

/// The byte that stands for an odd last byte of UTF-16. It is in no UTF-8 text, so its row is refused.
const ODD_BYTE: u8 = 0xff;
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// How the text of a file is encoded, as its first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a byte-order mark.
    Utf8,
    /// UTF-8 with a byte-order mark.
    Utf8Bom,
    /// UTF-16, low byte first, with a byte-order mark.
    Utf16Le,
    /// UTF-16, high byte first, with a byte-order mark.
    Utf16Be,
}

impl Encoding {
    /// Bytes of the byte-order mark.
    pub const fn bom_len(self) -> u64 {
        match self {
            Self::Utf8 => 0,
            Self::Utf8Bom => 3,
            Self::Utf16Le | Self::Utf16Be => 2,
        }
    }

    const fn is_utf16(self) -> bool {
        matches!(self, Self::Utf16Le | Self::Utf16Be)
    }
}

/// Bytes that a run of decoded bytes has in the file.
pub fn source_len(encoding: Encoding, utf8: &[u8]) -> u64 {
    if !encoding.is_utf16() {
        return utf8.len() as u64;
    }
    utf8.iter()
        .map(|byte| match byte {
            0x80..=0xbf => 0,
            0xf0..=0xf7 => 4,
            &ODD_BYTE => 1,
            _ => 2,
        })
        .sum()
}

/// Turns the bytes of a file into UTF-8, chunk by chunk, and drops the byte-order mark.
///
/// UTF-8 is not checked. An unpaired surrogate of UTF-16 becomes the three bytes that UTF-8 would have for it if it were
/// a character, and an odd last byte becomes 0xFF; neither is valid UTF-8, so the rows they are in are refused later.
#[derive(Debug)]
pub struct TextDecoder {
    /// Known once the first bytes have been seen.
    encoding: Option<Encoding>,
    /// Bytes that cannot be decoded yet: the beginning of a file, or half a code unit.
    pending: Vec<u8>,
    /// The first half of a surrogate pair.
    high_surrogate: Option<u16>,
    finished: bool,
}

impl Default for TextDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl TextDecoder {
    /// For a file read from its first byte.
    pub fn new() -> Self {
        Self {
            encoding: None,
            pending: Vec::new(),
            high_surrogate: None,
            finished: false,
        }
    }

    /// For a file read from a later byte, where a record begins, whose encoding is known.
    pub fn resume(encoding: Encoding) -> Self {
        Self {
            encoding: Some(encoding),
            ..Self::new()
        }
    }

    /// The encoding; UTF-8 as long as no three bytes have come.
    pub fn encoding(&self) -> Encoding {
        self.encoding.unwrap_or(Encoding::Utf8)
    }

    /// Whether further bytes of the file are passed on as they are, so that the caller may leave this stage out.
    pub fn is_passthrough(&self) -> bool {
        self.encoding.is_some_and(|encoding| !encoding.is_utf16())
    }

    /// Whether [`TextDecoder::finish`] has been called.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Appends what `input`, the next bytes of the file, says.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self.encoding {
            Some(encoding) => self.decode_known(encoding, input, out),
            None => {
                self.pending.extend_from_slice(input);
                if let Some(encoding) = detect(&self.pending) {
                    self.begin(encoding, out);
                }
            }
        }
    }

    /// Appends what is left when no further bytes come.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.finished = true;
        if self.encoding.is_none() {
            self.begin(Encoding::Utf8, out);
        }
        if let Some(high) = self.high_surrogate.take() {
            push_surrogate(high, out);
        }
        out.extend(self.pending.drain(..).map(|_| ODD_BYTE));
    }

    fn begin(&mut self, encoding: Encoding, out: &mut Vec<u8>) {
        self.encoding = Some(encoding);
        let head = std::mem::take(&mut self.pending);
        let text = head.get(bom_of(encoding).len()..).unwrap_or_default();
        self.decode_known(encoding, text, out);
    }

    fn decode_known(&mut self, encoding: Encoding, input: &[u8], out: &mut Vec<u8>) {
        let to_unit = match encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => return out.extend_from_slice(input),
            Encoding::Utf16Le => u16::from_le_bytes,
            Encoding::Utf16Be => u16::from_be_bytes,
        };
        let mut rest = input;
        if let (Some(first), Some((second, others))) = (self.pending.first(), rest.split_first()) {
            let unit = to_unit([*first, *second]);
            self.pending.clear();
            self.push_unit(unit, out);
            rest = others;
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        out.reserve(pairs.len());
        for pair in pairs {
            self.push_unit(to_unit(*pair), out);
        }
        self.pending.extend_from_slice(odd);
    }

    fn push_unit(&mut self, unit: u16, out: &mut Vec<u8>) {
        if unit < 0x80 && self.high_surrogate.is_none() {
            return out.push(unit.to_le_bytes()[0]);
        }
        if let Some(high) = self.high_surrogate.take() {
            if let Some(Ok(pair)) = char::decode_utf16([high, unit]).next() {
                return push_char(pair, out);
            }
            push_surrogate(high, out);
        }
        match char::from_u32(u32::from(unit)) {
            Some(character) => push_char(character, out),
            None if (0xd800..0xdc00).contains(&unit) => self.high_surrogate = Some(unit),
            None => push_surrogate(unit, out),
        }
    }
}

const fn bom_of(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Utf8 => b"",
        Encoding::Utf8Bom => UTF8_BOM,
        Encoding::Utf16Le => b"\xff\xfe",
        Encoding::Utf16Be => b"\xfe\xff",
    }
}

/// The encoding of a file that begins with `head`; none if more bytes are needed to say.
fn detect(head: &[u8]) -> Option<Encoding> {
    for encoding in [Encoding::Utf8Bom, Encoding::Utf16Le, Encoding::Utf16Be] {
        let bom = bom_of(encoding);
        if head.starts_with(bom) {
            return Some(encoding);
        }
        if bom.starts_with(head) {
            return None;
        }
    }
    Some(Encoding::Utf8)
}

fn push_char(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_surrogate(unit: u16, out: &mut Vec<u8>) {
    let [high, low] = unit.to_be_bytes();
    out.extend_from_slice(&[
        0xe0 | high >> 4,
        0x80 | (high & 0x0f) << 2 | low >> 6,
        0x80 | low & 0x3f,
    ]);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Decodes in chunks of these sizes.
    fn decode(file: &[u8], chunk_sizes: &[usize]) -> (Encoding, Vec<u8>) {
        let mut decoder = TextDecoder::new();
        let mut out = Vec::new();
        let mut rest = file;
        for size in chunk_sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, others) = rest.split_at(rest.len().min(*size));
            decoder.decode(chunk, &mut out);
            rest = others;
        }
        assert!(!decoder.is_finished());
        decoder.finish(&mut out);
        assert!(decoder.is_finished());
        (decoder.encoding(), out)
    }

    #[test]
    fn knows_encodings_by_their_marks() {
        let cases: [(&[u8], Encoding, &[u8]); 11] = [
            (b"", Encoding::Utf8, b""),
            (b"id", Encoding::Utf8, b"id"),
            (b"\xef\xbb\xbfid", Encoding::Utf8Bom, b"id"),
            (b"\xef\xbb\xbf", Encoding::Utf8Bom, b""),
            (b"\xef\xbb", Encoding::Utf8, b"\xef\xbb"),
            (b"\xef\xbbx", Encoding::Utf8, b"\xef\xbbx"),
            (b"\xff\xfei\0d\0", Encoding::Utf16Le, b"id"),
            (b"\xfe\xff\0i\0d", Encoding::Utf16Be, b"id"),
            (b"\xff", Encoding::Utf8, b"\xff"),
            (b"\xff\xfei", Encoding::Utf16Le, b"\xff"),
            (b"\xff\xfe\x3d\xd8i\0", Encoding::Utf16Le, b"\xed\xa0\xbdi"),
        ];
        for (file, encoding, text) in cases {
            for size in [1, 2, 3, 100] {
                assert_eq!(
                    decode(file, &[size]),
                    (encoding, text.to_vec()),
                    "{file:?} by {size}"
                );
            }
        }
    }

    #[test]
    fn passes_utf_8_through_once_it_is_known() {
        let mut decoder = TextDecoder::new();
        assert!(!decoder.is_passthrough());
        decoder.decode(b"id,name\n", &mut Vec::new());
        assert!(decoder.is_passthrough());
        assert!(!TextDecoder::resume(Encoding::Utf16Le).is_passthrough());
    }

    #[test]
    fn a_resumed_decoder_looks_for_no_mark() {
        let mut decoder = TextDecoder::resume(Encoding::Utf16Be);
        let mut out = Vec::new();
        decoder.decode(b"\xfe\xff\0a", &mut out);
        decoder.finish(&mut out);
        assert_eq!(out, "\u{feff}a".as_bytes());
    }

    /// The units, paired where they pair, each as UTF-8 has it or would have it.
    fn naive_wtf8(units: &[u16]) -> Vec<u8> {
        char::decode_utf16(units.iter().copied())
            .flat_map(|decoded| match decoded {
                Ok(character) => character.to_string().into_bytes(),
                Err(error) => {
                    let unit = u32::from(error.unpaired_surrogate());
                    [
                        0xe0 + (unit >> 12),
                        0x80 + (unit >> 6 & 0x3f),
                        0x80 + (unit & 0x3f),
                    ]
                    .map(|byte| u8::try_from(byte).unwrap())
                    .to_vec()
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn transcodes_any_units(
            units in vec(prop_oneof![any::<u16>(), 0xd7ffu16..0xe001, 0u16..128], 0..50),
            odd in any::<bool>(),
            big_end_first in any::<bool>(),
            chunk_sizes in vec(1usize..7, 1..4),
        ) {
            let to_bytes = if big_end_first { u16::to_be_bytes } else { u16::to_le_bytes };
            let mut file: Vec<u8> = std::iter::once(&0xfeffu16).chain(&units).flat_map(|unit| to_bytes(*unit)).collect();
            let mut wanted = naive_wtf8(&units);
            if odd {
                file.push(b'x');
                wanted.push(0xff);
            }
            let (encoding, text) = decode(&file, &chunk_sizes);
            prop_assert_eq!(&text, &wanted);
            prop_assert_eq!(encoding.bom_len() + source_len(encoding, &text), file.len() as u64);
        }

        #[test]
        fn leaves_other_bytes_as_they_are(text in vec(any::<u8>(), 3..50), chunk_sizes in vec(1usize..7, 1..4)) {
            prop_assume!(!text.starts_with(b"\xff\xfe") && !text.starts_with(b"\xfe\xff") && !text.starts_with(UTF8_BOM));
            let (encoding, decoded) = decode(&text, &chunk_sizes);
            prop_assert_eq!(source_len(encoding, &decoded), text.len() as u64);
            prop_assert_eq!(decoded, text);
        }
    }
}
