//! `infra/template.yaml` and the code speak of the same names.

use std::collections::BTreeMap;
use std::time::Duration;

use csv_ingester::{Config, Request, decode};
use lambda_support::{Environment, EnvironmentError};
use serde_json::{Value, json};
use storage::aws::{JOB_KEY, OPEN_INDEX, OPEN_KEY, PART_KEY};
use wiring_tests::read;
use wiring_tests::template::Template;

/// Names and values.
type Variables = BTreeMap<String, String>;

/// A function of the template and the configuration that it reads.
struct Function {
    /// Its logical id.
    id: &'static str,
    /// Crate, folder of the build, and end of the name.
    package: &'static str,
    variables: &'static [&'static str],
    read: fn(&Variables) -> Result<(), EnvironmentError>,
    /// Lambda's limit for one invocation, in seconds.
    timeout: u64,
}

const FUNCTIONS: [Function; 6] = [
    Function {
        id: "ExportPollerFunction",
        package: "export-poller",
        variables: &export_poller::VARIABLES,
        read: |given| {
            export_poller::Config::read(&environment(export_poller::VARIABLES, given)).map(drop)
        },
        // Lambda's longest: a window may have a hundred thousand files to be counted.
        timeout: 900,
    },
    Function {
        id: "ExportTransformerFunction",
        package: "export-transformer",
        variables: &export_transformer::VARIABLES,
        read: |given| {
            export_transformer::Config::read(&environment(export_transformer::VARIABLES, given))
                .map(drop)
        },
        // Lambda's longest; what is not through by then goes on in another call.
        timeout: 900,
    },
    Function {
        id: "IngesterFunction",
        package: "csv-ingester",
        variables: &csv_ingester::VARIABLES,
        read: |given| {
            csv_ingester::Config::read(&environment(csv_ingester::VARIABLES, given)).map(drop)
        },
        // Lambda's longest; the ingester hands over when it is not enough.
        timeout: 900,
    },
    Function {
        id: "ReprocessorFunction",
        package: "gsi-reprocessor",
        variables: &gsi_reprocessor::VARIABLES,
        read: |given| {
            gsi_reprocessor::Config::read(&environment(gsi_reprocessor::VARIABLES, given)).map(drop)
        },
        // Lambda's longest; a run that is not through by then leaves the rest pending.
        timeout: 900,
    },
    Function {
        id: "StreamWriterFunction",
        package: "stream-writer",
        variables: &stream_writer::VARIABLES,
        read: |given| {
            stream_writer::Config::read(&environment(stream_writer::VARIABLES, given)).map(drop)
        },
        // Many times what a batch of 6 MB takes; a shard waits for no longer than that where a request hangs.
        timeout: 120,
    },
    Function {
        id: "TableScannerFunction",
        package: "table-scanner",
        variables: &table_scanner::VARIABLES,
        read: |given| {
            table_scanner::Config::read(&environment(table_scanner::VARIABLES, given)).map(drop)
        },
        // As for export-transformer.
        timeout: 900,
    },
];

