//! What the state machine is asked for, and what an execution of it is called.

use records::{KeyAttribute, TableShape};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::preflight::Format;

/// Characters of the table's name that an execution's name begins with: with what follows it has less than the 80 that an
/// execution's name may have.
const NAME_CHARS: usize = 30;
/// Hexadecimal digits of the SHA-256 that names use: 128 bits.
const HASH_DIGITS: usize = 32;

/// One import: everything that decides what comes of it.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The table that is to be made, with its indexes.
    pub shape: &'a TableShape,
    /// Where the rows are.
    pub bucket: &'a str,
    /// The key or prefix of the objects.
    pub prefix: &'a str,
    /// How they are written.
    pub format: Format,
    /// `NONE`, `GZIP` or `ZSTD`.
    pub compression: &'a str,
    /// The view of the stream that the table gets, such as `NEW_AND_OLD_IMAGES`; none for no stream.
    pub stream_view: Option<&'a str>,
    /// Keys and ETags of the objects as one number.
    pub fingerprint: [u8; 32],
}

/// Which try this is: imports that ended badly are begun anew under another client token, and executions that gave up
/// watching one go on under the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) import: u32,
    pub(super) watch: u32,
}

impl Order<'_> {
    /// The input of the state machine (infra/import.asl.json) without the client token; its members are those of ImportTable.
    fn request(&self) -> Value {
        let csv = match self.format {
            Format::Csv { delimiter } => json!({"Delimiter": delimiter.to_string()}),
            Format::DynamodbJson => Value::Null,
        };
        let mut input = json!({
            "source": {"S3Bucket": self.bucket, "S3KeyPrefix": self.prefix},
            "format": match self.format {
                Format::Csv { .. } => "CSV",
                Format::DynamodbJson => "DYNAMODB_JSON",
            },
            "compression": self.compression,
            "table": table_parameters(self.shape),
            "stream_view": self.stream_view,
        });
        if !csv.is_null() {
            input["csv"] = csv;
        }
        input
    }

    /// What two imports share exactly if they are of the same content into the same table.
    fn hash(&self) -> String {
        let mut digest = Sha256::new();
        // A map of serde_json is ordered by its names.
        digest.update(self.request().to_string());
        digest.update([0]);
        digest.update(self.fingerprint);
        let digest = format!("{:x}", digest.finalize());
        digest[..HASH_DIGITS].to_owned()
    }

    /// What the execution is called: the same for the same order.
    pub(super) fn execution_name(&self, nth: Try) -> String {
        let table = &self.shape.name;
        let table = &table[..table.len().min(NAME_CHARS)];
        format!("{table}-{}-{}-{}", self.hash(), nth.import, nth.watch)
    }

    /// The input of the execution.
    pub(super) fn input(&self, nth: Try) -> String {
        let mut input = self.request();
        input["client_token"] = format!("{}-{}", self.hash(), nth.import).into();
        input.to_string()
    }
}

/// TableCreationParameters of ImportTable: on demand, indexes with keys only.
fn table_parameters(shape: &TableShape) -> Value {
    let mut attributes: Vec<&KeyAttribute> = shape.keys().collect();
    for index in &shape.indexes {
        for key in index.partition.iter().chain(&index.sort) {
            if attributes.iter().all(|known| known.name != key.name) {
                attributes.push(key);
            }
        }
    }
    let definitions: Vec<Value> = attributes
        .iter()
        .map(|key| json!({"AttributeName": key.name, "AttributeType": key.kind.to_string()}))
        .collect();
    let indexes: Vec<Value> = shape
        .indexes
        .iter()
        .map(|index| {
            json!({
                "IndexName": index.name,
                "KeySchema": key_schema(&index.partition, &index.sort),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            })
        })
        .collect();
    let mut table = json!({
        "TableName": shape.name,
        "AttributeDefinitions": definitions,
        "KeySchema": key_schema(
            std::slice::from_ref(&shape.partition),
            shape.sort.as_slice(),
        ),
        "BillingMode": "PAY_PER_REQUEST",
    });
    // An empty list of indexes is refused.
    if !indexes.is_empty() {
        table["GlobalSecondaryIndexes"] = indexes.into();
    }
    table
}

