//! Numbers of DynamoDB as 64-bit integers, as decimals and as doubles, each only where it is the same number.

use records::Number;

/// Digits that fit a `u64` whatever they are.
const SHORT_DIGITS: usize = 19;

/// Significant decimal digits that any double keeps (`f64::DIGITS`).
const DOUBLE_DIGITS: usize = 15;

/// A number as an integer, if it is one that fits.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if (1..SHORT_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        let magnitude = short(digits).cast_signed();
        return Some(if negative { -magnitude } else { magnitude });
    }
    i64::try_from(unscaled(text, 0)?).ok()
}

/// A number as the integer that it is after moving its point right by `scale` digits, if it has no more than `precision`.
#[inline]
pub(super) fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let value = match plain(text, scale) {
        Some(value) => value,
        None => unscaled(text, scale)?,
    };
    let limit = 10u128.pow(u32::from(precision));
    (value.unsigned_abs() < limit).then_some(value)
}

/// A number as a double, if the shortest text of the double is that number.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let short =
        text.len() <= DOUBLE_DIGITS && !text.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    // Any 15 digits come back from a double; of more, or far from one, the text has to be compared.
    (short || same_number(text, &format!("{value:e}"))).then_some(value)
}

fn same_number(left: &str, right: &str) -> bool {
    match (Number::parse(left), Number::parse(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

#[inline]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    }
}

/// The value of at most 19 digits.
#[inline]
fn short(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

/// A number of few digits, written without an exponent and with no more places than `scale`. Nearly all are.
#[inline]
fn plain(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || digits.len() > SHORT_DIGITS {
        return None;
    }
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    let zeros = usize::from(scale).checked_sub(fraction.len())?;
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let unscaled = short(whole) * TENS[fraction.len()] + short(fraction);
    let power = 10i128.checked_pow(u32::try_from(zeros).ok()?)?;
    let magnitude = i128::from(unscaled).checked_mul(power)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The powers of ten of a fraction of at most 19 digits.
const TENS: [u64; SHORT_DIGITS + 1] = {
    let mut table = [1; SHORT_DIGITS + 1];
    let mut power = 1;
    while power < table.len() {
        table[power] = table[power - 1] * 10;
        power += 1;
    }
    table
};

/// Any number of DynamoDB in units of `10^-scale`, if it is a whole number of them of at most 38 digits.
#[cold]
fn unscaled(text: &[u8], scale: u8) -> Option<i128> {
    let number = Number::parse(std::str::from_utf8(text).ok()?).ok()?;
    let (negative, text) = sign(number.as_str().as_bytes());
    let end = text.iter().position(|byte| *byte == b'E');
    let (mantissa, exponent) = match end {
        Some(at) => (
            &text[..at],
            std::str::from_utf8(&text[at + 1..]).ok()?.parse().ok()?,
        ),
        None => (text, 0i32),
    };
    let mut digits = Vec::with_capacity(mantissa.len());
    let mut places = 0i32;
    for (index, byte) in mantissa.iter().enumerate() {
        match byte {
            b'.' => places = i32::try_from(mantissa.len() - index - 1).ok()?,
            digit => digits.push(*digit),
        }
    }
    // The value is the digits times ten to the power of `shift`, in units of `10^-scale`.
    let shift = exponent - places + i32::from(scale);
    let significant = digits.iter().rposition(|digit| *digit != b'0');
    let Some(last) = significant else {
        return Some(0);
    };
    let trailing = digits.len() - 1 - last;
    digits.truncate(last + 1);
    let shift = shift + i32::try_from(trailing).ok()?;
    let power = 10i128.checked_pow(u32::try_from(shift).ok()?)?;
    let magnitude = digits
        .iter()
        .try_fold(0i128, |value, digit| {
            value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
        })?
        .checked_mul(power)?;
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_those_of_64_bits_however_they_are_written() {
        let cases = [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("1E+3", Some(1_000)),
            ("12.0", Some(12)),
            ("1200e-2", Some(12)),
            ("1.5", None),
            ("1E-130", None),
            ("9E+125", None),
            ("99999999999999999999999999999999999999", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(integer(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn decimals_have_no_more_digits_than_declared() {
        let cases = [
            ("12.34", 4, 2, Some(1_234)),
            ("123.4", 4, 2, None),
            ("1.234", 4, 2, None),
            ("1.230", 4, 2, Some(123)),
            ("-0.05", 2, 2, Some(-5)),
            ("1E+1", 4, 2, Some(1_000)),
            ("1E+2", 4, 2, None),
            (
                "99999999999999999999999999999999999999",
                38,
                0,
                Some(10i128.pow(38) - 1),
            ),
            (
                "0.99999999999999999999999999999999999999",
                38,
                38,
                Some(10i128.pow(38) - 1),
            ),
            ("1", 38, 38, None),
            ("1E+37", 38, 0, Some(10i128.pow(37))),
            ("1E+38", 38, 0, None),
            ("1E-130", 38, 38, None),
            ("0", 1, 1, Some(0)),
            ("0.000", 1, 0, Some(0)),
        ];
        for (text, precision, scale, wanted) in cases {
            assert_eq!(decimal(text.as_bytes(), precision, scale), wanted, "{text}");
        }
    }

    #[test]
    fn doubles_are_numbers_that_come_back() {
        for text in [
            "0.1",
            "1E+23",
            "-1.5E-100",
            "123456789012345",
            "0.30000000000000004",
        ] {
            let value = double(text.as_bytes()).unwrap();
            assert!(same_number(text, &format!("{value:e}")), "{text}");
        }
        for text in [
            "0.12345678901234567890",
            "9007199254740993",
            "0.3000000000000000444",
        ] {
            assert_eq!(double(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_fits_is_the_same_number(
            text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?(E[+-]?[0-9]{1,2})?",
            precision in 1u8..=38,
            scale in 0u8..=38,
        ) {
            let scale = scale.min(precision);
            let Ok(number) = Number::parse(&text) else { return Ok(()) };
            match decimal(text.as_bytes(), precision, scale) {
                Some(value) => {
                    let back = Number::parse(&format!("{value}E-{scale}")).unwrap();
                    prop_assert_eq!(back, number.clone());
                    prop_assert!(value.unsigned_abs() < 10u128.pow(precision.into()));
                }
                // It has too many digits behind the point or before it, as the naive reading of its text says.
                None => {
                    let (whole, fraction) = digits_around_point(number.as_str());
                    prop_assert!(whole > usize::from(precision - scale) || fraction > usize::from(scale));
                }
            }
            let as_integer = number.as_str().parse::<i64>().ok();
            prop_assert_eq!(integer(text.as_bytes()), as_integer);
            let shortest = format!("{:e}", text.parse::<f64>().unwrap());
            prop_assert_eq!(double(text.as_bytes()).is_some(), same_number(&text, &shortest));
        }
    }

    /// Digits before and behind the point of a canonical number.
    fn digits_around_point(text: &str) -> (usize, usize) {
        let text = text.trim_start_matches('-');
        let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap();
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let places = fraction.len() as i32 - exponent;
        let trailing = (digits.len() - digits.trim_end_matches('0').len()) as i32;
        let before = (digits.len() as i32 - places).max(0) as usize;
        (before, (places - trailing).max(0) as usize)
    }
}
