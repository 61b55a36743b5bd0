//! The result as it is printed.

use indicatif::HumanCount;
use serde_json::json;

use crate::plan::{HotPartition, PARTITION_UNITS_PER_SECOND, Plan, Prices, Way};
use crate::preflight::{Address, Preflight};
use crate::wording::duration;

pub(super) struct Outcome<'a> {
    pub(super) source: &'a Address,
    pub(super) preflight: &'a Preflight,
    pub(super) plan: &'a Plan,
    pub(super) prices: &'a Prices,
}

impl Outcome<'_> {
    pub(super) fn json(&self) -> String {
        json!({
            "command": "plan",
            "source": self.source.to_string(),
            "preflight": self.preflight,
            "plan": self.plan,
            "prices": {"date": self.prices.date, "region": self.prices.region},
            "assumptions": self.prices.assumptions,
        })
        .to_string()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n", self.source, self.preflight.text());
        text.push_str(&format!(
            "  {:<10}{:>14}{:>12}\n",
            "way", "time, about", "cost, about"
        ));
        for way in &self.plan.ways {
            text.push_str(&way_line(way));
        }
        text.push_str(&format!(
            "prices of {}, {}; nothing has been run\n",
            self.prices.date, self.prices.region
        ));
        for way in &self.plan.ways {
            text.push_str(&format!(
                "\n{}\n  time: {}\n  rows with one key: {}\n  rows that are no items: {}\n",
                way.name, way.time_is, way.duplicates, way.bad_rows
            ));
        }
        for hot in &self.plan.hot_partitions {
            text.push_str(&format!("\n{}\n", hot_text(hot)));
        }
        text.push_str(&match self.plan.choice {
            Some(way) => format!("\ntake {way}: {}", self.plan.because),
            None => format!("\n{}", self.plan.because),
        });
        text
    }
}

fn way_line(way: &Way) -> String {
    let time = way.seconds.map_or("not known".to_owned(), duration);
    let cost = way
        .cost
        .map_or("not known".to_owned(), |cost| cost.to_string());
    match &way.impossible {
        Some(reason) => format!("  {:<10}cannot be taken: {reason}\n", way.name.to_string()),
        None => format!("  {:<10}{time:>14}{cost:>12}\n", way.name.to_string()),
    }
}

/// What to do about a partition that holds everything up.
pub(in crate::commands) fn hot_text(hot: &HotPartition) -> String {
    let of = match &hot.index {
        Some(index) => format!("the index {index}"),
        None => "the table".to_owned(),
    };
    let remedy = match &hot.index {
        Some(_) => format!(
            "; {} shards take about {}, such as by the row mapping's \"shards\" (an import needs them in the file)",
            hot.shards,
            duration(hot.seconds.div_ceil(hot.shards))
        ),
        None => String::new(),
    };
    format!(
        "warning: {} rows have the partition key {:?} in {of}: one partition takes {PARTITION_UNITS_PER_SECOND} write units a second, so an ingest of them takes {} at the least, and so does each later change of all of them{remedy}",
        HumanCount(hot.rows_at_least),
        hot.value,
        duration(hot.seconds),
    )
}
