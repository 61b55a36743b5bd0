//! DynamoDB's numbers, as text: never as binary floating point.

/// A number as DynamoDB keeps it: up to 38 significant digits, magnitude 1E-130 to 9.99…E+125, or zero.
///
/// The text is canonical: equal numbers have equal texts (`1`, `1.0` and `1e0` are `1`), and it is a JSON number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(String);

/// Why a text is no DynamoDB number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a decimal number.
    #[error("not a number: expected decimal digits such as 12, -3.5 or 6.02e23")]
    NotANumber,
    /// More digits than DynamoDB keeps.
    #[error("{0} significant digits: expected 38 at most")]
    TooManyDigits(usize),
    /// Too large or too small.
    #[error("out of range: expected a magnitude from 1E-130 to 9.99E+125")]
    OutOfRange,
}

const MAX_DIGITS: usize = 38;
/// Exponent of the first significant digit.
const MAX_EXPONENT: i64 = 125;
const MIN_EXPONENT: i64 = -130;
/// Longest run of zeros that are written out before or after the digits; beyond that the text has an exponent.
const MAX_PLAIN_ZEROS: i64 = 38;

/// A number taken apart: the digits without zeros at either end, and the exponent of the first one.
struct Parts<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl Number {
    /// Parses `[+-]digits[.digits][e[+-]digits]`; either side of the point may be empty, not both.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let mut canonical = Vec::with_capacity(text.len());
        Self::write_canonical(text, &mut canonical)?;
        Ok(Self(
            String::from_utf8(canonical).expect("digits, signs and letters"),
        ))
    }

    /// Appends the canonical text of `text` to `out`. On an error nothing is appended.
    pub fn write_canonical(text: &str, out: &mut Vec<u8>) -> Result<(), NumberError> {
        if is_plain_integer(text.as_bytes()) {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let parts = take_apart(text)?;
        let digits = || {
            let all = parts.integer.bytes().chain(parts.fraction.bytes());
            all.skip_while(|digit| *digit == b'0')
        };
        let leading = digits().count();
        if leading == 0 {
            out.push(b'0');
            return Ok(());
        }
        let total = parts.integer.len() + parts.fraction.len();
        let trailing = parts
            .integer
            .bytes()
            .chain(parts.fraction.bytes())
            .collect::<Vec<_>>()
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        let significant = leading - trailing;
        if significant > MAX_DIGITS {
            return Err(NumberError::TooManyDigits(significant));
        }
        let first = to_i64(parts.integer.len()) - to_i64(total - leading) - 1;
        let exponent = first
            .checked_add(parts.exponent)
            .filter(|exponent| (MIN_EXPONENT..=MAX_EXPONENT).contains(exponent))
            .ok_or(NumberError::OutOfRange)?;
        if parts.negative {
            out.push(b'-');
        }
        let digits: Vec<u8> = digits().take(significant).collect();
        write_digits(&digits, exponent, out);
        Ok(())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Bytes that DynamoDB counts for it: about one for two significant digits, and one more.
    pub fn size(&self) -> usize {
        number_size(self.0.as_bytes())
    }
}

/// Bytes that DynamoDB counts for a number with this canonical text.
pub(crate) fn number_size(canonical: &[u8]) -> usize {
    let mantissa = canonical.split(|byte| *byte == b'E').next().unwrap_or_default();
    let mut significant: usize = 0;
    let mut zeros: usize = 0;
    for digit in mantissa.iter().filter(|byte| byte.is_ascii_digit()) {
        match digit {
            b'0' => zeros += 1,
            _ => {
                significant += 1 + if significant > 0 { zeros } else { 0 };
                zeros = 0;
            }
        }
    }
    let negative = usize::from(canonical.first() == Some(&b'-'));
    significant.div_ceil(2) + 1 + negative
}

/// The common case: few digits, no sign but a minus, no zero in front.
fn is_plain_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => {
            rest.len() < MAX_DIGITS && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

fn take_apart(text: &str) -> Result<Parts<'_>, NumberError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(integer) || !all_digits(fraction) || (integer.is_empty() && fraction.is_empty()) {
        return Err(NumberError::NotANumber);
    }
    Ok(Parts {
        negative,
        integer,
        fraction,
        exponent,
    })
}

fn parse_exponent(text: &str) -> Result<i64, NumberError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    // Too many digits for an i64 are far out of range, on the side that the sign says; zero stays zero.
    let far = if text.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    Ok(text.parse().map_or(far, |value: i64| value.clamp(i64::MIN / 4, i64::MAX / 4)))
}

fn write_digits(digits: &[u8], exponent: i64, out: &mut Vec<u8>) {
    let count = to_i64(digits.len());
    let zeros = |count: i64| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0));
    if exponent >= 0 && exponent < MAX_PLAIN_ZEROS {
        let integer = usize::try_from((exponent + 1).min(count)).unwrap_or(0);
        out.extend_from_slice(&digits[..integer]);
        out.extend(zeros(exponent + 1 - count));
        if integer < digits.len() {
            out.push(b'.');
            out.extend_from_slice(&digits[integer..]);
        }
    } else if exponent < 0 && -exponent <= MAX_PLAIN_ZEROS {
        out.extend_from_slice(b"0.");
        out.extend(zeros(-exponent - 1));
        out.extend_from_slice(digits);
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(format!("E{exponent:+}").as_bytes());
    }
}

fn to_i64(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX / 4)
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
