//! What each way takes.

use serde::Serialize;

use super::{HotPartition, MicroDollars, Price, Prices, Target, Way, WayName, is_csv};
use crate::preflight::{Effect, Kind, Preflight};

/// Write units a second that a new table or index in on-demand mode takes (Developer Guide, "DynamoDB on-demand capacity
/// mode", initial throughput).
const FIRST_UNITS_PER_SECOND: u64 = 4_000;
/// After so many seconds at that rate it takes twice as many (ibid.: up to double the previous peak within 30 minutes).
const DOUBLING_SECONDS: u64 = 1_800;
/// Write units a second of a table unless the quota is raised (Developer Guide, "Service, account, and table quotas").
const QUOTA_UNITS_PER_SECOND: u64 = 40_000;
/// Write units a second that one partition of a table or an index takes (Developer Guide, "Best practices for designing and
/// using partition keys effectively").
pub const PARTITION_UNITS_PER_SECOND: u64 = 1_000;
/// Rows of a block of `csv-ingester` (its variable BLOCK_ROWS), whose backup and rejects are an object each.
const BLOCK_ROWS: u64 = 50_000;
/// Bytes that `csv-ingester` sends to S3 at a time.
const PART_BYTES: u64 = 5 * 1024 * 1024;
/// Bytes of a part of an upload by the command line.
const UPLOAD_PART_BYTES: u64 = 8 * 1024 * 1024;
/// Seconds that one invocation works: 15 minutes less what it keeps to leave in order.
const INVOCATION_SECONDS: u64 = 885;
/// Seconds between two renewals of a lease, each a write into the ledger.
const LEASE_SECONDS: u64 = 20;
/// The bytes of a GB, as AWS bills them.
const GB: u64 = 1 << 30;
/// Seconds between two looks of the state machine at an import, and the states of one look.
const LOOK_SECONDS: u64 = 30;
const STATES_OF_A_LOOK: u64 = 3;
/// States before and after the looks.
const OTHER_STATES: u64 = 20;

/// A part of a cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// What for.
    pub what: &'static str,
    /// How many.
    pub units: u64,
    /// The amount.
    pub cost: MicroDollars,
}

fn cost(what: &'static str, units: u64, price: &Price) -> Cost {
    Cost {
        what,
        units,
        cost: price.of(units),
    }
}

fn total(costs: &[Cost]) -> MicroDollars {
    costs.iter().map(|part| part.cost).sum()
}

/// Requests that put the source into a bucket.
fn uploads(preflight: &Preflight, target: Target) -> u64 {
    match target.upload {
        false => 0,
        true if preflight.stored_bytes <= UPLOAD_PART_BYTES => 1,
        // One to begin and one to complete.
        true => preflight.stored_bytes.div_ceil(UPLOAD_PART_BYTES) + 2,
    }
}

/// Seconds in which a new table or index takes so many units if they are spread over its partitions.
pub(super) fn seconds_of_units(units: u64) -> u64 {
    let (mut left, mut rate, mut seconds) = (units, FIRST_UNITS_PER_SECOND, 0);
    while rate < QUOTA_UNITS_PER_SECOND && left > rate * DOUBLING_SECONDS {
        left -= rate * DOUBLING_SECONDS;
        seconds += DOUBLING_SECONDS;
        rate = (2 * rate).min(QUOTA_UNITS_PER_SECOND);
    }
    seconds + left.div_ceil(rate)
}

/// The partitions that take longer than all that is spread.
pub(super) fn hot_partitions(preflight: &Preflight) -> Vec<HotPartition> {
    let spread = spread_seconds(preflight).max(1);
    let table = preflight.hottest.as_ref().map(|hottest| {
        let rows = preflight.good_rows();
        (None, hottest, preflight.table_units, rows)
    });
    let indexes = preflight.indexes.iter().filter_map(|index| {
        let hottest = index.hottest.as_ref()?;
        Some((
            Some(index.name.clone()),
            hottest,
            index.units,
            index.entries,
        ))
    });
    table
        .into_iter()
        .chain(indexes)
        .filter_map(|(index, hottest, units, rows)| {
            // The items of one partition are taken to be as large as the others.
            let units = u128::from(hottest.rows_at_least) * u128::from(units);
            let units = u64::try_from(units.div_ceil(u128::from(rows.max(1)))).unwrap_or(u64::MAX);
            let seconds = units.div_ceil(PARTITION_UNITS_PER_SECOND);
            (seconds > spread).then(|| HotPartition {
                index,
                value: hottest.value.clone(),
                rows_at_least: hottest.rows_at_least,
                seconds,
                shards: seconds.div_ceil(spread).next_power_of_two(),
            })
        })
        .collect()
}

/// Seconds of the writes if none goes to a hot partition.
fn spread_seconds(preflight: &Preflight) -> u64 {
    let indexes = preflight.indexes.iter().map(|index| index.units);
    let units = indexes.fold(preflight.table_units, u64::max);
    seconds_of_units(units)
}

