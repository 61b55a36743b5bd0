//! What an N holds, as a number of JSON.

use records::Number;

use crate::text::Text;

pub(crate) const EXPECTED: &str =
    "a number of at most 38 digits, within DynamoDB's range, such as 12, -3.5 or 6.02e23";

/// Digits within which no limit of DynamoDB's can be met.
const MOST_DIGITS: usize = 38;

/// Where a number ends that begins at `start`, if it can be a number of JSON as it is: digits, maybe a sign and a fraction,
/// and so few that no limit of DynamoDB's can be met. So DynamoDB writes nearly all numbers.
#[inline(always)]
pub(crate) fn plain_end(bytes: &[u8], start: usize) -> Option<usize> {
    let first = start + usize::from(bytes.get(start) == Some(&b'-'));
    let whole = digits(bytes, first);
    // Zeros do not lead, and a negative zero is no number of DynamoDB's.
    if whole == 0 || (bytes[first] == b'0' && (whole > 1 || first > start)) {
        return None;
    }
    let point = first + whole;
    if bytes.get(point) != Some(&b'.') {
        return (whole <= MOST_DIGITS).then_some(point);
    }
    let fraction = digits(bytes, point + 1);
    (fraction > 0 && whole + fraction <= MOST_DIGITS).then_some(point + 1 + fraction)
}

/// Whether a whole text is what [`plain_end`] finds.
#[inline]
pub(crate) fn is_plain(text: &Text<'_>) -> bool {
    plain_end(text.line(), text.start()) == Some(text.end())
}

/// How many digits stand here.
#[inline(always)]
fn digits(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let others = no_digits(u64::from_le_bytes(*chunk));
        if others != 0 {
            return at - start + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default().iter();
    at - start + rest.take_while(|byte| byte.is_ascii_digit()).count()
}

/// The highest bit of each byte that is no digit.
#[inline(always)]
fn no_digits(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A digit becomes its value, and anything else more than nine.
    let value = word ^ (ONES * b'0' as u64);
    (((value & (ONES * 0x7f)) + ONES * (0x7f - 9)) | value) & (ONES * 0x80)
}

/// Appends the canonical spelling of any number; `false` and nothing appended if it is none.
#[cold]
pub(crate) fn canonical(text: &Text<'_>, out: &mut Vec<u8>) -> bool {
    Number::write_canonical(&text.to_text(), out).is_ok()
}
