//! The change log in `infra/template.yaml`: the stream, the mapping that reads it, its alarm, and the tables that show it.

use lambda_support::{Environment, EnvironmentError};
use records::changes::{COMPLETIONS, Codec, SnapshotSource, hour_folder, log_folder};
use serde_json::{Value, json};
use stream_writer::Config;
use wiring_tests::template::Template;

/// A day in seconds: what a stream remembers (DynamoDB Developer Guide, "Change data capture for DynamoDB Streams").
const STREAM_SECONDS: u64 = 24 * 60 * 60;

fn template() -> Template {
    Template::of_repository()
}

fn number(value: &Value) -> u64 {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse()
        .unwrap_or_else(|_| panic!("a whole number was expected: {value}"))
}

fn limits(parameter: &str) -> (u64, u64) {
    let parameter = template().section("Parameters")[parameter].clone();
    (
        number(&parameter["MinValue"]),
        number(&parameter["MaxValue"]),
    )
}

fn config(template: &Template) -> Result<Config, EnvironmentError> {
    let function = template.properties("StreamWriterFunction");
    let given = &function["Environment"]["Variables"];
    let value = |name| (name, given[name].as_str().unwrap_or_default());
    Config::read(&Environment::from(stream_writer::VARIABLES.map(value)))
}

#[test]
fn the_config_names_what_the_template_made_and_knows_every_codec() {
    let expected = Config {
        table: template().reference("TargetTable"),
        lake_bucket: template().reference("LakeBucket"),
        codec: Codec::Gzip,
        endpoint_url: None,
    };
    assert_eq!(config(&template()), Ok(expected));
    let allowed = template().section("Parameters")["ChangesCodec"]["AllowedValues"].clone();
    let allowed = allowed.as_array().expect("a list").iter();
    let allowed: Vec<Codec> = allowed
        .map(|name| template().with("ChangesCodec", name.as_str().expect("a text")))
        .map(|template| config(&template).expect("a codec").codec)
        .collect();
    assert_eq!(allowed, [Codec::Gzip, Codec::Zstd]);
}

#[test]
fn the_mapping_reads_the_whole_stream_of_the_target_table_with_both_images() {
    let template = template();
    assert_eq!(
        template.properties("TargetTable")["StreamSpecification"],
        json!({"StreamViewType": "NEW_AND_OLD_IMAGES"})
    );
    assert_eq!(
        template.resources("AWS::Lambda::EventSourceMapping"),
        ["ChangeStream"]
    );
    let mapping = template.properties("ChangeStream");
    assert_eq!(
        mapping["EventSourceArn"],
        template.attribute("TargetTable", "StreamArn")
    );
    assert_eq!(
        mapping["FunctionName"],
        template.reference("StreamWriterFunction")
    );
    // LATEST would miss what happens between the table's creation and the mapping's.
    assert_eq!(mapping["StartingPosition"], "TRIM_HORIZON");
    assert_eq!(mapping.get("Enabled"), None);
}

#[test]
fn what_fails_is_narrowed_down_and_kept_before_the_stream_forgets_it() {
    let template = template();
    let mapping = template.properties("ChangeStream");
    assert_eq!(
        mapping["FunctionResponseTypes"],
        json!(["ReportBatchItemFailures"])
    );
    assert_eq!(mapping["BisectBatchOnFunctionError"], true);
    // An outage ends; a number of retries would be used up in minutes and set healthy batches aside.
    assert_eq!(mapping["MaximumRetryAttempts"], -1);
    let given_up = number(&mapping["MaximumRecordAgeInSeconds"]);
    assert_eq!(given_up, 20 * 60 * 60);
    assert!(given_up < STREAM_SECONDS);
    // In a bucket alone the records themselves are kept; a queue or topic gets their numbers.
    assert_eq!(
        mapping["DestinationConfig"],
        json!({"OnFailure": {"Destination": template.arn("LakeBucket")}})
    );
}

#[test]
fn the_parameters_of_the_mapping_go_as_far_as_lambda_lets_them() {
    // Lambda API, "CreateEventSourceMapping".
    let properties = [
        ("BatchSize", "StreamBatchSize", "10000", (1, 10_000)),
        (
            "MaximumBatchingWindowInSeconds",
            "StreamWindowSeconds",
            "60",
            // It may be 0, but a batch of more than 10 records wants one.
            (1, 300),
        ),
        (
            "ParallelizationFactor",
            "StreamParallelization",
            "1",
            (1, 10),
        ),
    ];
    for (property, parameter, default, range) in properties {
        assert_eq!(template().properties("ChangeStream")[property], default);
        assert_eq!(limits(parameter), range, "{parameter}");
        let other = template().with(parameter, "7").properties("ChangeStream");
        assert_eq!(other[property], "7", "{parameter}");
    }
    assert_eq!(
        template().properties("ChangeStream").get("FilterCriteria"),
        None
    );
    let pattern = r#"{"eventName": ["INSERT"]}"#;
    let filtered = template().with("StreamFilter", pattern);
    assert_eq!(
        filtered.properties("ChangeStream")["FilterCriteria"],
        json!({"Filters": [{"Pattern": pattern}]})
    );
}

