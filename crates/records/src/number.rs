//! DynamoDB's numbers, as exact decimal text.

use std::fmt;
use std::ops::Range;

/// Significant digits that DynamoDB keeps (Developer Guide, "Naming rules and data types", Number).
const MAX_DIGITS: usize = 38;
/// Exponents of the first significant digit that DynamoDB takes: 1E-130 to 9.99…E+125.
const EXPONENTS: std::ops::RangeInclusive<i64> = -130..=125;
/// Digits, zeros included, up to which a number is written without an exponent.
const MAX_PLAIN_DIGITS: i64 = 40;
/// Digits that are copied as they are: short enough that no limit can be met.
const FAST_DIGITS: usize = 38;

/// A DynamoDB number in its one canonical spelling: equal numbers have equal texts.
///
/// The text is also a JSON number, and parses to itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number(String);

/// Why a text is no DynamoDB number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is not `[+-]digits[.digits][e[+-]digits]`.
    #[error("not a number: expected decimal digits such as 12, -3.5 or 6.02e23")]
    NotANumber,
    /// There are more digits than DynamoDB keeps; leading and trailing zeros do not count.
    #[error("a number has at most 38 significant digits")]
    TooManyDigits,
    /// The magnitude is outside 1E-130 to 9.99…E+125.
    #[error("a number lies between 1E-130 and 9.99E+125, positive or negative, or is 0")]
    OutOfRange,
}

impl Number {
    /// Parses `[+-]digits[.digits][e[+-]digits]`; the integer or the fraction may be missing, surrounding space is refused.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let mut canonical = Vec::with_capacity(text.len().min(MAX_DIGITS + 8));
        Self::write_canonical(text, &mut canonical)?;
        Ok(Self(canonical.into_iter().map(char::from).collect()))
    }

    /// Appends the canonical text of a number to `out`, without allocating; on an error `out` is as it was.
    pub fn write_canonical(input: &str, out: &mut Vec<u8>) -> Result<(), NumberError> {
        if is_canonical_integer(input.as_bytes()) {
            out.extend_from_slice(input.as_bytes());
            return Ok(());
        }
        Decimal::parse(input.as_bytes())?.write(out);
        Ok(())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Bytes that the number counts for in an item.
    pub fn size(&self) -> usize {
        number_size(self.0.as_bytes())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Bytes that a number of this canonical text counts for: one per two significant digits, one more, and one for a sign
/// (Developer Guide, "DynamoDB item sizes and formats", which calls it approximate).
pub(crate) fn number_size(canonical: &[u8]) -> usize {
    let (mut significant, mut zeros) = (0usize, 0usize);
    for byte in canonical.iter().take_while(|byte| **byte != b'E') {
        if !byte.is_ascii_digit() {
            continue;
        }
        if *byte == b'0' {
            zeros += usize::from(significant > 0);
        } else {
            significant += zeros + 1;
            zeros = 0;
        }
    }
    significant.div_ceil(2) + 1 + usize::from(canonical.starts_with(b"-"))
}

/// Whether the text is an integer as [`Decimal::write`] would write it. Most cells are, and need nothing but a copy.
fn is_canonical_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < FAST_DIGITS && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// A parsed number: the digits without leading and trailing zeros, where the first one stands, and the sign.
struct Decimal<'a> {
    text: &'a [u8],
    /// Where in `text` the significant digits are; a point may be among them. Empty for zero.
    significant: Range<usize>,
    digits: usize,
    /// The power of ten of the first significant digit.
    exponent: i64,
    negative: bool,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, NumberError> {
        let (negative, start) = match text.first() {
            Some(b'-') => (true, 1),
            Some(b'+') => (false, 1),
            _ => (false, 0),
        };
        let mantissa_end = text
            .iter()
            .position(|byte| matches!(byte, b'e' | b'E'))
            .unwrap_or(text.len());
        let shift = match text.get(mantissa_end + 1..) {
            Some(digits) => parse_exponent(digits)?,
            None => 0,
        };
        let mantissa = text
            .get(start..mantissa_end)
            .ok_or(NumberError::NotANumber)?;
        let mut point = None;
        let mut any_digit = false;
        let mut significant: Option<Range<usize>> = None;
        for (index, byte) in mantissa.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    any_digit = true;
                    if *byte != b'0' {
                        let first = significant.map_or(index, |range| range.start);
                        significant = Some(first..index + 1);
                    }
                }
                b'.' if point.is_none() => point = Some(index),
                _ => return Err(NumberError::NotANumber),
            }
        }
        if !any_digit {
            return Err(NumberError::NotANumber);
        }
        let Some(range) = significant else {
            return Ok(Self::zero());
        };
        let point = point.unwrap_or(mantissa.len());
        let holds_point = range.contains(&point);
        let digits = range.len() - usize::from(holds_point);
        let places = match point > range.start {
            true => as_i64(point - range.start) - 1,
            false => -as_i64(range.start - point),
        };
        let exponent = places.saturating_add(shift);
        if digits > MAX_DIGITS {
            return Err(NumberError::TooManyDigits);
        }
        if !EXPONENTS.contains(&exponent) {
            return Err(NumberError::OutOfRange);
        }
        Ok(Self {
            text: mantissa,
            significant: range,
            digits,
            exponent,
            negative,
        })
    }

    fn zero() -> Self {
        Self {
            text: b"",
            significant: 0..0,
            digits: 0,
            exponent: 0,
            negative: false,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.digits == 0 {
            out.push(b'0');
            return;
        }
        if self.negative {
            out.push(b'-');
        }
        let count = as_i64(self.digits);
        if self.exponent >= 0 && self.exponent < MAX_PLAIN_DIGITS {
            self.write_from_one_up(out);
        } else if self.exponent < 0 && count - self.exponent - 1 <= MAX_PLAIN_DIGITS {
            out.extend_from_slice(b"0.");
            out.extend((self.exponent..-1).map(|_| b'0'));
            out.extend(self.significant_digits());
        } else {
            self.write_scientific(out);
        }
    }

    fn write_from_one_up(&self, out: &mut Vec<u8>) {
        let mut digits = self.significant_digits();
        out.extend((0..=self.exponent).map(|_| digits.next().unwrap_or(b'0')));
        if as_i64(self.digits) > self.exponent + 1 {
            out.push(b'.');
            out.extend(digits);
        }
    }

    fn write_scientific(&self, out: &mut Vec<u8>) {
        let mut digits = self.significant_digits();
        out.extend(digits.next());
        if self.digits > 1 {
            out.push(b'.');
            out.extend(digits);
        }
        out.extend_from_slice(if self.exponent < 0 { b"E-" } else { b"E+" });
        let magnitude = self.exponent.unsigned_abs();
        for power in [100, 10, 1] {
            if magnitude >= power {
                out.push(b'0' + u8::try_from(magnitude / power % 10).unwrap_or_default());
            }
        }
    }

    fn significant_digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.text[self.significant.clone()]
            .iter()
            .copied()
            .filter(|byte| *byte != b'.')
    }
}

