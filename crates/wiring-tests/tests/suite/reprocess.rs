//! What is wired around gsi-reprocessor: its variables, its index, its schedule, its drain, its sample events.

use std::time::Duration;

use gsi_reprocessor::{Config, DoneBy, ItemForm, Output, Request, RequestError, check_index};
use lambda_support::{Environment, EnvironmentError};
use records::{IndexShape, KeyAttribute, KeyType, TableShape};
use serde_json::{Value, json};
use wiring_tests::read;
use wiring_tests::template::Template;

const FUNCTION: &str = "ReprocessorFunction";

fn config(template: &Template) -> Result<Config, EnvironmentError> {
    let given = template.variables(FUNCTION);
    let variables =
        gsi_reprocessor::VARIABLES.map(|name| (name, given.get(name).map_or("", String::as_str)));
    Config::read(&Environment::from(variables))
}

/// The template with four lanes.
fn with_lanes() -> Template {
    Template::of_repository()
        .with("Lanes", "4")
        .with("PendingMarker", "false#{shard}")
        .with("DoneMarker", "true#{shard}")
        .with("FailedMarker", "failed#{shard}")
}

fn event(name: &str) -> Value {
    serde_json::from_str(&read(format!("events/{name}"))).expect("the event is JSON")
}

/// A parameter's `Default`, `MinValue` or `MaxValue`.
fn limit(template: &Template, parameter: &str, which: &str) -> i64 {
    template.section("Parameters")[parameter][which]
        .as_i64()
        .unwrap_or_else(|| panic!("{parameter} has no {which}"))
}

#[test]
fn the_config_names_what_the_template_made_and_has_the_same_defaults() {
    let template = Template::of_repository();
    let names = [
        ("TABLE_NAME", template.reference("TargetTable")),
        ("INDEX_NAME", "processed-index".to_owned()),
        ("LEDGER_TABLE", template.reference("LedgerTable")),
        ("LAKE_BUCKET", template.reference("LakeBucket")),
    ];
    let names = names
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let defaults = Config::read(&Environment::from(names));
    assert!(defaults.is_ok());
    assert_eq!(config(&template), defaults);
}

#[test]
fn every_parameter_reaches_the_config() {
    let template = with_lanes()
        .with("ReprocessTable", "somebodys")
        .with("ReprocessIndex", "open-index")
        .with("MarkerAttribute", "state")
        .with("VersionAttribute", "version")
        .with("ReprocessOutput", "bundles")
        .with("ItemJson", "dynamodb")
        .with("MaxTries", "7")
        .with("ReprocessConcurrency", "8")
        .with("LeaseSeconds", "120")
        .with("ReprocessMinutes", "20")
        .with("EndpointUrl", "http://127.0.0.1:1");
    let found = config(&template).expect("complete");
    assert_eq!((&*found.table, &*found.index), ("somebodys", "open-index"));
    let markers = &found.markers;
    assert_eq!((&*markers.attribute, markers.lane_count()), ("state", 4));
    let lane = markers.lane(3).expect("there are four");
    assert_eq!(lane.pending, "false#3");
    assert_eq!(lane.done.as_deref(), Some("true#3"));
    assert_eq!(lane.failed, "failed#3");
    assert_eq!(found.version_attribute.as_deref(), Some("version"));
    assert_eq!(found.output, Output::Bundles);
    assert_eq!(found.item_json, ItemForm::DynamoDb);
    assert_eq!((found.max_tries, found.concurrency), (7, 8));
    assert_eq!(found.lease, Duration::from_secs(120));
    assert_eq!(found.period, Duration::from_secs(20 * 60));
    assert_eq!(found.endpoint_url.as_deref(), Some("http://127.0.0.1:1"));

    let removes = config(&template.with("MarkDoneBy", "remove")).expect("complete");
    assert_eq!(removes.markers.lane(0).expect("the first").done, None);
}

