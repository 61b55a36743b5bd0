//! The function's configuration.

use std::time::Duration;

use lambda_support::{Environment, EnvironmentError};

use crate::markers::{DoneBy, Markers};
use crate::process::ItemForm;

/// Everything that the environment decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `TABLE_NAME`: the table whose items are reprocessed.
    pub table: String,
    /// `INDEX_NAME`: the global secondary index that finds the pending ones.
    pub index: String,
    /// `LEDGER_TABLE`: the table that holds the lanes' leases.
    pub ledger_table: String,
    /// `LAKE_BUCKET`: where results and items set aside go.
    pub lake_bucket: String,
    /// `MARKER_ATTRIBUTE` (processed), `PENDING_MARKER` (false), `DONE_MARKER` (true), `FAILED_MARKER` (failed),
    /// `MARK_DONE_BY` (set) and `LANES` (1): how items say what became of them.
    pub markers: Markers,
    /// `VERSION_ATTRIBUTE`: an attribute that every change of an item changes, where there is one.
    pub version_attribute: Option<String>,
    /// `OUTPUT` (objects): one object an item, or bundles.
    pub output: Output,
    /// `ITEM_JSON` (plain): the form in which the default process writes items.
    pub item_json: ItemForm,
    /// `MAX_TRIES` (3): tries after which an item is set aside.
    pub max_tries: u32,
    /// `CONCURRENCY` (32): calls under way at the same time.
    pub concurrency: usize,
    /// `LEASE_SECONDS` (60): how long a worker owns a lane without renewing.
    pub lease: Duration,
    /// `SCHEDULE_MINUTES` (30): how often the schedule calls; only for the time that is left.
    pub period: Duration,
    /// `AWS_ENDPOINT_URL`: another endpoint than AWS's, for tests.
    pub endpoint_url: Option<String>,
}

/// How results are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// One object an item.
    Objects,
    /// One compressed object of JSON Lines for many items.
    Bundles,
}

impl std::str::FromStr for Output {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "objects" => Ok(Self::Objects),
            "bundles" => Ok(Self::Bundles),
            _ => Err(()),
        }
    }
}

/// Names of the variables that [`Config::read`] reads, for the check of the template.
pub const VARIABLES: [&str; 18] = [
    "TABLE_NAME",
    "INDEX_NAME",
    "LEDGER_TABLE",
    "LAKE_BUCKET",
    "MARKER_ATTRIBUTE",
    "PENDING_MARKER",
    "DONE_MARKER",
    "FAILED_MARKER",
    "MARK_DONE_BY",
    "LANES",
    "VERSION_ATTRIBUTE",
    "OUTPUT",
    "ITEM_JSON",
    "MAX_TRIES",
    "CONCURRENCY",
    "LEASE_SECONDS",
    "SCHEDULE_MINUTES",
    "AWS_ENDPOINT_URL",
];

impl Config {
    /// Reads and checks every variable; the error names the one that is wrong.
    pub fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        let markers = read_markers(environment)?;
        let version_attribute = environment.optional("VERSION_ATTRIBUTE");
        if version_attribute.as_deref() == Some(&markers.attribute) {
            return Err(EnvironmentError::Malformed(
                "VERSION_ATTRIBUTE",
                markers.attribute,
                "another attribute than the marker",
            ));
        }
        Ok(Self {
            table: environment
                .required("TABLE_NAME", "the name of the table with the pending items")?,
            index: environment
                .required("INDEX_NAME", "the name of the index of the pending items")?,
            ledger_table: environment.required("LEDGER_TABLE", "the name of the ledger's table")?,
            lake_bucket: environment.required("LAKE_BUCKET", "the name of the lake bucket")?,
            markers,
            version_attribute,
            output: environment.parsed("OUTPUT", Output::Objects, "objects or bundles")?,
            item_json: environment.parsed("ITEM_JSON", ItemForm::Plain, "plain or dynamodb")?,
            max_tries: environment.in_range("MAX_TRIES", 3, 1..=100, "1 to 100 tries")?,
            concurrency: environment.in_range("CONCURRENCY", 32, 1..=256, "1 to 256 calls")?
                as usize,
            lease: Duration::from_secs(environment.in_range(
                "LEASE_SECONDS",
                60,
                10..=900,
                "10 to 900 seconds",
            )?),
            period: Duration::from_secs(
                60 * environment.in_range(
                    "SCHEDULE_MINUTES",
                    30,
                    1..=525_600,
                    "1 to 525600 minutes",
                )?,
            ),
            endpoint_url: environment.optional("AWS_ENDPOINT_URL"),
        })
    }
}

