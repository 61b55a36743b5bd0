//! The text of a number, which a workbook holds as a binary floating point number.

use std::fmt::Write;

/// Excel keeps so many digits of a number that is typed in, and makes zeros of the others.
const KEPT_DIGITS: usize = 15;
/// The first whole number with more digits than that.
const FIRST_LONG: f64 = 1e15;

/// Appends the shortest decimal that reads back as the same number, without an exponent.
///
/// A decimal of up to 15 significant digits survives the way into a double and back (IEEE 754: a double has 15.95), so such
/// a number comes out as it was typed. The answer is whether there are more digits: then the spreadsheet program, or whoever
/// wrote the file, may have rounded it, and nobody can tell.
pub(super) fn push_number(value: f64, out: &mut String) -> bool {
    match small_whole(value) {
        Some(whole) => {
            push(format_args!("{whole}"), out);
            false
        }
        None => {
            let scientific = format!("{value:e}");
            let mantissa = scientific.split('e').next().unwrap_or_default();
            let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
            push(format_args!("{value}"), out);
            // The digits of a typed 1234567890123456 end at the 15th; it is its size that tells.
            digits > KEPT_DIGITS || value.abs() >= FIRST_LONG
        }
    }
}

/// The number as an integer, if it is a whole one of at most 15 digits.
fn small_whole(value: f64) -> Option<i64> {
    let is_small_whole = value.abs() < FIRST_LONG && value.fract() == 0.0;
    is_small_whole.then_some(value as i64)
}

fn push(text: std::fmt::Arguments<'_>, out: &mut String) {
    out.write_fmt(text).expect("a string takes any text");
}

/// A number format that shows leading zeros, such as `00000` or `000-00-0000`.
///
/// Such a format is how spreadsheets show post codes, customer numbers and the like, so the shown text is the value that
/// people mean: 501 in the format `00000` is the post code 00501.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Padding {
    /// For all numbers; or for those from 0 on and negative ones; or for positive ones, negative ones and 0. None is a
    /// section of another kind, under which a number keeps its own text.
    sections: Vec<Option<Vec<Token>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Digit,
    Literal(char),
}

impl Padding {
    /// The padding of a number format (ECMA-376 part 1, 18.8.31), if it pads: a section of at least two `0`, and literal text,
    /// and nothing else.
    pub(super) fn parse(format: &str) -> Option<Self> {
        let sections: Vec<_> = sections(format)?.iter().map(|part| tokens(part)).collect();
        let pads = sections.iter().any(Option::is_some);
        pads.then_some(Self { sections })
    }

    /// Appends the number as it is shown; nothing where that is not a matter of leading zeros.
    pub(super) fn push(&self, value: f64, out: &mut String) -> bool {
        let Some(whole) = small_whole(value) else {
            return false;
        };
        let has_own = |index: usize| self.sections.len() > index;
        let (index, sign) = match whole {
            ..0 if has_own(1) => (1, ""),
            ..0 => (0, "-"),
            0 if has_own(2) => (2, ""),
            _ => (0, ""),
        };
        let Some(tokens) = &self.sections[index] else {
            return false;
        };
        let places = tokens.iter().filter(|token| **token == Token::Digit);
        let digits = format!("{:0>1$}", whole.unsigned_abs(), places.clone().count());
        // Digits for which there is no place stand before the first.
        let extra = digits.len() - places.count();
        let mut rest = digits.as_str();
        let mut take = 1 + extra;
        out.push_str(sign);
        for token in tokens {
            match token {
                Token::Literal(character) => out.push(*character),
                Token::Digit => {
                    let (digits, others) = rest.split_at(take);
                    out.push_str(digits);
                    (rest, take) = (others, 1);
                }
            }
        }
        true
    }
}

/// The format cut at its semicolons; none where a section has a condition, as then others rules choose it.
fn sections(format: &str) -> Option<Vec<String>> {
    let mut sections = vec![String::new()];
    let mut characters = format.chars();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        let section = sections.last_mut()?;
        match character {
            ';' if !is_quoted => {
                sections.push(String::new());
                continue;
            }
            '"' => is_quoted = !is_quoted,
            '[' if !is_quoted => {
                let inside: String = characters.by_ref().take_while(|c| *c != ']').collect();
                if inside.starts_with(['<', '>', '=']) {
                    return None;
                }
                // What is left are colours and languages, and currencies, which no padded number has.
                if inside.starts_with('$') && !inside.starts_with("$-") {
                    section.push('$');
                }
                continue;
            }
            _ => {}
        }
        section.push(character);
        if matches!(character, '\\' | '_' | '*') && !is_quoted {
            section.extend(characters.next());
        }
    }
    Some(sections)
}