/// An empty variable counts as absent, so the map may be as long as the list of names.
fn environment<const N: usize>(names: [&'static str; N], given: &Variables) -> Environment {
    Environment::from(names.map(|name| (name, given.get(name).map_or("", String::as_str))))
}

fn config(template: &Template) -> Result<Config, EnvironmentError> {
    let given = template.variables("IngesterFunction");
    Config::read(&environment(csv_ingester::VARIABLES, &given))
}

/// Variables without which a function does not start, with a value that they accept.
fn required_variables(function: &Function) -> Variables {
    let mut given = Variables::new();
    loop {
        match (function.read)(&given) {
            Ok(()) => return given,
            Err(EnvironmentError::Missing(name, _)) => {
                let old = given.insert(name.to_owned(), "x".to_owned());
                assert_eq!(old, None, "{}: {name} is set and missed", function.id);
            }
            Err(other) => panic!("{}: {other}", function.id),
        }
    }
}

/// The template with a value for every parameter that may be empty.
fn with_everything() -> Template {
    Template::of_repository()
        .with("RowMappingKey", "mappings/m.json")
        .with("StreamFilter", "{}")
        .with("VersionAttribute", "version")
        .with("EndpointUrl", "http://127.0.0.1:1")
}

#[test]
fn each_function_has_the_variables_that_its_config_reads() {
    for function in &FUNCTIONS {
        let Function {
            id,
            package,
            variables: known,
            ..
        } = function;
        let required = required_variables(function);
        assert!(!required.is_empty(), "{package}");
        for template in [Template::of_repository(), with_everything()] {
            let given = template.variables(id);
            for name in given.keys() {
                assert!(
                    known.contains(&name.as_str()),
                    "the template sets {name}, which {package} does not read"
                );
            }
            for name in required.keys() {
                assert!(
                    given.contains_key(name),
                    "the template does not set {name}, which {package} requires"
                );
            }
            assert_eq!((function.read)(&given), Ok(()), "{package}");
        }
        let given = with_everything().variables(id);
        let unset: Vec<_> = known
            .iter()
            .filter(|name| !given.contains_key(**name))
            .collect();
        assert!(
            unset.is_empty(),
            "{package} reads {unset:?}, which the template cannot set"
        );
    }
}

#[test]
fn the_config_names_what_the_template_made() {
    let template = Template::of_repository();
    let expected = Config {
        table: template.reference("TargetTable"),
        ledger_table: template.reference("LedgerTable"),
        lake_bucket: template.reference("LakeBucket"),
        failure_queue_url: template.reference("FailureQueue"),
        row_mapping_key: None,
        settle: Duration::from_secs(300),
        lease: Duration::from_secs(60),
        block_rows: 50_000,
        endpoint_url: None,
    };
    assert_eq!(config(&template), Ok(expected.clone()));

    let template = template
        .with("RowMappingKey", "mappings/m.json")
        .with("SettleSeconds", "2")
        .with("LeaseSeconds", "10")
        .with("BlockRows", "1000")
        .with("EndpointUrl", "http://127.0.0.1:1");
    let expected = Config {
        row_mapping_key: Some("mappings/m.json".to_owned()),
        settle: Duration::from_secs(2),
        lease: Duration::from_secs(10),
        block_rows: 1_000,
        endpoint_url: Some("http://127.0.0.1:1".to_owned()),
        ..expected
    };
    assert_eq!(config(&template), Ok(expected));
}

#[test]
fn defaults_and_limits_of_parameters_are_those_of_the_config() {
    let template = Template::of_repository();
    let ingester = FUNCTIONS
        .iter()
        .find(|function| function.id == "IngesterFunction");
    let required = required_variables(ingester.expect("it is in the list"));
    let defaults = Config::read(&environment(csv_ingester::VARIABLES, &required))
        .expect("the required variables are enough");
    let from_template = config(&template).expect("complete");
    assert_eq!(from_template.settle, defaults.settle);
    assert_eq!(from_template.lease, defaults.lease);
    assert_eq!(from_template.block_rows, defaults.block_rows);

    let parameters = template.section("Parameters");
    for name in ["SettleSeconds", "LeaseSeconds", "BlockRows"] {
        let limit = |which: &str| {
            parameters[name][which]
                .as_i64()
                .unwrap_or_else(|| panic!("{name} has no {which}"))
        };
        for allowed in [limit("MinValue"), limit("MaxValue")] {
            let template = template.clone().with(name, &allowed.to_string());
            assert!(config(&template).is_ok(), "{name} of {allowed} is refused");
        }
        let below = (limit("MinValue") - 1).to_string();
        assert!(
            config(&template.clone().with(name, &below)).is_err(),
            "{name} of {below} would do"
        );
    }
}

#[test]
fn each_function_is_the_binary_that_was_built() {
    let template = Template::of_repository();
    let ids: Vec<_> = FUNCTIONS.iter().map(|function| function.id).collect();
    assert_eq!(template.resources("AWS::Lambda::Function"), ids);
    let build = read("scripts/build");
    for Function {
        id,
        package,
        timeout,
        ..
    } in FUNCTIONS
    {
        let function = template.properties(id);
        assert_eq!(function["FunctionName"], format!("stack-{package}"));
        assert_eq!(function["Runtime"], "provided.al2023", "{id}");
        assert_eq!(function["Handler"], "bootstrap", "{id}");
        assert_eq!(function["Code"], format!("../target/lambda/{package}"));
        let manifest = read(format!("crates/{package}/Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"{package}\"")));
        // For this machine and for Graviton.
        let built = build.matches(&format!("--package {package}")).count();
        assert_eq!(built, 2, "scripts/build: {package}");
        assert_eq!(function["Timeout"], timeout, "{id}");

        assert_eq!(function["Architectures"], json!(["arm64"]), "{id}");
        let x86 = template.clone().with("Architecture", "x86_64");
        assert_eq!(x86.properties(id)["Architectures"], json!(["x86_64"]));
    }
    assert_eq!(
        template.section("Parameters")["Architecture"]["AllowedValues"],
        json!(["arm64", "x86_64"])
    );
}

#[test]
fn each_function_has_a_role_and_a_log_of_its_own_that_forgets() {
    let template = Template::of_repository();
    let week = template.clone().with("LogRetentionDays", "7");
    let prefixes = FUNCTIONS.map(|function| function.id.strip_suffix("Function").expect("an id"));
    for (Function { id, package, .. }, prefix) in FUNCTIONS.iter().zip(prefixes) {
        let function = template.properties(id);
        assert_eq!(function["Role"], template.arn(&format!("{prefix}Role")));
        let log = format!("{prefix}Log");
        let group = template.reference(&log);
        assert_eq!(function["LoggingConfig"]["LogGroup"], group);
        assert_eq!(group, format!("/aws/lambda/stack-{package}"));
        assert_eq!(template.properties(&log)["RetentionInDays"], "30");
        assert_eq!(week.properties(&log)["RetentionInDays"], "7");
    }
}