#[test]
fn what_a_parameter_allows_the_config_takes_and_no_more() {
    let template = with_lanes();
    let numbers = ["Lanes", "MaxTries", "ReprocessConcurrency", "LeaseSeconds"];
    for name in numbers {
        let (least, most) = (
            limit(&template, name, "MinValue"),
            limit(&template, name, "MaxValue"),
        );
        let takes = |value: i64| config(&template.clone().with(name, &value.to_string())).is_ok();
        assert!(takes(least) && takes(most), "{name}");
        assert!(!takes(least - 1), "{name} below {least} would do");
        assert!(!takes(most + 1), "{name} above {most} would do");
    }
    // A schedule more than a day apart is not refused by the function, only by the template.
    for minutes in ["1", "1440"] {
        let template = template.clone().with("ReprocessMinutes", minutes);
        assert!(config(&template).is_ok(), "{minutes}");
    }
    for name in ["MarkDoneBy", "ReprocessOutput", "ItemJson"] {
        let allowed = template.section("Parameters")[name]["AllowedValues"].clone();
        let allowed = allowed.as_array().expect("a list");
        assert_eq!(allowed.len(), 2, "{name}");
        for value in allowed.iter().filter_map(Value::as_str) {
            assert!(
                config(&template.clone().with(name, value)).is_ok(),
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn lanes_without_a_number_in_their_markers_are_refused_before_anything_is_deployed() {
    let template = Template::of_repository();
    for (template, names) in [
        (template.clone(), &[][..]),
        (with_lanes(), &[]),
        (
            template.clone().with("Lanes", "2"),
            &["PendingMarker", "FailedMarker"],
        ),
        (
            with_lanes().with("FailedMarker", "failed"),
            &["FailedMarker"],
        ),
    ] {
        let found = template.broken_rules();
        assert_eq!(found.len(), names.len(), "{found:?}");
        for (text, name) in found.iter().zip(names) {
            assert!(text.contains(name), "{text}");
        }
        assert_eq!(config(&template).is_ok(), names.is_empty());
    }
    // A rule cannot look for {shard}: what it lets through, the function refuses.
    let other = with_lanes().with("PendingMarker", "no");
    assert_eq!(other.broken_rules(), [""; 0]);
    assert!(config(&other).is_err());
}

/// The target table as the function would see it.
fn shape(template: &Template) -> TableShape {
    let table = template.properties("TargetTable");
    let kinds = table["AttributeDefinitions"].as_array().expect("a list");
    let key = |entry: &Value| {
        let name = entry["AttributeName"].as_str().expect("a name");
        let definitions: Vec<_> = kinds
            .iter()
            .filter(|kind| kind["AttributeName"] == name)
            .collect();
        let [definition] = definitions[..] else {
            panic!("{name} is defined {} times", definitions.len());
        };
        let kind = match definition["AttributeType"].as_str() {
            Some("S") => KeyType::S,
            Some("N") => KeyType::N,
            _ => KeyType::B,
        };
        KeyAttribute {
            name: name.to_owned(),
            kind,
        }
    };
    let keys = |schema: &Value, role: &str| -> Vec<KeyAttribute> {
        let entries = schema.as_array().expect("a list").iter();
        entries
            .filter(|entry| entry["KeyType"] == role)
            .map(key)
            .collect()
    };
    let indexes = table["GlobalSecondaryIndexes"].as_array();
    let shape = TableShape {
        name: template.reference("TargetTable"),
        partition: keys(&table["KeySchema"], "HASH").remove(0),
        sort: keys(&table["KeySchema"], "RANGE").pop(),
        indexes: indexes
            .into_iter()
            .flatten()
            .map(|index| IndexShape {
                name: index["IndexName"].as_str().expect("a name").to_owned(),
                partition: keys(&index["KeySchema"], "HASH"),
                sort: keys(&index["KeySchema"], "RANGE"),
            })
            .collect(),
    };
    // DynamoDB refuses a definition that no key uses.
    let used = shape.keys().count() + shape.indexes.len();
    assert_eq!(kinds.len(), used, "{kinds:?}");
    shape
}

#[test]
fn the_target_table_has_an_index_that_the_function_takes() {
    let renamed = Template::of_repository()
        .with("ReprocessIndex", "open-index")
        .with("MarkerAttribute", "state");
    let without_sort_key = Template::of_repository().with("SortKey", "");
    for template in [Template::of_repository(), renamed, without_sort_key] {
        let found = config(&template).expect("complete");
        let shape = shape(&template);
        assert_eq!(
            check_index(&shape, &found.index, &found.markers.attribute),
            Ok(())
        );
        // What the function reads from it is the table's keys, and a write of another attribute leaves it alone.
        let indexes = &template.properties("TargetTable")["GlobalSecondaryIndexes"];
        assert_eq!(indexes[0]["Projection"]["ProjectionType"], "KEYS_ONLY");
    }
}

#[test]
fn another_table_takes_the_place_of_the_target_table_which_then_has_no_index() {
    let template = Template::of_repository().with("ReprocessTable", "somebodys");
    assert_eq!(config(&template).expect("complete").table, "somebodys");
    assert_eq!(shape(&template).indexes, []);
    // The parameter takes names as DynamoDB does, and no ARN.
    assert_eq!(
        template.section("Parameters")["ReprocessTable"]["AllowedPattern"],
        "^([a-zA-Z0-9_.-]{3,255})?$"
    );
}

#[test]
fn the_schedule_runs_all_lanes_and_gives_up_before_its_next_run() {
    let template = with_lanes();
    let schedule = template.properties("ReprocessSchedule");
    let target = &schedule["Target"];
    assert_eq!(target["Arn"], template.arn(FUNCTION));
    assert_eq!(target["RoleArn"], template.arn("ReprocessScheduleRole"));
    let queue = template.arn("FailureQueue");
    assert_eq!(target["DeadLetterConfig"]["Arn"], queue);
    let input: Value = serde_json::from_str(target["Input"].as_str().expect("a text")).unwrap();
    assert_eq!(input, event("reprocess-schedule.json"));

    assert_eq!(schedule["FlexibleTimeWindow"], json!({"Mode": "OFF"}));
    assert_eq!(schedule["State"], "ENABLED");
    assert_eq!(schedule["ScheduleExpression"], "rate(30 minutes)");
    let other = template
        .clone()
        .with("ReprocessMinutes", "1")
        .with("ReprocessState", "DISABLED")
        .properties("ReprocessSchedule");
    assert_eq!(other["ScheduleExpression"], "rate(1 minute)");
    assert_eq!(other["State"], "DISABLED");

    // Lambda and the scheduler take no less than a minute, which is the shortest period.
    let age = |which| limit(&template, "ReprocessEventAgeSeconds", which);
    assert!(age("Default") < 60 * limit(&template, "ReprocessMinutes", "Default"));
    assert_eq!(
        age("MinValue"),
        60 * limit(&template, "ReprocessMinutes", "MinValue")
    );
    let template = template.with("ReprocessEventAgeSeconds", "61");
    let schedule = template.properties("ReprocessSchedule");
    assert_eq!(
        schedule["Target"]["RetryPolicy"],
        json!({"MaximumEventAgeInSeconds": "61", "MaximumRetryAttempts": 2})
    );
    let retries = template.properties("ReprocessorRetries");
    assert_eq!(retries["FunctionName"], template.reference(FUNCTION));
    assert_eq!(retries["MaximumEventAgeInSeconds"], "61");
    assert_eq!(retries["MaximumRetryAttempts"], 2);
    assert_eq!(
        retries["DestinationConfig"]["OnFailure"]["Destination"],
        queue
    );
}

#[test]
fn the_drain_has_the_lanes_of_the_function_and_ends_before_its_history_does() {
    let template = with_lanes();
    let machine = template.properties("DrainMachine");
    let given = &machine["DefinitionSubstitutions"];
    assert_eq!(given["ReprocessorFunctionArn"], template.arn(FUNCTION));
    assert_eq!(given["Lanes"], template.variables(FUNCTION)["LANES"]);
    assert_eq!(given["SweepSeconds"], "60");
    assert_eq!(given["DrainConcurrency"], "50");
    // 25,000 events end an execution, and a run makes ten at most: the task five, the choice after it two, a wait two.
    let runs = given["RunsPerChild"].as_u64().expect("a number");
    assert!((1..=2_400).contains(&runs), "{runs}");
    // An account may run 1,000 invocations at a time unless it asked for more; more lanes than there are take nothing.
    let most = limit(&template, "Lanes", "MaxValue");
    assert_eq!(limit(&template, "DrainConcurrency", "MaxValue"), most);
    // None would mean any number of children.
    assert_eq!(limit(&template, "DrainConcurrency", "MinValue"), 1);
}

#[test]
fn the_machines_are_found_by_the_outputs() {
    let template = Template::of_repository();
    let outputs = template.section("Outputs");
    for (output, resource) in [
        ("ReprocessorFunction", FUNCTION),
        ("ExportMachineArn", "ExportMachine"),
        ("ScanMachineArn", "ScanMachine"),
        ("DrainMachineArn", "DrainMachine"),
        ("ImportMachineArn", "ImportMachine"),
    ] {
        assert_eq!(outputs[output]["Value"], json!({"Ref": resource}));
    }
    let arn = "arn:aws:states:us-east-1:111122223333:stateMachine:stack-drain";
    assert_eq!(template.reference("DrainMachine"), arn);
}

#[test]
fn the_samples_mean_what_the_readme_says() {
    let template = with_lanes();
    let config = config(&template).expect("complete");
    let request = |name: &str| Request::read(&event(name), &config);
    let all: Vec<_> = config.markers.lanes().collect();

    let scheduled = request("reprocess-schedule.json").expect("a request");
    assert_eq!((&scheduled.lanes, scheduled.limit), (&all, 5_000));
    assert_eq!(
        Request::read(&json!({}), &config).expect("a request"),
        scheduled
    );

    let one = request("reprocess-lane.json").expect("a request");
    assert_eq!((&one.lanes[..], one.limit), (&all[..1], 100));
    assert_eq!(one.output, Output::Objects);
    assert!(one.count_left);

    let error = request("reprocess-malformed.json").unwrap_err();
    assert!(
        matches!(&error, RequestError::Unreadable(reason) if reason.contains("`lanes`")),
        "{error}"
    );
}

#[test]
fn the_default_is_to_set_the_marker() {
    let template = Template::of_repository();
    let default = &template.section("Parameters")["MarkDoneBy"]["Default"];
    assert_eq!(
        default.as_str().map(str::parse),
        Some(Ok(DoneBy::Set)),
        "the change of this default empties indexes"
    );
}