fn tokens(section: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut characters = section.chars();
    while let Some(character) = characters.next() {
        match character {
            '0' => tokens.push(Token::Digit),
            '"' => tokens.extend(
                characters
                    .by_ref()
                    .take_while(|c| *c != '"')
                    .map(Token::Literal),
            ),
            '\\' => tokens.extend(characters.next().map(Token::Literal)),
            // Room as wide as a character, and a character that fills the cell: looks, no text.
            '_' | '*' => {
                characters.next();
            }
            '-' | '+' | ' ' | '(' | ')' => tokens.push(Token::Literal(character)),
            _ => return None,
        }
    }
    let places = tokens.iter().filter(|token| **token == Token::Digit);
    (places.count() >= 2).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> (String, bool) {
        let mut text = String::new();
        let is_long = push_number(value, &mut text);
        (text, is_long)
    }

    #[test]
    fn whole_numbers_have_neither_point_nor_exponent() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (7.0, "7"),
            (-12.0, "-12"),
            (123_456_789_012.0, "123456789012"),
            (999_999_999_999_999.0, "999999999999999"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e-7, "0.0000001"),
            (12_345_678.901_234_5, "12345678.9012345"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), (expected.to_owned(), false));
        }
    }

    #[test]
    fn more_than_fifteen_digits_are_told() {
        let cases = [
            (1e15, "1000000000000000"),
            // What Excel makes of a typed 1234567890123456.
            (1_234_567_890_123_450.0, "1234567890123450"),
            (633_680_713_291_900_000.0, "633680713291900000"),
            (-1e20, "-100000000000000000000"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), (expected.to_owned(), true));
        }
    }

    fn shown(format: &str, value: f64) -> Option<String> {
        let mut text = String::new();
        let padding = Padding::parse(format)?;
        padding.push(value, &mut text).then_some(text)
    }

    #[test]
    fn leading_zeros_are_shown() {
        let cases = [
            ("00000", 501.0, "00501"),
            ("00000", 0.0, "00000"),
            ("00000", 1_234_567.0, "1234567"),
            ("00000", -7.0, "-00007"),
            ("000-00-0000", 12_345_678.0, "012-34-5678"),
            ("000\\-00\\-0000", 1_234_567_890.0, "1234-56-7890"),
            ("\"ID-\"0000", 42.0, "ID-0042"),
            ("[Red]0000_)", 42.0, "0042"),
            ("[$-407]00000", 42.0, "00042"),
            ("00000;@", 42.0, "00042"),
            ("000;(000);00", -5.0, "(005)"),
            ("000;(000);00", 0.0, "00"),
            ("\"a;b\"00", 1.0, "a;b01"),
        ];
        for (format, value, expected) in cases {
            assert_eq!(shown(format, value).as_deref(), Some(expected), "{format}");
        }
    }

    #[test]
    fn other_formats_leave_the_number_alone() {
        for format in [
            "General",
            "0",
            "@",
            "#,##0",
            "0.00",
            "00.0",
            "#00",
            "0%",
            "00E+00",
            "00/00",
            "0 \"kg\"",
            "[$€-407]00",
            "[>9]00;000",
            "00,",
            "\"00\"",
            "",
            ";;;",
        ] {
            assert_eq!(shown(format, 5.0), None, "{format}");
        }
        assert_eq!(shown("00000", 12.5), None, "a fraction");
        assert_eq!(shown("00000", 1e15), None, "a long number");
        assert_eq!(shown("00000;0", -5.0), None, "another section");
    }

    proptest! {
        #[test]
        fn a_typed_decimal_comes_out_as_it_was(digits in 1u64..1_000_000_000_000_000, places in 0usize..12) {
            let typed = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = typed.split_at(typed.len() - places);
            let fraction = fraction.trim_end_matches('0');
            let typed = match fraction {
                "" => whole.to_owned(),
                _ => format!("{whole}.{fraction}"),
            };
            prop_assert_eq!(text(typed.parse().unwrap()), (typed, false));
        }

        #[test]
        fn the_text_is_the_number(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let (text, _) = text(value);
            prop_assert!(!text.contains(['e', 'E']));
            prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        }

        #[test]
        fn padding_is_that_of_the_standard_library(value in 0u64..1_000_000_000_000_000, width in 2usize..20) {
            let shown = shown(&"0".repeat(width), value as f64);
            prop_assert_eq!(shown, Some(format!("{value:0>width$}")));
        }

        #[test]
        fn no_format_is_too_odd(format in "[0#;\\[\\]\"\\\\_*a-c -]{0,20}", value in -1e16..1e16f64) {
            shown(&format, value.trunc());
        }
    }
}
