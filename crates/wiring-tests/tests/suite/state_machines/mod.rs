//! `infra/*.asl.json` fit the template, their roles and the functions that they call, and hang together.

mod errors;
mod shape;

use std::collections::BTreeSet;
use std::path::Path;

use errors::{faults_of_errors, integration};
use serde_json::{Value, json};
use shape::{faults_of_expressions, faults_of_language, faults_of_ways};
use wiring_tests::policies::grants;
use wiring_tests::states::{is_distributed, states, substitutions};
use wiring_tests::template::Template;
use wiring_tests::{read, repository_files};

const MACHINE: &str = "AWS::StepFunctions::StateMachine";

/// A state machine of the template with its definition as Step Functions gets it.
struct Machine {
    id: String,
    /// Path of the definition from the root of the repository.
    file: String,
    text: String,
    definition: Value,
    properties: Value,
}

fn machines(template: &Template) -> Vec<Machine> {
    let ids = template.resources(MACHINE);
    assert!(!ids.is_empty());
    ids.into_iter()
        .map(|id| {
            let properties = template.properties(&id);
            let location = properties["DefinitionS3Location"].as_str();
            let file = format!(
                "infra/{}",
                location.expect("`aws cloudformation package` wants a local file")
            );
            let text = read(&file);
            let given = properties["DefinitionSubstitutions"].as_object();
            let filled = given
                .into_iter()
                .flatten()
                .fold(text.clone(), |text, (name, value)| {
                    text.replace(&format!("${{{name}}}"), &plain(value))
                });
            let definition = serde_json::from_str(&filled)
                .unwrap_or_else(|error| panic!("{file} is not JSON: {error}"));
            Machine {
                id,
                file,
                text,
                definition,
                properties,
            }
        })
        .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), str::to_owned)
}

/// Fails with every fault of a machine of the template, and where it is.
fn assert_none(faults_of: fn(&Value) -> Vec<String>) {
    for machine in machines(&Template::of_repository()) {
        let faults = faults_of(&machine.definition);
        assert!(faults.is_empty(), "{}: {faults:#?}", machine.file);
    }
}

/// What a Distributed Map does with the machine's role. (Step Functions Developer Guide, "IAM policies for using Distributed Map
/// states".)
const DISTRIBUTED_MAP: [&str; 4] = [
    "states:StartExecution",
    "states:DescribeExecution",
    "states:StopExecution",
    "states:RedriveExecution",
];

/// What a Distributed Map does to read its items from an object. (As above.)
const ITEM_READER: [&str; 1] = ["s3:GetObject"];

/// What a Distributed Map does to write what became of its children. (As above.)
const RESULT_WRITER: [&str; 4] = [
    "s3:PutObject",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
];

/// What DynamoDB does with the rights of whoever asks for an import. (DynamoDB Developer Guide, "Requesting a table import in
/// DynamoDB".)
const IMPORT: [&str; 8] = [
    "s3:GetObject",
    "s3:ListBucket",
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
    "logs:PutRetentionPolicy",
];

#[test]
fn every_definition_belongs_to_one_machine() {
    let mut files: Vec<String> = repository_files()
        .iter()
        .map(|path| path.display().to_string())
        .filter(|path| path.ends_with(".asl.json"))
        .collect();
    let mut used: Vec<String> = machines(&Template::of_repository())
        .into_iter()
        .map(|machine| machine.file)
        .collect();
    files.sort();
    used.sort();
    assert_eq!(used, files);
}

#[test]
fn every_substitution_is_given_and_every_given_one_is_used() {
    for Machine {
        file,
        text,
        properties,
        ..
    } in machines(&Template::of_repository())
    {
        let given: BTreeSet<&str> = properties["DefinitionSubstitutions"]
            .as_object()
            .into_iter()
            .flat_map(|given| given.keys().map(String::as_str))
            .collect();
        assert_eq!(
            substitutions(&text),
            given,
            "{file}; left: used, right: given"
        );
    }
}

#[test]
fn every_machine_is_jsonata_and_nothing_of_jsonpath_is_left() {
    assert_none(faults_of_language);
}

#[test]
fn every_state_is_reached_goes_on_in_one_way_and_can_end() {
    assert_none(faults_of_ways);
}