#[test]
fn the_alarm_goes_off_hours_before_a_change_is_set_aside() {
    let template = template();
    let alarm = template.properties("ChangeStreamAlarm");
    let function = template.reference("StreamWriterFunction");
    let expected = json!({
        "Namespace": "AWS/Lambda",
        "MetricName": "IteratorAge",
        "Dimensions": [{"Name": "FunctionName", "Value": function}],
        "Statistic": "Maximum",
        "ComparisonOperator": "GreaterThanThreshold",
        // No invocation, no value: nothing has changed.
        "TreatMissingData": "notBreaching",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&alarm[name], value, "{name}");
    }
    // The metric's unit (Lambda Developer Guide, "Performance metrics").
    assert_eq!(number(&alarm["Threshold"]), 4 * 60 * 60 * 1_000);
    let later = template.clone().with("StreamAlarmAgeSeconds", "600");
    assert_eq!(
        number(&later.properties("ChangeStreamAlarm")["Threshold"]),
        600_000
    );

    let mapping = template.properties("ChangeStream");
    let (least, most) = limits("StreamAlarmAgeSeconds");
    assert!(most <= number(&mapping["MaximumRecordAgeInSeconds"]));
    // A record may wait for as long as the window without anything being wrong.
    assert!(least > limits("StreamWindowSeconds").1);
}

#[test]
fn the_database_has_a_name_that_sql_can_write() {
    let name = template().reference("LogDatabase");
    assert_eq!(name, "stack");
    let input =
        template().section("Resources")["LogDatabase"]["Properties"]["DatabaseInput"]["Name"]
            .clone();
    assert_eq!(
        input,
        json!({"Fn::Join": ["_", {"Fn::Split": ["-", {"Ref": "AWS::StackName"}]}]})
    );
    let log = template().properties("ChangeLogTable");
    assert_eq!(
        (&log["DatabaseName"], &log["TableInput"]["Name"]),
        (&json!(name), &json!("change_log"))
    );
}

#[test]
fn a_line_of_the_log_is_one_column_as_it_stands() {
    let storage =
        template().properties("ChangeLogTable")["TableInput"]["StorageDescriptor"].clone();
    assert_eq!(
        storage["Columns"],
        json!([{"Name": "line", "Type": "string"}])
    );
    assert_eq!(
        storage["InputFormat"],
        "org.apache.hadoop.mapred.TextInputFormat"
    );
    // Any other SerDe, separator or escape would change or cut the line. `1` is the byte.
    assert_eq!(
        storage["SerdeInfo"],
        json!({
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"serialization.format": "1"},
        })
    );
}

#[test]
fn the_computed_folders_are_those_that_the_log_is_written_to() {
    let template = template().with("ChangesSince", "2025-06-30");
    let table = template.reference("TargetTable");
    let lake = format!("s3://{}/", template.reference("LakeBucket"));
    let input = template.properties("ChangeLogTable")["TableInput"].clone();
    assert_eq!(
        input["StorageDescriptor"]["Location"],
        format!("{lake}{}", log_folder(&table))
    );
    let parameters = &input["Parameters"];
    let projected = |name: &str| {
        parameters[format!("projection.{name}")]
            .as_str()
            .expect("a text")
    };
    assert_eq!(parameters["projection.enabled"], "true");
    assert_eq!(
        (
            projected("source.type"),
            projected("dt.type"),
            projected("hour.type")
        ),
        ("enum", "date", "integer")
    );
    let sources: Vec<&str> = projected("source.values").split(',').collect();
    assert_eq!(
        sources,
        [
            "stream",
            SnapshotSource::Export.name(),
            SnapshotSource::Scan.name(),
            COMPLETIONS
        ]
    );
    assert_eq!(
        (
            projected("dt.format"),
            projected("dt.range"),
            projected("dt.interval"),
            projected("dt.interval.unit")
        ),
        ("yyyy-MM-dd", "2025-06-30,NOW", "1", "DAYS")
    );
    assert_eq!(
        (projected("hour.range"), projected("hour.digits")),
        ("0,23", "2")
    );

    let folder = parameters["storage.location.template"]
        .as_str()
        .expect("a text");
    // 2026-01-09T07:00:00Z
    for (source, written) in sources
        .iter()
        .map(|source| (source, hour_folder(&table, source, 1_767_942_000)))
    {
        let read = folder
            .replace("${source}", source)
            .replace("${dt}", "2026-01-09")
            .replace("${hour}", "07");
        assert_eq!(read, format!("{lake}{written}"));
    }
    let keys = json!([{"Name": "source", "Type": "string"}, {"Name": "dt", "Type": "string"}, {"Name": "hour", "Type": "int"}]);
    assert_eq!(input["PartitionKeys"], keys);
}

/// The SQL of `docs/SEMANTICS.md` under this name.
fn documented_sql(name: &str) -> String {
    let document = wiring_tests::read("docs/SEMANTICS.md");
    let begin = format!("<!-- sql: {name} -->\n```sql\n");
    let (_, rest) = document
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/SEMANTICS.md has no block {name}"));
    let (sql, _) = rest.split_once("```").expect("a block has an end");
    sql.to_owned()
}

#[test]
fn the_saved_queries_make_the_views_of_the_document() {
    for (resource, name) in [
        ("ChangesQuery", "changes"),
        ("CompletionsQuery", "completions"),
        ("TableStateQuery", "table_state"),
    ] {
        let query = template().properties(resource);
        assert_eq!(query["QueryString"], json!(documented_sql(name)), "{name}");
        assert_eq!(query["Database"], template().reference("LogDatabase"));
    }
}