/// The exponent behind an `e`; far outside the range it saturates, which is refused later unless the number is zero.
fn parse_exponent(text: &[u8]) -> Result<i64, NumberError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::NotANumber);
    }
    let magnitude = digits.iter().fold(0i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    });
    Ok(if negative { -magnitude } else { magnitude })
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Result<String, NumberError> {
        let mut out = b"kept".to_vec();
        let written = Number::write_canonical(text, &mut out);
        let behind = String::from_utf8(out).unwrap().split_off("kept".len());
        assert_eq!(behind.is_empty(), written.is_err(), "{text}");
        assert_eq!(
            Number::parse(text).map(|number| number.as_str().to_owned()),
            written.map(|()| behind.clone())
        );
        written.map(|()| behind)
    }

    #[test]
    fn spells_equal_numbers_alike() {
        let cases: [(&[&str], &str); 16] = [
            (
                &[
                    "0",
                    "-0",
                    "+0",
                    "00",
                    "0.0",
                    ".0",
                    "0.",
                    "0e5",
                    "-0E-999999999999999999999",
                    "0e999",
                ],
                "0",
            ),
            (
                &[
                    "1", "1.0", "1e0", "+1", "01", "10e-1", "0.1e1", "1.", "1E+00", "1E-0",
                ],
                "1",
            ),
            (&["-1", "-1.000", "-0.01e2"], "-1"),
            (&["100", "1e2", "1E+2", "100.00"], "100"),
            (&["12.5", "1.25e1", "125e-1", "0012.500"], "12.5"),
            (&[".5", "0.5", "5e-1"], "0.5"),
            (&["-.05", "-5E-2"], "-0.05"),
            (&["1e39"], "1000000000000000000000000000000000000000"),
            (
                &["1e40", "10000000000000000000000000000000000000000"],
                "1E+40",
            ),
            (&["1e-40"], "0.0000000000000000000000000000000000000001"),
            (&["1e-41"], "1E-41"),
            (&["1.5e100", "15e99"], "1.5E+100"),
            (&["-1.5e-100"], "-1.5E-100"),
            (&["1e-130", "0.1e-129"], "1E-130"),
            (
                &["9.9999999999999999999999999999999999999E+125"],
                "9.9999999999999999999999999999999999999E+125",
            ),
            (
                &[
                    "12345678901234567890123456789012345678",
                    "12345678901234567890123456789012345678.0",
                ],
                "12345678901234567890123456789012345678",
            ),
        ];
        for (spellings, wanted) in cases {
            for spelling in spellings {
                assert_eq!(canonical(spelling).as_deref(), Ok(wanted), "{spelling}");
            }
            assert_eq!(canonical(wanted).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn refuses_what_dynamodb_cannot_hold() {
        let cases: [(NumberError, &[&str]); 3] = [
            (
                NumberError::NotANumber,
                &[
                    "", "-", "+", ".", "-.", "e", "e5", ".e5", "1e", "1e+", "1e-", "1e1.5",
                    "1e1e1", "1.2.3", "--1", "+-1", " 1", "1 ", "1\n", "1,5", "1_000", "0x10",
                    "NaN", "Infinity", "-inf", "١", "1-", "1d5", "é",
                ],
            ),
            (
                NumberError::TooManyDigits,
                &[
                    "123456789012345678901234567890123456789",
                    "1.00000000000000000000000000000000000001",
                    "-100000000000000000000000000000000000001",
                ],
            ),
            (
                NumberError::OutOfRange,
                &[
                    "1e126",
                    "-1e126",
                    "10e125",
                    "1e-131",
                    "0.1e-130",
                    "1e999999999999999999999",
                    "1e-999999999999999999999",
                ],
            ),
        ];
        for (error, texts) in cases {
            for text in texts {
                assert_eq!(canonical(text), Err(error), "{text}");
            }
        }
    }

    #[test]
    fn counts_bytes_by_significant_digits() {
        let cases = [
            ("0", 1),
            ("7", 2),
            ("12", 2),
            ("123", 3),
            ("-123", 4),
            ("1000", 2),
            ("0.0012", 2),
            ("1.5E+100", 2),
            ("1001", 3),
        ];
        for (text, bytes) in cases {
            assert_eq!(Number::parse(text).unwrap().size(), bytes, "{text}");
        }
        assert_eq!(Number::parse(&"9".repeat(38)).unwrap().size(), 20);
    }

    /// Sign, digits without zeros around them, and the power of ten of the last one.
    fn naive(text: &str) -> (bool, String, i64) {
        let lower = text.to_lowercase();
        let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches(['-', '+']);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let kept = digits.trim_end_matches('0');
        let exponent: i64 = exponent.parse::<i64>().unwrap() - fraction.len() as i64
            + (digits.len() - kept.len()) as i64;
        match kept.trim_start_matches('0') {
            "" => (false, String::new(), 0),
            significant => (negative, significant.to_owned(), exponent),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn agrees_with_a_naive_decimal(text in "[+-]?(0{0,3}[0-9]{1,40}(\\.[0-9]{0,30})?|\\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?") {
            let (negative, digits, exponent) = naive(&text);
            let first = exponent + digits.len() as i64 - 1;
            let wanted = if digits.len() > 38 {
                Err(NumberError::TooManyDigits)
            } else if !digits.is_empty() && !(-130..=125).contains(&first) {
                Err(NumberError::OutOfRange)
            } else {
                Ok((negative, digits, exponent))
            };
            let written = canonical(&text);
            prop_assert_eq!(written.as_deref().map(naive).map_err(|error| *error), wanted);
            if let Ok(text) = written {
                prop_assert_eq!(canonical(&text), Ok(text.clone()));
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
                prop_assert!(text.len() <= 45);
            }
        }

        #[test]
        fn equal_values_have_equal_texts(
            digits in "[0-9]{1,6}", zeros in 0usize..5, point in 0i64..8, exponent in -20i64..20,
        ) {
            let plain = format!("{digits}e{exponent}");
            let padded = format!("00{digits}{}e{}", "0".repeat(zeros), exponent - zeros as i64);
            let shifted = format!(".{}{digits}e{}", "0".repeat(point as usize), exponent + point + digits.len() as i64);
            prop_assert_eq!(canonical(&plain), canonical(&padded));
            prop_assert_eq!(canonical(&plain), canonical(&shifted));
            let next = format!("{digits}1e{}", exponent - 1);
            prop_assert_ne!(canonical(&plain), canonical(&next));
        }
    }
}
