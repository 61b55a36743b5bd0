//! Sample rows in the shape of the AWS sample for CSV ingestion into DynamoDB.
//!
//! Everything follows from the arguments of [`Generator::new`]; no clock and no machine randomness is read, and memory
//! does not grow with the number of rows or accounts.

use std::io::{self, Write};
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::Offset;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The first line of every file, without its newline.
pub const HEADER: &str =
    "account,offer_id,catalog_id,account_type_code,offer_type_id,created,expire,risk";

/// The most rows of one file.
pub const MAX_ROWS: u64 = 1_000_000_000;

/// The most accounts: every number of eight digits that does not start with 0.
pub const MAX_ACCOUNTS: u64 = AccountNumbers::SIZE;

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 8192;

const DAY: u64 = 24 * 60 * 60;
/// `created` lies at most this many seconds before now.
const CREATED_WITHIN: u64 = 365 * DAY;
/// `expire` follows `created` after this many seconds at least, and at most.
const EXPIRE_AFTER: (u64, u64) = (7 * DAY, 365 * DAY);

/// The years for which `created` and `expire` have four digits and are not before 1970.
const YEARS_OF_NOW: std::ops::RangeInclusive<i16> = 1971..=9997;

type AccountNumbers = Scramble<9_000, 10_000>;
type OfferNumbers = Scramble<900_000, 1_000_000>;

/// Why a [`Generator`] cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArguments {
    /// No rows, or more than [`MAX_ROWS`].
    #[error(
        "--rows {0} cannot be used: expected 1 to {MAX_ROWS}; try --rows 1000, and for more than the most make several files"
    )]
    Rows(u64),
    /// No accounts, or more than [`MAX_ACCOUNTS`].
    #[error(
        "--accounts {0} cannot be used: expected 1 to {MAX_ACCOUNTS}, as account numbers have eight digits; try --accounts 20"
    )]
    Accounts(u64),
    /// A time whose rows would not fit the time format.
    #[error(
        "--now {0} cannot be used: expected a time in the years {from} to {to}, such as 2026-01-31T12:34:56+00:00",
        from = YEARS_OF_NOW.start(),
        to = YEARS_OF_NOW.end()
    )]
    Now(Timestamp),
}

/// Makes one file of sample rows; equal arguments make equal files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generator {
    rows: u64,
    accounts: u64,
    seed: u64,
    now: u64,
}

impl Generator {
    /// `rows` rows (1 to [`MAX_ROWS`]) of up to `accounts` accounts (1 to [`MAX_ACCOUNTS`]), drawn by `seed`, with times
    /// that count from `now` in whole seconds.
    ///
    /// # Errors
    /// An argument out of its range.
    pub fn new(
        rows: u64,
        accounts: u64,
        seed: u64,
        now: Timestamp,
    ) -> Result<Self, InvalidArguments> {
        if !(1..=MAX_ROWS).contains(&rows) {
            return Err(InvalidArguments::Rows(rows));
        }
        if !(1..=MAX_ACCOUNTS).contains(&accounts) {
            return Err(InvalidArguments::Accounts(accounts));
        }
        let second = u64::try_from(now.as_second())
            .ok()
            .filter(|_| YEARS_OF_NOW.contains(&Offset::UTC.to_datetime(now).year()))
            .ok_or(InvalidArguments::Now(now))?;
        Ok(Self {
            rows,
            accounts,
            seed,
            now: second,
        })
    }

    /// Writes [`HEADER`] and the rows, each ended by a newline, and returns the number of bytes.
    ///
    /// Every row is one small write, so `out` should be buffered. `progress` is called now and then, and at the end, with
    /// the number of rows written so far.
    ///
    /// # Errors
    /// The first error of `out`.
    pub fn write_to(&self, out: &mut impl Write, mut progress: impl FnMut(u64)) -> io::Result<u64> {
        writeln!(out, "{HEADER}")?;
        let mut bytes = HEADER.len() as u64 + 1;
        let mut rows = RowMaker::new(self);
        for number in 0..self.rows {
            let row = rows.make(number);
            out.write_all(row)?;
            bytes += row.len() as u64;
            if number % PROGRESS_ROWS == 0 {
                progress(number);
            }
        }
        progress(self.rows);
        Ok(bytes)
    }
}

/// Where each column stands in a row; only the last one varies in width.
mod columns {
    use super::Range;

