//! What tasks call, which errors that has, and whether they are retried and caught as it makes sense.

use std::collections::BTreeSet;

use lambda_support::FailureKind;
use serde_json::Value;
use wiring_tests::states::{State, states};

/// What a task calls.
pub struct Integration {
    resource: &'static str,
    /// The permission that it needs, from the Service Authorization Reference.
    pub action: &'static str,
    /// Names of errors beside those of [`STATES_ERRORS`].
    errors: &'static [&'static str],
    /// Errors of the function that it calls.
    pub calls_a_function: bool,
}

/// Errors that the Amazon States Language itself names (its specification, appendix A).
const STATES_ERRORS: &[&str] = &[
    "States.ALL",
    "States.TaskFailed",
    "States.Timeout",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ItemReaderFailed",
    "States.ExceedToleratedFailureThreshold",
    "States.ResultWriterFailed",
    "States.DataLimitExceeded",
    "States.HeartbeatTimeout",
];

/// Errors of Lambda itself, beside those of the function. (Step Functions Developer Guide, "Handling errors" and "Handle transient
/// Lambda service exceptions"; the exceptions of the Invoke API; Runtime.ExitError, Runtime.Unknown and Sandbox.Timedout are
/// the error types of a process that ended, of one that ended in a way that Lambda has no name for, and of one that was stopped
/// for its time.)
const LAMBDA_ERRORS: &[&str] = &[
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
    "Lambda.ResourceConflictException",
    "Lambda.ResourceNotFoundException",
    "Lambda.ResourceNotReadyException",
    "Lambda.EC2ThrottledException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.Unknown",
    "Sandbox.Timedout",
];

/// Errors that an SDK integration of DynamoDB may have, whatever the operation: the name of the SDK for Java's class after
/// `DynamoDb.`. (Step Functions Developer Guide, "AWS SDK service integrations".)
const DYNAMODB_ERRORS: &[&str] = &[
    "DynamoDb.DynamoDbException",
    "DynamoDb.SdkClientException",
    "DynamoDb.InternalServerErrorException",
    "DynamoDb.LimitExceededException",
    "DynamoDb.ResourceInUseException",
    "DynamoDb.ResourceNotFoundException",
    "DynamoDb.TableNotFoundException",
    "DynamoDb.ImportConflictException",
    "DynamoDb.ImportNotFoundException",
    "DynamoDb.ContinuousBackupsUnavailableException",
    "DynamoDb.ThrottlingException",
];

const fn dynamodb(resource: &'static str, action: &'static str) -> Integration {
    Integration {
        resource,
        action,
        errors: DYNAMODB_ERRORS,
        calls_a_function: false,
    }
}

const INTEGRATIONS: &[Integration] = &[
    Integration {
        resource: "arn:aws:states:::lambda:invoke",
        action: "lambda:InvokeFunction",
        errors: LAMBDA_ERRORS,
        calls_a_function: true,
    },
    dynamodb(
        "arn:aws:states:::aws-sdk:dynamodb:importTable",
        "dynamodb:ImportTable",
    ),
    dynamodb(
        "arn:aws:states:::aws-sdk:dynamodb:describeImport",
        "dynamodb:DescribeImport",
    ),
    dynamodb(
        "arn:aws:states:::aws-sdk:dynamodb:describeTable",
        "dynamodb:DescribeTable",
    ),
    dynamodb(
        "arn:aws:states:::aws-sdk:dynamodb:updateContinuousBackups",
        "dynamodb:UpdateContinuousBackups",
    ),
    dynamodb(
        "arn:aws:states:::aws-sdk:dynamodb:updateTable",
        "dynamodb:UpdateTable",
    ),
];

/// What a task calls; nothing for other states.
///
/// # Panics
/// If the table does not have it.
pub fn integration(state: &State<'_>) -> Option<&'static Integration> {
    let resource = &state.definition["Resource"];
    (state.definition["Type"] == "Task").then(|| {
        INTEGRATIONS
            .iter()
            .find(|known| resource == known.resource)
            .unwrap_or_else(|| panic!("{}: {resource} is not known here yet", state.place))
    })
}

/// What is wrong with the retries and catchers of a machine, and where.
pub fn faults_of_errors(machine: &Value) -> Vec<String> {
    let kinds = [
        FailureKind::Transient,
        FailureKind::Invalid,
        FailureKind::Internal,
    ]
    .map(FailureKind::error_type);
    let mut faults = Vec::new();
    for state in states(machine) {
        let mut fault = |text: String| faults.push(format!("{}: {text}", state.place));
        let retried = errors(&state, "Retry");
        let caught = errors(&state, "Catch");
        let task = integration(&state);
        let known = |name: &str| {
            STATES_ERRORS.contains(&name)
                || task.is_some_and(|task| {
                    task.errors.contains(&name) || (task.calls_a_function && kinds.contains(&name))
                })
        };
        for name in retried.iter().chain(&caught).flatten() {
            if !known(name) {
                fault(format!("there is no error {name}"));
            }
        }
        for list in [&retried, &caught] {
            faults_of_order(list).into_iter().for_each(&mut fault);
        }
        for retry in state.definition["Retry"].as_array().into_iter().flatten() {
            fault_of_retry(retry).into_iter().for_each(&mut fault);
        }
        let Some(task) = task else { continue };
        if retried.is_empty() {
            fault("a task without Retry".to_owned());
        }
        if task.calls_a_function {
            let covers = |kind: &str| retried.iter().any(|names| names.contains(&kind));
            for (kind, wanted) in kinds.into_iter().zip([true, false, false]) {
                if covers(kind) != wanted {
                    fault(format!("{kind} is retried: {}", !wanted));
                }
            }
            // They would take Invalid and Internal with them, which no repetition mends.
            for name in ["States.ALL", "States.TaskFailed"] {
                if covers(name) {
                    fault(format!("{name} is retried"));
                }
            }
        }
    }
    faults
}

/// The names of each entry of `Retry` or `Catch`.
fn errors<'a>(state: &State<'a>, list: &str) -> Vec<Vec<&'a str>> {
    let entries = state.definition[list].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let names = entry["ErrorEquals"].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).collect()
        })
        .collect()
}

/// States.ALL stands alone and last; no entry is empty; a name that stood before is never looked at.
fn faults_of_order(entries: &[Vec<&str>]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, names) in entries.iter().enumerate() {
        if names.is_empty() {
            faults.push("an entry without ErrorEquals".to_owned());
        }
        let all = names.contains(&"States.ALL");
        if all && (names.len() > 1 || number + 1 < entries.len()) {
            faults.push("States.ALL is not alone and last".to_owned());
        }
        for name in names {
            if !seen.insert(*name) {
                faults.push(format!("{name} is named twice"));
            }
        }
    }
    faults
}

/// Waits between tries grow, are bounded and are spread.
fn fault_of_retry(retry: &Value) -> Option<String> {
    let number = |name: &str| retry[name].as_f64();
    let interval = number("IntervalSeconds").unwrap_or(1.0);
    let right = number("MaxAttempts").is_some_and(|count| (1.0..=99_999_999.0).contains(&count))
        && interval >= 1.0
        && number("BackoffRate").is_some_and(|rate| rate > 1.0)
        && number("MaxDelaySeconds").is_some_and(|most| most > interval && most < 31_622_400.0)
        && retry["JitterStrategy"] == "FULL";
    (!right).then(|| {
        format!(
            "{retry}: expected MaxAttempts, BackoffRate over 1, MaxDelaySeconds over IntervalSeconds, JitterStrategy FULL"
        )
    })
}
