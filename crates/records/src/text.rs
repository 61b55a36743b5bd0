//! Character encodings of input files: UTF-8 with or without a byte order mark, UTF-16 with one (as Excel writes it).

/// How the text of a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a byte order mark.
    Utf8,
    /// UTF-8 that begins with EF BB BF.
    Utf8Bom,
    /// UTF-16, little endian, that begins with FF FE.
    Utf16Le,
    /// UTF-16, big endian, that begins with FE FF.
    Utf16Be,
}

impl Encoding {
    /// Bytes of the byte order mark at the start of the file.
    pub fn bom_len(self) -> u64 {
        match self {
            Self::Utf8 => 0,
            Self::Utf8Bom => 3,
            Self::Utf16Le | Self::Utf16Be => 2,
        }
    }

    /// How many bytes of the file a run of decoded text took.
    pub fn source_len(self, decoded: &[u8]) -> u64 {
        match self {
            Self::Utf8 | Self::Utf8Bom => decoded.len() as u64,
            Self::Utf16Le | Self::Utf16Be => 2 * decoded.iter().map(|byte| code_units(*byte)).sum::<u64>(),
        }
    }
}

/// UTF-16 code units of the character that begins with this UTF-8 byte; none for a continuation byte.
fn code_units(byte: u8) -> u64 {
    match byte {
        0x80..=0xbf => 0,
        0xf0..=0xf7 => 2,
        _ => 1,
    }
}

/// Decodes a file to UTF-8, piece by piece. What is not valid stays invalid (an unpaired surrogate becomes the three bytes
/// that UTF-8 forbids for it), so that the row it is in can be rejected instead of being changed.
#[derive(Debug)]
pub struct TextDecoder {
    encoding: Option<Encoding>,
    /// Bytes that cannot be decided or decoded yet: of a byte order mark, half a code unit, a high surrogate.
    held: Vec<u8>,
    finished: bool,
}

impl TextDecoder {
    /// A decoder at the start of a file.
    #[expect(clippy::new_without_default, reason = "a decoder is always for a file")]
    pub fn new() -> Self {
        Self {
            encoding: None,
            held: Vec::new(),
            finished: false,
        }
    }

    /// A decoder in the middle of a file of a known encoding.
    pub fn resume(encoding: Encoding) -> Self {
        Self {
            encoding: Some(encoding),
            held: Vec::new(),
            finished: false,
        }
    }

    /// The encoding, as far as the bytes so far tell (UTF-8 before the first bytes).
    pub fn encoding(&self) -> Encoding {
        self.encoding.unwrap_or(Encoding::Utf8)
    }

    /// Whether [`Self::finish`] was called.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Decodes a piece of the file onto `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self.encoding {
            Some(encoding) => self.decode_as(encoding, input, out),
            None => {
                self.held.extend_from_slice(input);
                if let Some(encoding) = detect(&self.held) {
                    self.begin(encoding, out);
                }
            }
        }
    }

    /// The file ends: whatever is still held comes out.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.encoding.is_none() {
            self.begin(Encoding::Utf8, out);
        }
        if let [high, low, ..] = self.held[..] {
            push_lone_surrogate(self.unit([high, low]), out);
            self.held.drain(..2);
        }
        if !self.held.is_empty() {
            // Half a code unit; 0xFF is never valid UTF-8.
            out.push(0xff);
            self.held.clear();
        }
        self.finished = true;
    }

    fn begin(&mut self, encoding: Encoding, out: &mut Vec<u8>) {
        self.encoding = Some(encoding);
        let held = std::mem::take(&mut self.held);
        let bom = usize::try_from(encoding.bom_len()).unwrap_or(0);
        self.decode_as(encoding, &held[bom..], out);
    }

    fn decode_as(&mut self, encoding: Encoding, input: &[u8], out: &mut Vec<u8>) {
        match encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => out.extend_from_slice(input),
            Encoding::Utf16Le | Encoding::Utf16Be => self.decode_utf16(input, out),
        }
    }

    fn decode_utf16(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(input);
        let held = std::mem::take(&mut self.held);
        let whole = held.len() / 2 * 2;
        let units: Vec<u16> = held[..whole]
            .chunks_exact(2)
            .map(|pair| self.unit([pair[0], pair[1]]))
            .collect();
        // A high surrogate at the end waits for its other half.
        let ends_high = units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit));
        let decided = units.len() - usize::from(ends_high);
        for result in char::decode_utf16(units[..decided].iter().copied()) {
            match result {
                Ok(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(error) => push_lone_surrogate(error.unpaired_surrogate(), out),
            }
        }
        self.held = held[decided * 2..].to_vec();
    }

    fn unit(&self, bytes: [u8; 2]) -> u16 {
        match self.encoding {
            Some(Encoding::Utf16Be) => u16::from_be_bytes(bytes),
            _ => u16::from_le_bytes(bytes),
        }
    }
}

/// Nothing while the bytes could still become another byte order mark.
fn detect(start: &[u8]) -> Option<Encoding> {
    match start {
        [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8Bom),
        [0xff, 0xfe, ..] => Some(Encoding::Utf16Le),
        [0xfe, 0xff, ..] => Some(Encoding::Utf16Be),
        [] | [0xef] | [0xef, 0xbb] | [0xff] | [0xfe] => None,
        _ => Some(Encoding::Utf8),
    }
}

fn push_lone_surrogate(unit: u16, out: &mut Vec<u8>) {
    let low_six = |value: u16| 0x80 | u8::try_from(value & 0x3f).unwrap_or(0);
    out.push(0xe0 | u8::try_from(unit >> 12).unwrap_or(0));
    out.push(low_six(unit >> 6));
    out.push(low_six(unit));
}