    pub(super) const ACCOUNT: Range<usize> = 0..8;
    pub(super) const OFFER_ID: Range<usize> = 9..21;
    pub(super) const CATALOG_ID: Range<usize> = 22..40;
    pub(super) const ACCOUNT_TYPE_CODE: Range<usize> = 41..43;
    pub(super) const OFFER_TYPE_ID: Range<usize> = 44..52;
    pub(super) const CREATED: Range<usize> = 53..78;
    pub(super) const EXPIRE: Range<usize> = 79..104;
    pub(super) const RISK: usize = 105;
    pub(super) const LONGEST_ROW: usize = RISK + "medium\n".len();
    /// What never changes between rows: commas and the marks in a time.
    pub(super) const TEMPLATE: &[u8; RISK] =
        b"00000000,000000000000,000000000000000000,AA,00000000,\
        0000-00-00T00:00:00+00:00,0000-00-00T00:00:00+00:00,";
}

/// Fills one buffer with row after row.
struct RowMaker {
    random: ChaCha8Rng,
    account_numbers: AccountNumbers,
    offer_numbers: OfferNumbers,
    accounts: u64,
    now: u64,
    row: [u8; columns::LONGEST_ROW],
}

impl RowMaker {
    fn new(generator: &Generator) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(generator.seed);
        let mut row = [0; columns::LONGEST_ROW];
        row[..columns::RISK].copy_from_slice(columns::TEMPLATE);
        Self {
            account_numbers: Scramble::new(&mut random),
            offer_numbers: Scramble::new(&mut random),
            random,
            accounts: generator.accounts,
            now: generator.now,
            row,
        }
    }

    /// The row of a number that was not given before; numbers count from 0.
    fn make(&mut self, number: u64) -> &[u8] {
        use columns::*;

        let account = self.below(self.accounts);
        let account = self.account_numbers.apply(account);
        let offer = self.offer_numbers.apply(number);
        let catalog = self.below(900_000_000_000_000_000);
        let type_code = self.below(26 * 26);
        let offer_type = self.below(90_000_000);
        let created = self.now - self.below(CREATED_WITHIN + 1);
        let (soonest, latest) = EXPIRE_AFTER;
        let expire = created + soonest + self.below(latest - soonest + 1);
        let risk: &[u8] = [b"low\n".as_slice(), b"medium\n", b"high\n"][self.below(3) as usize];

        // The smallest number of each width is added, so that no number starts with 0.
        put_digits(&mut self.row[ACCOUNT], 10_000_000 + account);
        put_digits(&mut self.row[OFFER_ID], 100_000_000_000 + offer);
        put_digits(&mut self.row[CATALOG_ID], 100_000_000_000_000_000 + catalog);
        put_capitals(&mut self.row[ACCOUNT_TYPE_CODE], type_code);
        put_digits(&mut self.row[OFFER_TYPE_ID], 10_000_000 + offer_type);
        put_time(&mut self.row[CREATED], created);
        put_time(&mut self.row[EXPIRE], expire);
        let end = RISK + risk.len();
        self.row[RISK..end].copy_from_slice(risk);
        &self.row[..end]
    }

    /// A random number below `bound`. Written out because the ranges of the `rand` crate may draw otherwise in a later
    /// version, and a seed must keep its file. Some numbers are drawn more often than others by `bound` / 2^64 at most, which
    /// is nothing here but for catalog ids (5 %), of which no file has enough to tell.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.random.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