#[test]
fn every_task_is_tried_again_and_only_for_errors_that_exist() {
    assert_none(faults_of_errors);
}

#[test]
fn every_expression_is_whole_and_reads_only_what_is_there() {
    assert_none(faults_of_expressions);
}

/// The small machine that is right, and that the next test breaks.
fn sample() -> Value {
    json!({
        "QueryLanguage": "JSONata",
        "StartAt": "Lanes",
        "States": {
            "Lanes": {
                "Type": "Map",
                "Items": "{% [0..3] %}",
                "Assign": {"outside": 1},
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "Run",
                    "States": {
                        "Run": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::lambda:invoke",
                            "Arguments": {"FunctionName": "f", "Payload": "{% $states.input %}"},
                            "Assign": {"taken": "{% $states.result.Payload.taken %}"},
                            "Retry": [{
                                "ErrorEquals": ["Transient", "Lambda.ServiceException"],
                                "IntervalSeconds": 1,
                                "BackoffRate": 2,
                                "MaxAttempts": 3,
                                "MaxDelaySeconds": 30,
                                "JitterStrategy": "FULL",
                            }],
                            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Broken"}],
                            "Next": "More",
                        },
                        "More": {
                            "Type": "Choice",
                            "Choices": [{"Condition": "{% $taken > 0 %}", "Next": "Run"}],
                            "Default": "Drained",
                        },
                        "Drained": {"Type": "Succeed"},
                        "Broken": {"Type": "Fail"},
                    },
                },
                "End": true,
            },
        },
    })
}

#[test]
fn each_fault_of_a_machine_is_seen() {
    let faults = |machine: &Value| -> Vec<String> {
        [
            faults_of_language,
            faults_of_ways,
            faults_of_errors,
            faults_of_expressions,
        ]
        .iter()
        .flat_map(|faults_of| faults_of(machine))
        .collect()
    };
    assert_eq!(faults(&sample()), Vec::<String>::new());

    let inner = "/States/Lanes/ItemProcessor/States";
    let retry = format!("{inner}/Run/Retry/0");
    let at = |rest: &str| format!("{inner}{rest}");
    let broken = [
        (
            "/QueryLanguage".to_owned(),
            json!("JSONPath"),
            "not in JSONata",
        ),
        (
            at("/Run/Arguments"),
            json!({"FunctionName.$": "$.f"}),
            "has FunctionName.$",
        ),
        (at("/Run/Next"), json!("Mroe"), "there is no state Mroe"),
        (
            at("/Run/Next"),
            Value::Null,
            "Run does not go on in one way",
        ),
        (
            at("/More/Default"),
            json!("Run"),
            "nothing leads to Drained",
        ),
        (
            at("/Drained"),
            json!({"Type": "Wait", "Seconds": 1, "Next": "Drained"}),
            "nothing ends after Drained",
        ),
        (
            at("/More/Type"),
            json!("Choise"),
            "has a type that there is not",
        ),
        (at("/Run/Retry"), json!([]), "a task without Retry"),
        (
            format!("{retry}/ErrorEquals/1"),
            json!("Lambda.Error"),
            "there is no error Lambda.Error",
        ),
        (
            format!("{retry}/ErrorEquals/1"),
            json!("DynamoDb.SdkClientException"),
            "there is no error DynamoDb",
        ),
        (
            format!("{retry}/ErrorEquals/0"),
            json!("States.Timeout"),
            "Transient is retried: false",
        ),
        (
            format!("{retry}/ErrorEquals/1"),
            json!("Invalid"),
            "Invalid is retried: true",
        ),
        (
            format!("{retry}/ErrorEquals/1"),
            json!("States.TaskFailed"),
            "States.TaskFailed is retried",
        ),
        (
            format!("{retry}/ErrorEquals/1"),
            json!("Transient"),
            "Transient is named twice",
        ),
        (
            format!("{retry}/MaxDelaySeconds"),
            json!(1),
            "expected MaxAttempts",
        ),
        (
            at("/Run/Catch/0/ErrorEquals"),
            json!(["States.ALL", "Invalid"]),
            "not alone and last",
        ),
        (
            at("/Run/Catch/0/ErrorEquals"),
            json!(["Drain.Failed"]),
            "there is no error Drain.Failed",
        ),
        (
            at("/More/Choices/0/Condition"),
            json!("{% $tkaen > 0 %}"),
            "nothing assigns $tkaen",
        ),
        // Variables of the parent cannot be seen in a Distributed Map.
        (
            at("/More/Choices/0/Condition"),
            json!("{% $outside > 0 %}"),
            "nothing assigns $outside",
        ),
        (
            at("/More/Choices/0/Condition"),
            json!("{% $taken > 0"),
            "an expression in part",
        ),
    ];
    for (place, value, expected) in broken {
        let mut machine = sample();
        let target = machine.pointer_mut(&place);
        *target.unwrap_or_else(|| panic!("there is no {place}")) = value;
        let found = faults(&machine);
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{place}: expected {expected}, found {found:#?}"
        );
    }
}

