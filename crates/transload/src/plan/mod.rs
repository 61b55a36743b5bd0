//! Which way rows had better go into a table: what each way takes in time and money, and what it does to duplicates and to rows
//! that are no items. All figures are whole numbers, rounded up.

mod prices;
#[cfg(test)]
mod tests;
mod ways;

use serde::Serialize;

use crate::preflight::{Effect, Format, Kind, Preflight};
use crate::wording::counted;

pub use prices::{Assumption, Assumptions, MicroDollars, Price, PriceList, Prices, PricesError};
pub use ways::{Cost, PARTITION_UNITS_PER_SECOND};

/// A cheaper way is taken where it saves at least this much, even if it takes longer.
const WORTH_WAITING: MicroDollars = MicroDollars(1_000_000);

/// A way into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WayName {
    /// `csv-ingester`, or `transload ingest`: BatchWriteItem.
    Ingest,
    /// `transload import`: ImportTable.
    Import,
    /// StartBulkPutItems, which no command of this program calls.
    BulkPut,
}

impl std::fmt::Display for WayName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingest => "ingest",
            Self::Import => "import",
            Self::BulkPut => "bulk put",
        })
    }
}

/// What a way takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Way {
    /// Which.
    pub name: WayName,
    /// Why it cannot be taken; nothing if it can.
    pub impossible: Option<String>,
    /// How long it takes about; nothing if that is not known.
    pub seconds: Option<u64>,
    /// What decides that.
    pub time_is: String,
    /// What it costs about; nothing if that is not known.
    pub cost: Option<MicroDollars>,
    /// What that is made of.
    pub costs: Vec<Cost>,
    /// What becomes of rows with a key that another row has.
    pub duplicates: String,
    /// What becomes of rows that are no items.
    pub bad_rows: String,
}

/// A partition that takes longer than the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HotPartition {
    /// The index; nothing for the table itself.
    pub index: Option<String>,
    /// The partition key.
    pub value: String,
    /// So many rows have it at least.
    pub rows_at_least: u64,
    /// The least seconds that its writes take at 1,000 a second.
    pub seconds: u64,
    /// Into how many it had better be cut.
    pub shards: u64,
}

/// The comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The ways: ingest, import, bulk put.
    pub ways: Vec<Way>,
    /// The one that is recommended; nothing if none can be taken.
    pub choice: Option<WayName>,
    /// Why.
    pub because: String,
    /// Partitions that hold everything up.
    pub hot_partitions: Vec<HotPartition>,
}

/// What is known of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Whether it is there.
    pub exists: bool,
    /// Whether the source still has to be uploaded.
    pub upload: bool,
}

/// Compares the ways for a source.
pub fn compare(preflight: &Preflight, target: Target, prices: &Prices) -> Plan {
    let hot_partitions = ways::hot_partitions(preflight);
    let ways = vec![
        ways::ingest(preflight, target, prices, &hot_partitions),
        ways::import(preflight, target, prices),
        ways::bulk_put(preflight, target, prices),
    ];
    let (choice, because) = choose(preflight, &ways);
    Plan {
        ways,
        choice,
        because,
        hot_partitions,
    }
}

fn choose(preflight: &Preflight, ways: &[Way]) -> (Option<WayName>, String) {
    let [ingest, import, bulk_put] = ways else {
        unreachable!("there are three ways");
    };
    let possible = |way: &Way| way.impossible.is_none();
    match (possible(ingest), possible(import), possible(bulk_put)) {
        (false, false, false) => {
            let reasons: Vec<String> = ways
                .iter()
                .filter_map(|way| Some(format!("{}: {}", way.name, way.impossible.as_ref()?)))
                .collect();
            (None, format!("no way is open ({})", reasons.join("; ")))
        }
        (false, true, _) => (
            Some(WayName::Import),
            "the source is DynamoDB JSON and the table is new".to_owned(),
        ),
        (false, false, true) => (
            Some(WayName::BulkPut),
            "the source is DynamoDB JSON and the table is there; aws dynamodb start-bulk-put-items starts it".to_owned(),
        ),
        (true, false, _) => (
            Some(WayName::Ingest),
            import.impossible.clone().unwrap_or_default(),
        ),
        (true, true, _) => between(preflight, ingest, import),
    }
}

/// Ingest or import, where both can be taken.
fn between(preflight: &Preflight, ingest: &Way, import: &Way) -> (Option<WayName>, String) {
    let found = |kind: Kind| {
        preflight
            .findings
            .iter()
            .find(|finding| finding.kind == kind)
    };
    if let Some(duplicates) = found(Kind::DuplicateKey) {
        let because = format!(
            "of rows with one key the last one wins, where an import leaves it to chance ({} too many)",
            counted(duplicates.count, "row")
        );
        return (Some(WayName::Ingest), because);
    }
    if preflight.has(Effect::Undocumented) {
        let because = "rows have line breaks between quotes, of which AWS's guides do not say what an import makes";
        return (Some(WayName::Ingest), because.to_owned());
    }
    if found(Kind::IndexWithoutColumn).is_some() {
        let because = "the source has no column for an index's key: a row mapping can add it";
        return (Some(WayName::Ingest), because.to_owned());
    }
    let seconds = |way: &Way| way.seconds.unwrap_or(u64::MAX);
    let cost = |way: &Way| way.cost.unwrap_or(MicroDollars(u64::MAX));
    let is_faster = seconds(import) <= seconds(ingest);
    let saved = MicroDollars(cost(ingest).0.saturating_sub(cost(import).0));
    if is_faster && cost(import) <= cost(ingest) {
        (
            Some(WayName::Import),
            "it is cheaper and takes no longer".to_owned(),
        )
    } else if saved >= WORTH_WAITING {
        (Some(WayName::Import), format!("it is {saved} cheaper"))
    } else if is_faster {
        let dearer = MicroDollars(cost(import).0.saturating_sub(cost(ingest).0));
        match dearer < WORTH_WAITING {
            true => (Some(WayName::Import), "it is faster".to_owned()),
            false => (Some(WayName::Ingest), format!("it is {dearer} cheaper")),
        }
    } else {
        let because = "it is faster and costs no dollar more";
        (Some(WayName::Ingest), because.to_owned())
    }
}

/// Whether the source can be read by `ingest`.
fn is_csv(preflight: &Preflight) -> bool {
    !matches!(preflight.format, Some(Format::DynamodbJson))
}