fn key_schema(partition: &[KeyAttribute], sort: &[KeyAttribute]) -> Vec<Value> {
    let element = |kind: &'static str| move |key: &KeyAttribute| json!({"AttributeName": key.name, "KeyType": kind});
    let partition = partition.iter().map(element("HASH"));
    partition.chain(sort.iter().map(element("RANGE"))).collect()
}

/// The state machine is in another region than the table would be looked for in.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state machine {machine} is in {own}, and the region is {region}: set AWS_REGION={own}, or take output ImportMachineArn of the stack in {region}"
)]
pub struct OtherRegion {
    machine: String,
    own: String,
    region: String,
}

/// A state machine by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    arn: String,
    /// `arn:aws:states:us-east-1:123456789012`
    place: String,
    name: String,
}

impl Machine {
    /// Reads an ARN.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(arn: &str) -> Result<Self, String> {
        let expected = "expected the ARN of a state machine, such as arn:aws:states:us-east-1:123456789012:stateMachine:transload-import (output ImportMachineArn of the stack)";
        let (place, name) = arn.split_once(":stateMachine:").ok_or(expected)?;
        let parts: Vec<&str> = place.split(':').collect();
        let is_place = matches!(parts.as_slice(), ["arn", partition, "states", region, account]
            if [partition, region, account].iter().all(|part| !part.is_empty()));
        if !is_place || name.is_empty() {
            return Err(expected.to_owned());
        }
        Ok(Self {
            arn: arn.to_owned(),
            place: place.to_owned(),
            // An alias or a version stands behind it.
            name: name.split(':').next().unwrap_or_default().to_owned(),
        })
    }

    /// Whether it is in this region, which the table and the bucket are looked for in.
    ///
    /// # Errors
    /// Another region than that of the machine.
    pub fn check_region(&self, region: &str) -> Result<(), OtherRegion> {
        let own = self.place.split(':').nth(3).unwrap_or_default();
        match own == region {
            true => Ok(()),
            false => Err(OtherRegion {
                machine: self.arn.clone(),
                own: own.to_owned(),
                region: region.to_owned(),
            }),
        }
    }

    /// As it was given.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    pub(super) fn execution_arn(&self, name: &str) -> String {
        format!("{}:execution:{}:{name}", self.place, self.name)
    }

    /// A table of the same account and region.
    pub(super) fn table_arn(&self, table: &str) -> String {
        let place = self.place.replacen(":states:", ":dynamodb:", 1);
        format!("{place}:table/{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{IndexSpec, KeySpec, table_shape};

    fn shape() -> TableShape {
        let key = KeySpec::parse("id,rank:N").unwrap();
        let index = IndexSpec::parse("processed-index:processed,id").unwrap();
        table_shape("ids", &key, &[index]).unwrap()
    }

    fn order(shape: &TableShape) -> Order<'_> {
        Order {
            shape,
            bucket: "lake",
            prefix: "imports/ids/ids.csv",
            format: Format::Csv { delimiter: ';' },
            compression: "GZIP",
            stream_view: Some("NEW_AND_OLD_IMAGES"),
            fingerprint: [7; 32],
        }
    }

    const FIRST: Try = Try {
        import: 1,
        watch: 1,
    };

    #[test]
    fn the_input_is_what_the_state_machine_takes() {
        let shape = shape();
        let order = order(&shape);
        let input: Value = serde_json::from_str(&order.input(FIRST)).unwrap();
        let hash = order.hash();
        assert_eq!(
            input,
            json!({
                "client_token": format!("{hash}-1"),
                "source": {"S3Bucket": "lake", "S3KeyPrefix": "imports/ids/ids.csv"},
                "format": "CSV",
                "compression": "GZIP",
                "csv": {"Delimiter": ";"},
                "stream_view": "NEW_AND_OLD_IMAGES",
                "table": {
                    "TableName": "ids",
                    "AttributeDefinitions": [
                        {"AttributeName": "id", "AttributeType": "S"},
                        {"AttributeName": "rank", "AttributeType": "N"},
                        {"AttributeName": "processed", "AttributeType": "S"},
                    ],
                    "KeySchema": [
                        {"AttributeName": "id", "KeyType": "HASH"},
                        {"AttributeName": "rank", "KeyType": "RANGE"},
                    ],
                    "BillingMode": "PAY_PER_REQUEST",
                    "GlobalSecondaryIndexes": [{
                        "IndexName": "processed-index",
                        "KeySchema": [
                            {"AttributeName": "processed", "KeyType": "HASH"},
                            {"AttributeName": "id", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }],
                },
            })
        );
        let plain = TableShape {
            indexes: Vec::new(),
            ..shape.clone()
        };
        let json_order = Order {
            shape: &plain,
            format: Format::DynamodbJson,
            stream_view: None,
            ..order
        };
        let input: Value = serde_json::from_str(&json_order.input(FIRST)).unwrap();
        assert_eq!(input["format"], "DYNAMODB_JSON");
        assert_eq!(input["stream_view"], Value::Null);
        assert!(input.get("csv").is_none());
        assert!(input["table"].get("GlobalSecondaryIndexes").is_none());
    }

    #[test]
    fn names_and_tokens_depend_on_the_order_and_the_try_alone() {
        let shape = shape();
        let one = order(&shape);
        let name = one.execution_name(FIRST);
        assert_eq!(name, order(&shape).execution_name(FIRST));
        assert_eq!(name, format!("ids-{}-1-1", one.hash()));
        let others = [
            Order {
                fingerprint: [8; 32],
                ..one
            },
            Order {
                prefix: "imports/ids/other.csv",
                ..one
            },
            Order {
                stream_view: None,
                ..one
            },
        ];
        for other in others {
            assert_ne!(other.execution_name(FIRST), name);
            assert_ne!(other.hash(), one.hash());
        }
        let again = Try {
            import: 1,
            watch: 2,
        };
        let anew = Try {
            import: 2,
            watch: 1,
        };
        assert_ne!(one.execution_name(again), name);
        assert_eq!(one.input(again), one.input(FIRST));
        assert_ne!(one.input(anew), one.input(FIRST));
        let long = TableShape {
            name: "t".repeat(255),
            ..shape.clone()
        };
        assert!(order(&long).execution_name(anew).len() <= 80);
    }

    #[test]
    fn a_machine_is_in_the_region_of_the_table() {
        let arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:stack-import";
        let machine = Machine::parse(arn).unwrap();
        assert!(machine.check_region("eu-west-1").is_ok());
        let message = machine.check_region("us-east-1").unwrap_err().to_string();
        assert_eq!(
            message,
            format!(
                "the state machine {arn} is in eu-west-1, and the region is us-east-1: set AWS_REGION=eu-west-1, or take output ImportMachineArn of the stack in us-east-1"
            )
        );
    }

    #[test]
    fn a_machine_has_an_arn() {
        let arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:stack-import";
        for qualifier in ["", ":7"] {
            let machine = Machine::parse(&format!("{arn}{qualifier}")).unwrap();
            assert_eq!(
                machine.execution_arn("x"),
                "arn:aws:states:eu-west-1:123456789012:execution:stack-import:x"
            );
            assert_eq!(
                machine.table_arn("ids"),
                "arn:aws:dynamodb:eu-west-1:123456789012:table/ids"
            );
        }
        for bad in [
            "",
            "stack-import",
            "arn:aws:states:eu-west-1:123456789012:stateMachine:",
            "arn:aws:states::123456789012:stateMachine:x",
            "arn:aws:lambda:eu-west-1:123456789012:function:x",
        ] {
            assert!(Machine::parse(bad).is_err(), "{bad}");
        }
    }
}
