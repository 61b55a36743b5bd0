//! The contract of executions of state machines.

use serde_json::{Value, json};

use super::kind;
use crate::{ErrorKind, ExecutionStatus, Workflows};

/// The contract of executions, of a machine whose output is its input. `run` makes the names of this run's executions its own;
/// `end` returns when the execution with the ARN given to it has ended with the output given to it.
///
/// # Panics
/// Where it is not kept.
pub async fn workflows(
    store: &impl Workflows,
    machine_arn: &str,
    run: &str,
    end: impl AsyncFn(&str, &str),
) {
    let name = format!("contract-{run}");
    let input = r#"{"number":1,"list":["a"]}"#;
    let start = async |name: &str, input: &str| {
        let answer = store.start(machine_arn, name, input).await;
        answer.map_err(|error| error.kind())
    };
    let arn = start(&name, input).await.expect("a start");
    assert_eq!(start(&name, input).await, Ok(arn.clone()), "at once again");
    end(&arn, input).await;
    let execution = store.execution(&arn).await.expect("a description");
    assert_eq!(execution.status, ExecutionStatus::Succeeded);
    let output = execution.output.expect("an output");
    let output: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(output, json!({"number": 1, "list": ["a"]}));
    assert_eq!((execution.error, execution.cause), (None, None));
    let ended = execution.ended.expect("a time");
    assert!(ended >= execution.started, "{ended:?}");

    // What ended is not started again, and its input may be spelt in another way.
    let respelt = r#"{ "list": ["a"], "number": 1 }"#;
    for input in [input, respelt] {
        assert_eq!(start(&name, input).await, Ok(arn.clone()), "{input}");
    }
    let other = start(&name, r#"{"number":2}"#).await;
    assert_eq!(other, Err(ErrorKind::Conflict), "another input");
    let again = store.execution(&arn).await.expect("a description");
    assert_eq!(again.ended, Some(ended), "it is the same execution");
    let second = start(&format!("{name}-2"), input).await;
    assert_ne!(second.expect("a start"), arn, "another name");

    let missing = store.execution(&format!("{arn}-no-such")).await;
    assert_eq!(kind(missing.err()), Some(ErrorKind::NotFound));
    let elsewhere = format!("{machine_arn}-no-such");
    let missing = store.start(&elsewhere, &name, input).await;
    assert_eq!(kind(missing.err()), Some(ErrorKind::NotFound));
}
