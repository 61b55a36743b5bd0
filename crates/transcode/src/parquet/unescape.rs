//! The text that a JSON string means.

use crate::splice::Sink;
use crate::text::{Text, unit};

/// Appends the text that is meant. What the walk has read has only good escapes.
#[inline]
pub(super) fn push_text(text: &Text<'_>, out: &mut Vec<u8>) {
    match text.is_escaped() {
        false => out.copy(text.line(), text.start(), text.end()),
        true => push_unescaped(text.raw(), out),
    }
}

fn push_unescaped(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = &rest[at..];
        let (character, taken) = match escape.get(1) {
            Some(b'u') => match (unit(escape, 0), unit(escape, 6)) {
                (Some(high @ 0xd800..=0xdbff), Some(low)) => {
                    (0x1_0000 + ((high - 0xd800) << 10) + (low & 0x3ff), 12)
                }
                (Some(unit), _) => (unit, 6),
                // The walk has refused it.
                (None, _) => return,
            },
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0c, 2),
            Some(b'n') => (u32::from(b'\n'), 2),
            Some(b'r') => (u32::from(b'\r'), 2),
            Some(b't') => (u32::from(b'\t'), 2),
            Some(other) => (u32::from(*other), 2),
            None => return,
        };
        let character = char::from_u32(character).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &escape[taken..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::scan;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn means_what_serde_json_says(
            raw in "([a-zé€𝄞 ]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-f]{2}|\\\\uD8[0-9a-fA-F]{2}\\\\udC[0-9a-fA-F]{2}|\\\\u[1-9abc][0-9A-F]{3}){0,12}"
        ) {
            let line = format!("\"{raw}\"");
            let text = scan(line.as_bytes(), 1).unwrap();
            let mut out = Vec::new();
            push_text(&text, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::from_str::<String>(&line).unwrap());
        }
    }
}