fn put_digits(target: &mut [u8], mut number: u64) {
    for digit in target.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn put_capitals(target: &mut [u8], mut number: u64) {
    for letter in target.iter_mut().rev() {
        *letter = b'A' + (number % 26) as u8;
        number /= 26;
    }
}

/// Fills in the digits of `0000-00-00T00:00:00+00:00`.
fn put_time(target: &mut [u8], second: u64) {
    let time = i64::try_from(second)
        .ok()
        .and_then(|second| Timestamp::from_second(second).ok())
        .expect("Generator::new refuses times beyond the calendar");
    let time = Offset::UTC.to_datetime(time);
    put_digits(&mut target[0..4], time.year() as u64);
    put_digits(&mut target[5..7], time.month() as u64);
    put_digits(&mut target[8..10], time.day() as u64);
    put_digits(&mut target[11..13], time.hour() as u64);
    put_digits(&mut target[14..16], time.minute() as u64);
    put_digits(&mut target[17..19], time.second() as u64);
}

/// A keyed bijection of the numbers below `LEFT * RIGHT`: numbers that differ stay different, and their order is lost, so
/// unique numbers need no memory of those already used.
///
/// A Feistel network over mixed radixes: each round adds to one half a function of the other half, modulo the size of that
/// half, which can be undone and so is a bijection.
struct Scramble<const LEFT: u64, const RIGHT: u64> {
    keys: [(u64, u64); 3],
}

impl<const LEFT: u64, const RIGHT: u64> Scramble<LEFT, RIGHT> {
    /// How many numbers there are.
    const SIZE: u64 = LEFT * RIGHT;

    fn new(random: &mut impl Rng) -> Self {
        Self {
            keys: std::array::from_fn(|_| (random.next_u64(), random.next_u64())),
        }
    }

    fn apply(&self, number: u64) -> u64 {
        debug_assert!(number < Self::SIZE);
        let (mut left, mut right) = (number / RIGHT, number % RIGHT);
        for (left_key, right_key) in self.keys {
            left = (left + mix(right ^ left_key) % LEFT) % LEFT;
            right = (right + mix(left ^ right_key) % RIGHT) % RIGHT;
        }
        left * RIGHT + right
    }
}

/// The finishing steps of SplitMix64 (Steele, Lea and Flood 2014): each bit of the result depends on every bit given.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-01-31T12:34:56+00:00";

    fn generate(rows: u64, accounts: u64, seed: u64, now: &str) -> String {
        let generator =
            Generator::new(rows, accounts, seed, now.parse().unwrap()).expect("valid arguments");
        let mut out = Vec::new();
        let bytes = generator.write_to(&mut out, |_| ()).unwrap();
        assert_eq!(bytes, out.len() as u64);
        String::from_utf8(out).unwrap()
    }

    fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
        text.lines().skip(1).map(|line| line.split(',').collect())
    }

    fn assert_number(text: &str, digits: usize) {
        assert_eq!(text.len(), digits, "{text}");
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
        assert!(!text.starts_with('0'), "{text}");
    }

    fn second(text: &str) -> i64 {
        assert_eq!(text.len(), NOW.len(), "{text}");
        assert!(text.ends_with("+00:00"), "{text}");
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn a_seed_keeps_its_file() {
        insta::assert_snapshot!(generate(6, 3, 42, NOW), @"
        account,offer_id,catalog_id,account_type_code,offer_type_id,created,expire,risk
        43899237,106584574091,633680713291900629,SY,26122276,2025-07-05T12:08:18+00:00,2025-09-11T23:55:11+00:00,medium
        30949780,980746590759,239102500836240878,II,72971918,2026-01-02T21:45:01+00:00,2026-01-23T16:08:52+00:00,low
        43899237,585065017897,783485790645602004,RM,71390989,2025-05-30T10:06:22+00:00,2025-07-12T03:56:46+00:00,low
        30949780,597083676384,788857617168918964,SC,48190209,2026-01-07T13:47:51+00:00,2026-11-26T03:50:12+00:00,medium
        43899237,712177391284,840445701924908867,BC,84888655,2025-02-23T11:34:57+00:00,2025-11-11T07:29:37+00:00,medium
        43899237,243314568449,625409549530535575,ZB,30774682,2025-06-18T01:42:23+00:00,2025-11-03T05:10:08+00:00,medium
        ");
    }

    proptest! {
        #[test]
        fn every_column_is_in_its_format_and_range(
            count in 1u64..300,
            accounts in 1u64..40,
            seed: u64,
            now in 31_536_000i64..253_300_000_000,
        ) {
            let now = Timestamp::from_second(now).unwrap();
            let text = generate(count, accounts, seed, &now.to_string());
            prop_assert_eq!(text.lines().next(), Some(HEADER));
            prop_assert!(text.ends_with('\n'));
            let mut seen_accounts = HashSet::new();
            let mut seen_offers = HashSet::new();
            for row in rows(&text) {
                let [account, offer, catalog, type_code, offer_type, created, expire, risk] = row[..]
                    else { panic!("{row:?}") };
                assert_number(account, 8);
                assert_number(offer, 12);
                assert_number(catalog, 18);
                assert_number(offer_type, 8);
                prop_assert_eq!(type_code.len(), 2);
                prop_assert!(type_code.bytes().all(|letter| letter.is_ascii_uppercase()));
                let (created, expire) = (second(created), second(expire));
                prop_assert!((0..=365 * 86400).contains(&(now.as_second() - created)));
                prop_assert!((7 * 86400..=365 * 86400).contains(&(expire - created)));
                prop_assert!(["low", "medium", "high"].contains(&risk));
                seen_accounts.insert(account);
                prop_assert!(seen_offers.insert(offer), "offer {} twice", offer);
            }
            prop_assert_eq!(seen_offers.len() as u64, count);
            prop_assert!(seen_accounts.len() as u64 <= accounts.min(count));
            prop_assert_eq!(generate(count, accounts, seed, &now.to_string()), text);
        }

        #[test]
        fn different_row_numbers_get_different_offers(seed: u64, one in 0..MAX_ROWS, other in 0..MAX_ROWS) {
            prop_assume!(one != other);
            let offers = OfferNumbers::new(&mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert_ne!(offers.apply(one), offers.apply(other));
            prop_assert!(offers.apply(one) < 900_000_000_000);
        }

        #[test]
        fn a_scramble_reaches_every_number_once(seed: u64) {
            let scramble = Scramble::<9, 17>::new(&mut ChaCha8Rng::seed_from_u64(seed));
            let reached: HashSet<u64> = (0..9 * 17).map(|number| scramble.apply(number)).collect();
            prop_assert_eq!(reached, (0..9 * 17).collect::<HashSet<u64>>());
        }
    }

    #[test]
    fn many_rows_have_as_many_keys_and_every_account_and_value() {
        let text = generate(200_000, 20, 7, NOW);
        let keys: HashSet<(&str, &str)> = rows(&text).map(|row| (row[0], row[1])).collect();
        assert_eq!(keys.len(), 200_000);
        for (column, distinct) in [(0, 20), (1, 200_000), (3, 26 * 26), (7, 3)] {
            let values: HashSet<&str> = rows(&text).map(|row| row[column]).collect();
            assert_eq!(values.len(), distinct, "column {column}");
        }
        // The ranges are used up to their ends: 200,000 draws come within a day of them.
        let now = second(NOW);
        let age = || rows(&text).map(|row| now - second(row[5]));
        let life = || rows(&text).map(|row| second(row[6]) - second(row[5]));
        assert!(age().min().unwrap() < 86400);
        assert!(age().max().unwrap() > 364 * 86400);
        assert!(life().min().unwrap() < 8 * 86400);
        assert!(life().max().unwrap() > 364 * 86400);
    }

    #[test]
    fn the_seed_and_the_time_change_the_file_and_parts_of_a_second_do_not() {
        let text = generate(10, 3, 42, NOW);
        assert_ne!(text, generate(10, 3, 43, NOW));
        assert_ne!(text, generate(10, 3, 42, "2026-02-01T12:34:56+00:00"));
        assert_eq!(text, generate(10, 3, 42, "2026-01-31T12:34:56.789+00:00"));
    }

    #[test]
    fn a_longer_file_begins_with_the_shorter_one() {
        assert!(generate(50, 3, 42, NOW).starts_with(&generate(10, 3, 42, NOW)));
    }

    #[test]
    fn the_first_and_last_allowed_times_have_four_digit_years() {
        for now in ["1971-01-01T00:00:00Z", "9997-12-31T23:59:59Z"] {
            for row in rows(&generate(2000, 1, 1, now)) {
                assert!(second(row[5]) >= 0);
                assert!(second(row[6]) > second(row[5]));
            }
        }
    }

    #[test]
    fn arguments_out_of_range_are_refused() {
        let now: Timestamp = NOW.parse().unwrap();
        let refused =
            |rows, accounts, now| Generator::new(rows, accounts, 1, now).expect_err("refused");
        assert_eq!(refused(0, 1, now), InvalidArguments::Rows(0));
        assert_eq!(
            refused(1_000_000_001, 1, now),
            InvalidArguments::Rows(1_000_000_001)
        );
        assert_eq!(refused(1, 0, now), InvalidArguments::Accounts(0));
        assert_eq!(
            refused(1, 90_000_001, now),
            InvalidArguments::Accounts(90_000_001)
        );
        for bad in [
            "1970-12-31T23:59:59Z",
            "9998-01-01T00:00:00Z",
            "-000001-01-01T00:00:00Z",
        ] {
            let bad = bad.parse().unwrap();
            assert_eq!(refused(1, 1, bad), InvalidArguments::Now(bad));
        }
        assert!(Generator::new(MAX_ROWS, MAX_ACCOUNTS, u64::MAX, now).is_ok());
    }

    #[test]
    fn progress_grows_to_the_number_of_rows() {
        let generator = Generator::new(20_000, 1, 1, NOW.parse().unwrap()).unwrap();
        let mut reports = Vec::new();
        generator
            .write_to(&mut io::sink(), |rows| reports.push(rows))
            .unwrap();
        assert_eq!(reports, [0, 8192, 16384, 20_000]);
    }

    #[test]
    fn a_failing_writer_stops_the_file() {
        let generator = Generator::new(20_000, 1, 1, NOW.parse().unwrap()).unwrap();
        let mut room = [0; 5000];
        let error = generator
            .write_to(&mut room.as_mut_slice(), |_| ())
            .expect_err("there is no room");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