#[test]
fn every_role_allows_what_its_machine_does_and_no_more() {
    let template = Template::of_repository();
    for machine in machines(&template) {
        let states = states(&machine.definition);
        let mut used: BTreeSet<String> = states
            .iter()
            .filter_map(integration)
            .map(|task| task.action.to_owned())
            .collect();
        if states.iter().any(|state| is_distributed(state.definition)) {
            used.extend(DISTRIBUTED_MAP.map(str::to_owned));
        }
        let has = |member| {
            states
                .iter()
                .any(|state| state.definition.get(member).is_some())
        };
        if has("ItemReader") {
            used.extend(ITEM_READER.map(str::to_owned));
        }
        if has("ResultWriter") {
            used.extend(RESULT_WRITER.map(str::to_owned));
        }
        if used.contains("dynamodb:ImportTable") {
            used.extend(IMPORT.map(str::to_owned));
        }
        let roles = template.resources("AWS::IAM::Role");
        let role = roles
            .iter()
            .find(|role| machine.properties["RoleArn"] == template.arn(role))
            .unwrap_or_else(|| panic!("{} has no role", machine.id));
        let grants = grants(&template.properties(role));
        let allowed: BTreeSet<String> = grants.iter().map(|grant| grant.action.clone()).collect();
        assert_eq!(
            used, allowed,
            "left: {} does, right: {role} allows",
            machine.file
        );
        for state in &states {
            if integration(state).is_some_and(|task| task.calls_a_function) {
                let function = &state.definition["Arguments"]["FunctionName"];
                assert!(
                    grants.iter().any(|grant| {
                        grant.action == "lambda:InvokeFunction" && *function == grant.resource
                    }),
                    "{}: {role} may not invoke {function}",
                    state.place
                );
            }
        }
        // The role names the machine by its name, before there is a machine.
        for grant in grants {
            let machine = template.arn(&machine.id);
            let executions = machine.replace(":stateMachine:", ":execution:");
            assert!(
                !grant.action.starts_with("states:")
                    || grant.resource == machine
                    || grant.resource == format!("{executions}:*")
                    || grant.resource == format!("{executions}/*"),
                "{grant:?}"
            );
        }
    }
}

#[test]
fn the_children_of_a_distributed_map_are_labelled_and_may_last() {
    let mut distributed = 0;
    for machine in machines(&Template::of_repository()) {
        for state in states(&machine.definition) {
            if !is_distributed(state.definition) {
                continue;
            }
            distributed += 1;
            let place = format!("{}: {}", machine.file, state.place);
            // An EXPRESS child ends after five minutes, and one call of a function may take fifteen.
            let config = &state.definition["ItemProcessor"]["ProcessorConfig"];
            assert_eq!(config["ExecutionType"], "STANDARD", "{place}");
            // Without a label, Step Functions makes one up, and executions are found by it.
            assert!(state.definition["Label"].is_string(), "{place}");
            assert!(state.definition.get("ItemSelector").is_some(), "{place}");
        }
    }
    assert!(distributed > 0);
}

#[test]
fn every_definition_fits_and_lies_beside_the_template() {
    for machine in machines(&Template::of_repository()) {
        // Step Functions takes 1 MiB.
        assert!(machine.text.len() < 1 << 20, "{}", machine.file);
        assert_eq!(Path::new(&machine.file).parent(), Some(Path::new("infra")));
    }
}
