//! `infra/template.yaml` and the code speak of the same names.

use std::collections::BTreeSet;
use std::time::Duration;

use csv_ingester::{Config, Request, VARIABLES, decode};
use lambda_support::{Environment, EnvironmentError};
use serde_json::{Value, json};
use storage::aws::{JOB_KEY, OPEN_INDEX, OPEN_KEY, PART_KEY};
use wiring_tests::read;
use wiring_tests::template::Template;

/// The environment that Lambda gives to the function; every value is a text.
fn variables(template: &Template) -> serde_json::Map<String, Value> {
    let function = template.properties("IngesterFunction");
    function["Environment"]["Variables"]
        .as_object()
        .expect("the function has variables")
        .clone()
}

/// An empty variable counts as absent, so the map may be as long as the list of names.
fn environment<'a>(value: impl Fn(&'static str) -> &'a str) -> Environment {
    Environment::from(VARIABLES.map(|name| (name, value(name))))
}

fn config(template: &Template) -> Result<Config, EnvironmentError> {
    let variables = variables(template);
    Config::read(&environment(|name| match variables.get(name) {
        None => "",
        Some(value) => value.as_str().expect("a variable is a text"),
    }))
}

/// A value that every variable accepts.
const PLACEHOLDER: &str = "60";

fn required_variables() -> BTreeSet<&'static str> {
    VARIABLES
        .into_iter()
        .filter(|absent| {
            let all_but_one = environment(|name| if name == *absent { "" } else { PLACEHOLDER });
            matches!(Config::read(&all_but_one), Err(EnvironmentError::Missing(name, _)) if name == *absent)
        })
        .collect()
}

#[test]
fn the_function_has_the_variables_that_its_config_reads() {
    let everything = Template::of_repository()
        .with("RowMappingKey", "mappings/m.json")
        .with("EndpointUrl", "http://127.0.0.1:1");
    for template in [Template::of_repository(), everything] {
        let given = variables(&template);
        for name in given.keys() {
            assert!(
                VARIABLES.contains(&name.as_str()),
                "the template sets {name}, which csv-ingester does not read"
            );
        }
        for name in required_variables() {
            assert!(
                given.contains_key(name),
                "the template does not set {name}, which csv-ingester requires"
            );
        }
    }
    assert!(!required_variables().is_empty());
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
    let required = required_variables();
    let defaults = Config::read(&environment(|name| {
        if required.contains(name) {
            PLACEHOLDER
        } else {
            ""
        }
    }))
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
fn the_function_is_the_binary_that_was_built() {
    let template = Template::of_repository();
    let function = template.properties("IngesterFunction");
    assert_eq!(function["Runtime"], "provided.al2023");
    assert_eq!(function["Handler"], "bootstrap");
    assert_eq!(function["Code"], "../target/lambda/csv-ingester");
    assert!(read("crates/csv-ingester/Cargo.toml").contains("name = \"csv-ingester\""));
    assert_eq!(function["Role"], template.arn("IngesterRole"));
    // Lambda's longest; the ingester hands over when it is not enough.
    assert_eq!(function["Timeout"], 900);

    assert_eq!(function["Architectures"], json!(["arm64"]));
    let x86 = template
        .clone()
        .with("Architecture", "x86_64")
        .properties("IngesterFunction");
    assert_eq!(x86["Architectures"], json!(["x86_64"]));
    assert_eq!(
        template.section("Parameters")["Architecture"]["AllowedValues"],
        json!(["arm64", "x86_64"])
    );
}

#[test]
fn the_log_has_a_group_of_its_own_that_forgets() {
    let template = Template::of_repository();
    let function = template.properties("IngesterFunction");
    let group = template.reference("IngesterLog");
    assert_eq!(function["LoggingConfig"]["LogGroup"], group);
    assert!(group.starts_with("/aws/lambda/"), "{group}");
    for id in template.resources("AWS::Logs::LogGroup") {
        let days = &template.properties(&id)["RetentionInDays"];
        assert_eq!(days, "30", "{id}");
    }
    let log = template
        .with("LogRetentionDays", "7")
        .properties("IngesterLog");
    assert_eq!(log["RetentionInDays"], "7");
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
    assert_eq!(
        single["AttributeDefinitions"],
        json!([{"AttributeName": "id", "AttributeType": "N"}])
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
