//! What is wired around exports and scans: variables, schedules, state machines, folders, sample events.

use std::time::Duration;

use export_jobs::names::{file_part, scan_job, table_object};
use export_jobs::{Format, Settings};
use lambda_support::{Environment, EnvironmentError};
use records::changes::Codec;
use serde_json::{Value, json};
use storage::ExportView;
use wiring_tests::read;
use wiring_tests::template::Template;

const POLLER: &str = "ExportPollerFunction";
const SCANNER: &str = "TableScannerFunction";

fn poller(template: &Template) -> Result<export_poller::Config, EnvironmentError> {
    export_poller::Config::read(&environment(template, POLLER, export_poller::VARIABLES))
}

fn scanner(template: &Template) -> Result<table_scanner::Config, EnvironmentError> {
    table_scanner::Config::read(&environment(template, SCANNER, table_scanner::VARIABLES))
}

fn environment<const N: usize>(
    template: &Template,
    function: &str,
    names: [&'static str; N],
) -> Environment {
    let given = template.variables(function);
    Environment::from(names.map(|name| (name, given.get(name).map_or("", String::as_str))))
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
fn the_configs_name_what_the_template_made_and_have_the_same_defaults() {
    let template = Template::of_repository();
    let names = [
        ("TABLE_NAME", template.reference("TargetTable")),
        ("LEDGER_TABLE", template.reference("LedgerTable")),
        ("LAKE_BUCKET", template.reference("LakeBucket")),
    ];
    let given = || {
        let names = names
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        Environment::from(names)
    };
    let defaults = export_poller::Config::read(&given()).expect("these are enough");
    assert_eq!(poller(&template), Ok(defaults));
    let defaults = table_scanner::Config::read(&given()).expect("these are enough");
    assert_eq!(scanner(&template), Ok(defaults));
}

#[test]
fn every_parameter_reaches_the_configs() {
    let template = Template::of_repository()
        .with("ExportTable", "somebodys")
        .with("ExportLagSeconds", "300")
        .with("IncrementalWindowSeconds", "60")
        .with("IncrementalMinWindowSeconds", "60")
        .with("ExportView", "NEW_IMAGE")
        .with("ExportFormat", "parquet")
        .with("ExportCodec", "zstd")
        .with("ExportSplitMb", "2")
        .with("ScanSegments", "3")
        .with("ScanReadUnits", "500")
        .with("ScanSplitMb", "4")
        .with("EndpointUrl", "http://127.0.0.1:1");
    let found = poller(&template).expect("complete");
    assert_eq!((&*found.table, &*found.prefix), ("somebodys", "exports"));
    assert_eq!(found.lag, Duration::from_secs(300));
    assert_eq!(found.window, Duration::from_secs(60));
    assert_eq!(found.view, ExportView::NewImage);
    assert_eq!((found.format, found.codec), (Format::Parquet, Codec::Zstd));
    assert_eq!(found.split_bytes, 2 << 20);
    assert_eq!(found.endpoint_url.as_deref(), Some("http://127.0.0.1:1"));

    let found = scanner(&template).expect("complete");
    assert_eq!(found.table, "somebodys");
    assert_eq!((found.segments, found.read_units), (3, 500));
    assert_eq!((found.format, found.codec), (Format::Parquet, Codec::Zstd));
    assert_eq!(found.split_bytes, 4 << 20);
    assert_eq!(found.endpoint_url.as_deref(), Some("http://127.0.0.1:1"));
}

#[test]
fn what_a_parameter_allows_the_configs_take() {
    let template = Template::of_repository().with("IncrementalMinWindowSeconds", "1");
    let takes = |name: &str, value: &str| {
        let template = template.clone().with(name, value);
        poller(&template).is_ok() && scanner(&template).is_ok()
    };
    for name in [
        "ExportLagSeconds",
        "IncrementalWindowSeconds",
        "ExportSplitMb",
        "ScanSegments",
        "ScanReadUnits",
        "ScanSplitMb",
    ] {
        for which in ["MinValue", "MaxValue"] {
            let value = limit(&template, name, which);
            assert!(takes(name, &value.to_string()), "{name} of {value}");
        }
        let below = limit(&template, name, "MinValue") - 1;
        assert!(!takes(name, &below.to_string()), "{name} of {below}");
    }
    for name in ["ExportView", "ExportFormat", "ExportCodec"] {
        let allowed = template.section("Parameters")[name]["AllowedValues"].clone();
        for value in allowed.as_array().expect("a list") {
            let value = value.as_str().expect("a text");
            assert!(takes(name, value), "{name}: {value}");
        }
        assert!(!takes(name, "none"), "{name}");
    }
    // What DynamoDB takes, unless whoever deploys says otherwise.
    let template = Template::of_repository();
    assert_eq!(
        limit(&template, "IncrementalMinWindowSeconds", "Default"),
        900
    );
    assert!(poller(&template.with("IncrementalWindowSeconds", "899")).is_err());
}

#[test]
fn the_table_that_is_exported_can_be_recovered() {
    let template = Template::of_repository();
    let recovery = &template.properties("TargetTable")["PointInTimeRecoverySpecification"];
    assert_eq!(*recovery, json!({"PointInTimeRecoveryEnabled": true}));
    assert_eq!(
        template.section("Parameters")["ExportTable"]["AllowedPattern"],
        "^([a-zA-Z0-9_.-]{3,255})?$"
    );
}

/// What a schedule sends, and to whom.
fn target(template: &Template, schedule: &str) -> (Value, Value) {
    let properties = template.properties(schedule);
    let target = &properties["Target"];
    assert_eq!(target["Arn"], template.arn("ExportMachine"), "{schedule}");
    assert_eq!(target["RoleArn"], template.arn("ExportScheduleRole"));
    assert_eq!(
        target["DeadLetterConfig"]["Arn"],
        template.arn("FailureQueue")
    );
    let input = target["Input"].as_str().expect("a text");
    (
        properties.clone(),
        serde_json::from_str(input).expect("JSON"),
    )
}

/// The order that the machine makes of its input when it begins.
fn begun(mut input: Value) -> export_poller::BeginRequest {
    input["action"] = json!("begin");
    match export_poller::Request::read(&input) {
        Ok(export_poller::Request::Begin(request)) => request,
        other => panic!("{input}: {other:?}"),
    }
}

#[test]
fn the_schedules_start_exports_that_the_function_takes() {
    let template = Template::of_repository();
    let (schedule, input) = target(&template, "ExportSchedule");
    assert_eq!(schedule["ScheduleExpression"], "cron(0 4 ? * SAT *)");
    assert_eq!(schedule["State"], "ENABLED");
    // The scheduler fills the time in (EventBridge Scheduler User Guide, "Adding context attributes").
    assert_eq!(input["window"], "<aws.scheduler.scheduled-time>");
    let mut sent = input;
    sent["window"] = json!("2026-01-03T04:00:00Z");
    let request = begun(sent);
    assert_eq!(request.export_type, export_poller::ExportType::Full);
    assert_eq!(
        export_jobs::full_window(&request.window.expect("it has one")),
        Ok("full-20260103T040000Z".to_owned())
    );

    let (schedule, input) = target(&template, "IncrementalSchedule");
    assert_eq!(schedule["ScheduleExpression"], "rate(60 minutes)");
    assert_eq!(schedule["State"], "DISABLED");
    let request = begun(input);
    assert_eq!(request.export_type, export_poller::ExportType::Incremental);
    assert_eq!(request.window, None);
    // Given up before the next one is due.
    let age = schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"].as_i64();
    let period = 60 * limit(&template, "IncrementalMinutes", "MinValue");
    assert!(age.is_some_and(|age| age <= period), "{age:?}");

    let other = template
        .with("ExportScheduleExpression", "rate(7 days)")
        .with("ExportScheduleState", "DISABLED")
        .with("IncrementalMinutes", "15")
        .with("IncrementalState", "ENABLED");
    let full = other.properties("ExportSchedule");
    assert_eq!(full["ScheduleExpression"], "rate(7 days)");
    assert_eq!(full["State"], "DISABLED");
    let incremental = other.properties("IncrementalSchedule");
    assert_eq!(incremental["ScheduleExpression"], "rate(15 minutes)");
    assert_eq!(incremental["State"], "ENABLED");
}

#[test]
fn the_machines_call_the_functions_and_end_before_their_history_does() {
    let template = Template::of_repository();
    let given = template.properties("ExportMachine")["DefinitionSubstitutions"].clone();
    assert_eq!(given["PollerFunctionArn"], template.arn(POLLER));
    let transformer = template.arn("ExportTransformerFunction");
    assert_eq!(given["TransformerFunctionArn"], transformer);
    assert_eq!(
        (
            &given["PollSeconds"],
            &given["Concurrency"],
            &given["ToleratedFailurePercentage"]
        ),
        (&json!("30"), &json!("50"), &json!("100"))
    );
    let number = |name: &str| given[name].as_i64().unwrap_or_else(|| panic!("{name}"));
    // 25,000 events end an execution. A call makes nine at most: the task five, the choice after it two, a wait two. The files
    // of a window are a Map of four, twice where a schema is inferred. A call may be tried again twenty times, which counts.
    let events = 9 * (number("CallsPerExecution") + 21) + 8 * number("WindowsPerExecution");
    assert!(events < 24_000, "{events}");
    assert!(9 * number("CallsPerFile") < 24_000);
    // A week is what an unfinished upload of a file has.
    let days = number("CallsPerFile") * 15 * 60 / 86_400;
    let rules = template.properties("LakeBucket")["LifecycleConfiguration"]["Rules"].clone();
    let kept = &rules[0]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"];
    assert!(
        kept.as_i64().is_some_and(|kept| kept > 2 * (days + 1)),
        "{rules}"
    );

    let given = template.properties("ScanMachine")["DefinitionSubstitutions"].clone();
    assert_eq!(given["ScannerFunctionArn"], template.arn(SCANNER));
    let calls = given["CallsPerSegment"].as_i64().expect("a number");
    assert!(9 * calls < 24_000, "{calls}");
    // Names and numbers of a thousand children, whose output is `{}`, are far below 256 KiB.
    let segments = limit(&template, "ScanSegments", "MaxValue");
    assert_eq!(segments, i64::from(table_scanner::MAX_SEGMENTS));
    // None would mean any number of children.
    assert_eq!(limit(&template, "ExportConcurrency", "MinValue"), 1);
}

#[test]
fn results_of_children_lie_where_they_expire_and_where_no_export_does() {
    let template = Template::of_repository();
    let rules = template.properties("LakeBucket")["LifecycleConfiguration"]["Rules"].clone();
    let expiring: Vec<&Value> = rules
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule.get("ExpirationInDays").is_some())
        .collect();
    let [rule] = expiring[..] else {
        panic!("one rule removes objects: {rules}");
    };
    assert_eq!(rule["Prefix"], "exports/results/");
    let machine: Value = serde_json::from_str(&read("infra/export.asl.json")).expect("JSON");
    let writer = &machine["States"]["Files"]["ResultWriter"]["Arguments"];
    assert_eq!(writer["Prefix"], "{% 'exports/results/' & $job %}");
    // DynamoDB puts this after the prefix (DynamoDB Developer Guide, "DynamoDB table export output format").
    let prefix = poller(&template).expect("complete").prefix;
    assert_ne!(format!("{prefix}/AWSDynamoDB/"), "exports/results/");
    assert_eq!(prefix, "exports", "roles and results name it");
}

#[test]
fn a_failed_export_is_told() {
    let template = Template::of_repository();
    let alarm = template.properties("ExportAlarm");
    let machine = template.reference("ExportMachine");
    for (name, value) in [
        ("Namespace", json!("AWS/States")),
        ("MetricName", json!("ExecutionsFailed")),
        (
            "Dimensions",
            json!([{"Name": "StateMachineArn", "Value": machine}]),
        ),
        ("Statistic", json!("Sum")),
        ("ComparisonOperator", json!("GreaterThanThreshold")),
        ("Threshold", json!(0)),
        ("TreatMissingData", json!("notBreaching")),
    ] {
        assert_eq!(alarm[name], value, "{name}");
    }
}

#[test]
fn the_folders_of_exported_lines_are_those_that_are_written() {
    let settings = Settings {
        format: Format::JsonLines,
        codec: Codec::Gzip,
        split_bytes: 1 << 20,
        shaping: None,
        schema: None,
        discriminator: None,
    };
    for (template, table) in [
        (Template::of_repository(), "stack-TargetTable"),
        (
            Template::of_repository().with("ExportTable", "somebodys"),
            "somebodys",
        ),
    ] {
        let input = template.properties("ExportedLinesTable")["TableInput"].clone();
        let lake = format!("s3://{}/", template.reference("LakeBucket"));
        let parameters = &input["Parameters"];
        let folder = parameters["storage.location.template"]
            .as_str()
            .expect("a text")
            .replace("${tl_export}", "full-20260103T040000Z")
            .replace("${tl_type}", "order");
        let window = "full-20260103T040000Z";
        let key = table_object(table, window, "order", "aaaa", 0, &settings);
        let object = format!("{lake}{key}");
        let name = object.strip_prefix(&folder);
        assert_eq!(name, Some(file_part(&key)), "{object} is not in {folder}");
        let location = input["StorageDescriptor"]["Location"].as_str();
        assert!(location.is_some_and(|location| folder.starts_with(location)));
        assert_eq!(parameters["projection.enabled"], "true");
        for column in ["tl_export", "tl_type"] {
            let kind = &parameters[format!("projection.{column}.type")];
            assert_eq!(kind, "injected", "{column}");
        }
        let keys =
            json!([{"Name": "tl_export", "Type": "string"}, {"Name": "tl_type", "Type": "string"}]);
        assert_eq!(input["PartitionKeys"], keys);
        // A line as it stands, as in the change log.
        let log = template.properties("ChangeLogTable")["TableInput"]["StorageDescriptor"].clone();
        for member in ["Columns", "InputFormat", "SerdeInfo"] {
            assert_eq!(input["StorageDescriptor"][member], log[member], "{member}");
        }
    }
    let template = Template::of_repository();
    let query = template.properties("ExportedLinesQuery");
    assert_eq!(query["Database"], template.reference("LogDatabase"));
    let text = query["QueryString"].as_str().expect("a text");
    // Athena refuses a query that does not say which folder to look at.
    for piece in ["from exported_lines", "tl_export = '", "tl_type = 'item'"] {
        assert!(text.contains(piece), "{piece}");
    }
}

#[test]
fn the_samples_for_export_poller_mean_what_the_readme_says() {
    use export_poller::Request;
    let request = |name: &str| Request::read(&event(name));
    let Ok(Request::Begin(full)) = request("export-begin.json") else {
        panic!("a begin was expected");
    };
    assert_eq!(full.window.as_deref(), Some("2026-01-03T04:00:00Z"));
    assert_eq!(
        (full.format, full.codec.as_deref()),
        (Some(Format::Changes), Some("zstd"))
    );
    let Ok(Request::Begin(incremental)) = request("export-begin-incremental.json") else {
        panic!("a begin was expected");
    };
    assert_eq!(
        incremental.export_type,
        export_poller::ExportType::Incremental
    );
    let Ok(Request::Poll { job }) = request("export-poll.json") else {
        panic!("a poll was expected");
    };
    assert!(job.ends_with("/full-20260103T040000Z"), "{job}");
    assert!(matches!(request("export-pause.json"), Ok(Request::Pause)));
    let error = request("export-malformed.json").unwrap_err().to_string();
    assert!(error.contains("`windows`"), "{error}");
}

#[test]
fn the_samples_for_export_transformer_mean_what_the_readme_says() {
    use export_transformer::{Action, Request};
    let request = Request::read(&event("transform-file.json")).expect("a request");
    assert_eq!(request.action, Action::Transform);
    assert_eq!(request.file.item_count, 2);
    let key = &request.file.data_file_s3_key;
    assert_eq!(file_part(key), "abcdefghijklmnopqrstuvwxyz.json.gz");
    let malformed = Request::read(&event("transform-malformed.json"));
    assert!(malformed.is_err(), "{malformed:?}");
}

#[test]
fn the_samples_for_table_scanner_mean_what_the_readme_says() {
    use table_scanner::Request;
    let table = "transload-TargetTable-99AC6B13704B5";
    let request = |name: &str| Request::read(&event(name), table);
    let Ok(Request::Begin(begin)) = request("scan-begin.json") else {
        panic!("a begin was expected");
    };
    assert_eq!((begin.segments, begin.read_units), (Some(2), Some(100)));
    let scan = Request::Scan {
        job: scan_job(table, &begin.scan),
        segment: 1,
        execution: None,
    };
    assert_eq!(request("scan-segment.json").ok(), Some(scan));
    let error = request("scan-malformed.json").unwrap_err().to_string();
    assert!(error.contains("`segment`"), "{error}");
}