/// `csv-ingester`: BatchWriteItem.
pub(super) fn ingest(
    preflight: &Preflight,
    target: Target,
    prices: &Prices,
    hot: &[HotPartition],
) -> Way {
    let rate = prices.assumptions.ingest_rows_per_second.value;
    let by_function = preflight.rows.div_ceil(rate);
    let by_table = spread_seconds(preflight);
    let by_partition = hot.iter().map(|hot| hot.seconds).max().unwrap_or(0);
    let seconds = by_function.max(by_table).max(by_partition);
    let time_is = if seconds == by_partition {
        "one partition takes 1,000 write units a second".to_owned()
    } else if seconds == by_table {
        "a new table takes 4,000 write units a second, twice as many each 30 minutes, up to 40,000"
            .to_owned()
    } else {
        format!("assumed: one function writes {rate} rows a second")
    };
    let blocks = preflight.rows.div_ceil(BLOCK_ROWS);
    let invocations = seconds.div_ceil(INVOCATION_SECONDS).max(preflight.objects);
    let ledger = 2 * blocks + seconds / LEASE_SECONDS + 4 * preflight.objects;
    let memory = prices.assumptions.ingest_memory_mb.value;
    let list = &prices.prices;
    let puts = uploads(preflight, target)
        + 2 * blocks
        + (2 * preflight.uncompressed_bytes).div_ceil(PART_BYTES);
    let costs = vec![
        cost(
            "write units of the table",
            preflight.table_units,
            &list.write_request_unit,
        ),
        cost(
            "write units of the indexes",
            preflight.total_units() - preflight.table_units,
            &list.write_request_unit,
        ),
        cost(
            "write units of the ledger",
            ledger,
            &list.write_request_unit,
        ),
        Cost {
            what: "seconds of the function",
            units: seconds,
            cost: list
                .lambda_gb_second
                .of_parts(seconds.saturating_mul(memory), 1_024),
        },
        cost("invocations", invocations, &list.lambda_request),
        cost("writes to S3", puts, &list.s3_write),
        cost("reads from S3", invocations, &list.s3_read),
    ];
    Way {
        name: WayName::Ingest,
        impossible: if is_csv(preflight) {
            nothing(preflight)
        } else {
            Some("it reads CSV, and the source is DynamoDB JSON".to_owned())
        },
        seconds: Some(seconds),
        time_is,
        cost: Some(total(&costs)),
        costs,
        duplicates: "the last row of a key wins".to_owned(),
        bad_rows: "set aside with line and reason; the others are loaded".to_owned(),
    }
}

/// `transload import`: ImportTable.
pub(super) fn import(preflight: &Preflight, target: Target, prices: &Prices) -> Way {
    let figures = &prices.assumptions;
    let start = figures.import_start_seconds.value;
    let by_bytes = preflight
        .uncompressed_bytes
        .div_ceil(figures.import_bytes_per_second.value);
    let by_rows = preflight
        .rows
        .div_ceil(figures.import_rows_per_second.value);
    let seconds = start + by_bytes.max(by_rows);
    let list = &prices.prices;
    let states = OTHER_STATES + STATES_OF_A_LOOK * seconds.div_ceil(LOOK_SECONDS);
    let costs = vec![
        Cost {
            what: "uncompressed bytes of the source; indexes are free",
            units: preflight.uncompressed_bytes,
            cost: list.import_gb.of_parts(preflight.uncompressed_bytes, GB),
        },
        cost("state transitions", states, &list.state_transition),
        cost("writes to S3", uploads(preflight, target), &list.s3_write),
    ];
    Way {
        name: WayName::Import,
        impossible: import_is_impossible(preflight, target),
        seconds: Some(seconds),
        time_is: format!(
            "assumed, as AWS states no figure: {start} s, and {} rows or {} bytes a second",
            figures.import_rows_per_second.value, figures.import_bytes_per_second.value
        ),
        cost: Some(total(&costs)),
        costs,
        duplicates: "one row of a key stays, at random and without a word".to_owned(),
        bad_rows: "one of them makes the import FAILED; a partial table stays and is paid for"
            .to_owned(),
    }
}

fn import_is_impossible(preflight: &Preflight, target: Target) -> Option<String> {
    if target.exists {
        return Some("an import makes new tables only, and the table is there".to_owned());
    }
    let mut findings = preflight.findings.iter();
    let Some(first) = findings.find(|finding| finding.effect == Effect::Fails) else {
        return nothing(preflight);
    };
    Some(format!(
        "an import would fail: {}",
        first.kind.said(first.count)
    ))
}

/// What keeps any way from being taken.
fn nothing(preflight: &Preflight) -> Option<String> {
    (preflight.good_rows() == 0).then(|| "there is no row that could be an item".to_owned())
}

/// StartBulkPutItems.
pub(super) fn bulk_put(preflight: &Preflight, target: Target, prices: &Prices) -> Way {
    let impossible = if is_csv(preflight) {
        Some("it takes DynamoDB JSON and Ion, and the source is CSV")
    } else if !target.exists {
        Some("it writes into a table that is there")
    } else {
        let unreadable = [
            Kind::MixedFormats,
            Kind::MixedCompression,
            Kind::BrokenCompression,
        ];
        let found = |finding: &crate::preflight::Finding| unreadable.contains(&finding.kind);
        preflight
            .findings
            .iter()
            .any(found)
            .then_some("the objects are not all of one kind and whole")
    };
    let costs: Vec<Cost> = prices
        .prices
        .bulk_put_gb
        .iter()
        .map(|price| Cost {
            what: "uncompressed bytes of the source",
            units: preflight.uncompressed_bytes,
            cost: price.of_parts(preflight.uncompressed_bytes, GB),
        })
        .collect();
    Way {
        name: WayName::BulkPut,
        impossible: impossible.map(str::to_owned),
        seconds: None,
        time_is: "not known: AWS states no figure".to_owned(),
        cost: (!costs.is_empty()).then(|| total(&costs)),
        costs,
        duplicates: "not known: the guides that were read do not say which row stays".to_owned(),
        bad_rows: "reported in a bucket; the others are written".to_owned(),
    }
}
