//! Prices and assumptions, all of one dated file.

use serde::{Deserialize, Serialize};

/// What comes with the program.
const BUILT_IN: &str = include_str!("prices.json");

/// An amount of money in millionths of a dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroDollars(pub u64);

impl std::ops::Add for MicroDollars {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for MicroDollars {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), std::ops::Add::add)
    }
}

impl std::fmt::Display for MicroDollars {
    /// As dollars with two digits behind the point, rounded up; four below ten cents.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (digits, unit) = match self.0 {
            0..100_000 => (4, 100),
            _ => (2, 10_000),
        };
        let (units, in_a_dollar) = (self.0.div_ceil(unit), 1_000_000 / unit);
        let (whole, part) = (units / in_a_dollar, units % in_a_dollar);
        write!(f, "${whole}.{part:0digits$}")
    }
}

/// What so many units cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In millionths of a dollar.
    pub micro_dollars: u64,
    /// For so many units.
    pub per: u64,
    /// What a unit is.
    pub unit: String,
    /// Who says so.
    pub source: String,
}

impl Price {
    /// What `units` cost, rounded up to a whole millionth of a dollar.
    pub fn of(&self, units: u64) -> MicroDollars {
        self.of_parts(units, 1)
    }

    /// What `parts` cost, of which `in_a_unit` are one unit.
    pub fn of_parts(&self, parts: u64, in_a_unit: u64) -> MicroDollars {
        let cost = u128::from(parts) * u128::from(self.micro_dollars);
        let per = u128::from(self.per) * u128::from(in_a_unit);
        MicroDollars(u64::try_from(cost.div_ceil(per)).unwrap_or(u64::MAX))
    }
}

/// All prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each says in the file what its unit is")]
pub struct PriceList {
    pub write_request_unit: Price,
    pub import_gb: Price,
    pub bulk_put_gb: Option<Price>,
    pub lambda_gb_second: Price,
    pub lambda_request: Price,
    pub s3_write: Price,
    pub s3_read: Price,
    pub state_transition: Price,
}

/// A figure that no price list has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumption {
    /// The figure, at least 1.
    pub value: u64,
    /// What it counts.
    pub unit: String,
    /// Who says so.
    pub source: String,
}

/// All assumptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each says in the file what its unit is")]
pub struct Assumptions {
    pub ingest_rows_per_second: Assumption,
    pub ingest_memory_mb: Assumption,
    pub import_start_seconds: Assumption,
    pub import_bytes_per_second: Assumption,
    pub import_rows_per_second: Assumption,
}

/// A file of prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When they were looked up, as `2026-11-20`.
    pub date: String,
    /// Where they hold.
    pub region: String,
    /// The prices.
    pub prices: PriceList,
    /// The assumptions.
    pub assumptions: Assumptions,
}

/// Why a file of prices cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It is written otherwise.
    #[error(
        "expected JSON with date, region, prices and assumptions, as crates/transload/src/plan/prices.json has them"
    )]
    Json(#[from] serde_json::Error),
    /// A division by nothing.
    #[error("a `per` or a `value` is 0: expected at least 1")]
    Zero,
}

impl Prices {
    /// Those of the program.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the file is tested")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let read: Self = serde_json::from_str(text)?;
        let PriceList {
            write_request_unit,
            import_gb,
            bulk_put_gb,
            lambda_gb_second,
            lambda_request,
            s3_write,
            s3_read,
            state_transition,
        } = &read.prices;
        let prices = [
            write_request_unit,
            import_gb,
            lambda_gb_second,
            lambda_request,
            s3_write,
            s3_read,
            state_transition,
        ];
        let Assumptions {
            ingest_rows_per_second,
            ingest_memory_mb,
            import_start_seconds,
            import_bytes_per_second,
            import_rows_per_second,
        } = &read.assumptions;
        let figures = [
            ingest_rows_per_second,
            ingest_memory_mb,
            import_start_seconds,
            import_bytes_per_second,
            import_rows_per_second,
        ];
        let has_zero = prices
            .into_iter()
            .chain(bulk_put_gb)
            .any(|price| price.per == 0)
            || figures.into_iter().any(|figure| figure.value == 0);
        match has_zero {
            true => Err(PricesError::Zero),
            false => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_readable_and_each_line_has_a_source() {
        let prices = Prices::built_in();
        assert_eq!(prices.date.len(), "2026-11-20".len());
        assert_eq!(BUILT_IN.matches("\"source\": \"\"").count(), 0);
        assert_eq!(BUILT_IN.matches("\"source\": ").count(), 12);
        let zero = BUILT_IN.replacen("\"per\": 1000,", "\"per\": 0,", 1);
        assert!(matches!(Prices::parse(&zero), Err(PricesError::Zero)));
        let more = BUILT_IN.replacen("\"date\"", "\"day\"", 1);
        assert!(matches!(Prices::parse(&more), Err(PricesError::Json(_))));
    }

    #[test]
    fn money_is_rounded_up_and_never_a_fraction() {
        let prices = Prices::built_in().prices;
        // $0.625 a million: one unit is 0.625 millionths.
        assert_eq!(prices.write_request_unit.of(1), MicroDollars(1));
        assert_eq!(
            prices.write_request_unit.of(25_000_000),
            MicroDollars(15_625_000)
        );
        // $0.0000133334 for a GB-second, half a GB for 900 s.
        assert_eq!(
            prices.lambda_gb_second.of_parts(900 * 512, 1_024),
            MicroDollars(6_001)
        );
        assert_eq!(
            prices.import_gb.of_parts(1 << 29, 1 << 30),
            MicroDollars(75_000)
        );
        assert_eq!(prices.import_gb.of(u64::MAX), MicroDollars(u64::MAX));
        let texts = [0, 1, 99_999, 100_000, 100_001, 15_625_000, 1_999_990_001]
            .map(|micro| MicroDollars(micro).to_string());
        assert_eq!(
            texts,
            [
                "$0.0000", "$0.0001", "$0.1000", "$0.10", "$0.11", "$15.63", "$2000.00"
            ]
        );
    }
}