#[test]
fn the_inbox_and_nothing_else_notifies_the_function() {
    let template = Template::of_repository();
    let function = template.arn("IngesterFunction");
    assert_eq!(
        template.properties("InboxBucket")["NotificationConfiguration"],
        json!({"LambdaConfigurations": [{"Event": "s3:ObjectCreated:*", "Function": function}]})
    );
    for id in template.resources("AWS::S3::Bucket") {
        let notifies = template
            .properties(&id)
            .get("NotificationConfiguration")
            .is_some();
        assert_eq!(notifies, id == "InboxBucket", "{id}");
    }
    let permission = template.properties("InboxMayInvoke");
    assert_eq!(permission["FunctionName"], function);
    assert_eq!(permission["Principal"], "s3.amazonaws.com");
    assert_eq!(permission["SourceArn"], template.arn("InboxBucket"));
    // S3 tries the function's permission when the notification is set, so the permission comes first.
    assert_eq!(
        template.section("Resources")["InboxBucket"]["DependsOn"],
        "InboxMayInvoke"
    );
    assert_eq!(
        template.properties("InboxBucket")["VersioningConfiguration"]["Status"],
        "Enabled"
    );
}

#[test]
fn the_schedule_sends_a_sweep() {
    let template = Template::of_repository();
    let schedule = template.properties("Sweep");
    let target = &schedule["Target"];
    assert_eq!(target["Arn"], template.arn("IngesterFunction"));
    assert_eq!(target["RoleArn"], template.arn("SweepRole"));
    assert_eq!(
        target["DeadLetterConfig"]["Arn"],
        template.arn("FailureQueue")
    );
    let input: Value = serde_json::from_str(target["Input"].as_str().expect("a text")).unwrap();
    assert_eq!(decode(&input), Ok(Request::Sweep));
    let sample: Value = serde_json::from_str(&read("events/sweep.json")).unwrap();
    assert_eq!(input, sample);

    assert_eq!(schedule["ScheduleExpression"], "rate(5 minutes)");
    let every_minute = template.with("SweepMinutes", "1").properties("Sweep");
    assert_eq!(every_minute["ScheduleExpression"], "rate(1 minute)");
}

#[test]
fn failures_of_lambda_and_of_the_function_go_to_one_queue() {
    let template = Template::of_repository();
    let retries = template.properties("IngesterRetries");
    assert_eq!(
        retries["FunctionName"],
        template.reference("IngesterFunction")
    );
    let [queue] = &template.resources("AWS::SQS::Queue")[..] else {
        panic!("one queue was expected");
    };
    assert_eq!(
        retries["DestinationConfig"]["OnFailure"]["Destination"],
        template.arn(queue)
    );
    assert_eq!(
        config(&template).expect("complete").failure_queue_url,
        template.reference(queue)
    );
    let alarm = template.properties("FailureAlarm");
    assert_eq!(
        alarm["Dimensions"],
        json!([{"Name": "QueueName", "Value": template.reference(queue).rsplit('/').next()}])
    );
    // A retry that begins while the settle time runs only waits, so retries are worth it for hours.
    assert_eq!(retries["MaximumRetryAttempts"], 2);
}

#[test]
fn the_ledger_has_the_keys_and_the_index_that_storage_uses() {
    let ledger = Template::of_repository().properties("LedgerTable");
    let key = |name: &str, role: &str| json!({"AttributeName": name, "KeyType": role});
    assert_eq!(
        ledger["KeySchema"],
        json!([key(JOB_KEY, "HASH"), key(PART_KEY, "RANGE")])
    );
    assert_eq!(
        ledger["GlobalSecondaryIndexes"],
        json!([{
            "IndexName": OPEN_INDEX,
            "KeySchema": [key(OPEN_KEY, "HASH"), key(JOB_KEY, "RANGE")],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }])
    );
    let texts = [JOB_KEY, PART_KEY, OPEN_KEY]
        .map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
    assert_eq!(ledger["AttributeDefinitions"], json!(texts));
}

#[test]
fn the_target_table_has_the_keys_of_the_parameters() {
    let both = Template::of_repository();
    let key = |name: &str, role: &str| json!({"AttributeName": name, "KeyType": role});
    assert_eq!(
        both.properties("TargetTable")["KeySchema"],
        json!([key("account", "HASH"), key("offer_id", "RANGE")])
    );
    let single = both
        .with("PartitionKey", "id")
        .with("PartitionKeyType", "N")
        .with("SortKey", "")
        .properties("TargetTable");
    assert_eq!(single["KeySchema"], json!([key("id", "HASH")]));
    // The last one is the partition key of the index.
    assert_eq!(
        single["AttributeDefinitions"],
        json!([
            {"AttributeName": "id", "AttributeType": "N"},
            {"AttributeName": "processed", "AttributeType": "S"},
        ])
    );
}

#[test]
fn what_people_own_outlives_the_stack() {
    let template = Template::of_repository();
    for kind in ["AWS::S3::Bucket", "AWS::DynamoDB::Table"] {
        for id in template.resources(kind) {
            let resource = &template.section("Resources")[&id];
            assert_eq!(resource["DeletionPolicy"], "Retain", "{id}");
            assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{id}");
        }
    }
}