fn read_markers(environment: &Environment) -> Result<Markers, EnvironmentError> {
    let text = |name: &'static str, default: &str| {
        environment
            .optional(name)
            .unwrap_or_else(|| default.to_owned())
    };
    let done_by = environment.parsed("MARK_DONE_BY", DoneBy::Set, "set or remove")?;
    let lanes = environment.in_range("LANES", 1, 1..=1_000, "1 to 1000 lanes")?;
    Markers::new(
        &text("MARKER_ATTRIBUTE", "processed"),
        &text("PENDING_MARKER", "false"),
        &text("DONE_MARKER", "true"),
        &text("FAILED_MARKER", "failed"),
        done_by,
        lanes,
    )
    .map_err(|fault| EnvironmentError::Malformed(fault.variable, fault.value, fault.expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [(&str, &str); 4] = [
        ("TABLE_NAME", "offers"),
        ("INDEX_NAME", "pending"),
        ("LEDGER_TABLE", "ledger"),
        ("LAKE_BUCKET", "lake"),
    ];

    fn read(name: &str, value: &str) -> Result<Config, EnvironmentError> {
        let [a, b, c, d] = NEEDED;
        Config::read(&Environment::from([a, b, c, d, (name, value)]))
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let config = read("", "").unwrap();
        let lanes: Vec<_> = config.markers.lanes().collect();
        assert_eq!(lanes.len(), 1);
        assert_eq!(lanes[0].pending, "false");
        assert_eq!(lanes[0].done.as_deref(), Some("true"));
        assert_eq!(lanes[0].failed, "failed");
        assert_eq!(config.output, Output::Objects);
        assert_eq!((config.max_tries, config.concurrency), (3, 32));
        assert_eq!(config.lease, Duration::from_secs(60));
        assert_eq!(config.period, Duration::from_secs(1_800));
    }

    #[test]
    fn a_wrong_value_is_named() {
        let message = |name, value| read(name, value).unwrap_err().to_string();
        assert_eq!(
            message("OUTPUT", "files"),
            "the environment variable OUTPUT is \"files\": expected objects or bundles"
        );
        assert_eq!(
            message("LANES", "2"),
            "the environment variable PENDING_MARKER is \"false\": expected a text with {shard} in it, since there are several lanes"
        );
        assert_eq!(
            message("DONE_MARKER", "false"),
            "the environment variable DONE_MARKER is \"false\": expected another text than the pending marker's"
        );
        for (name, value) in [
            ("LANES", "0"),
            ("MAX_TRIES", "0"),
            ("CONCURRENCY", "many"),
            ("LEASE_SECONDS", "9"),
            ("SCHEDULE_MINUTES", "0"),
            ("MARK_DONE_BY", "delete"),
            ("ITEM_JSON", "xml"),
            ("VERSION_ATTRIBUTE", "processed"),
            ("PENDING_MARKER", "{value}"),
            ("FAILED_MARKER", "true"),
        ] {
            assert!(message(name, value).contains(name), "{name}");
        }
        let missing = Config::read(&Environment::from([("TABLE_NAME", "offers")])).unwrap_err();
        assert!(missing.to_string().contains("INDEX_NAME"), "{missing}");
    }
}
