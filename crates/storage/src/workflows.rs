//! Executions of state machines.

use crate::{StorageError, Timestamp};

/// What became of an execution so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Whether it runs, or how it ended.
    pub status: ExecutionStatus,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended; nothing while it runs.
    pub ended: Option<Timestamp>,
    /// Its output, one JSON value, if it succeeded.
    pub output: Option<String>,
    /// The name of the error that it failed with.
    pub error: Option<String>,
    /// What was said of the error.
    pub cause: Option<String>,
}

/// Whether an execution runs, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It has not ended yet.
    Running,
    /// It came to its end.
    Succeeded,
    /// It failed.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// Somebody stopped it.
    Aborted,
}

/// State machines whose executions can be started and looked at. Every operation retries what is transient inside (the SDK's
/// standard retry).
#[expect(
    async_fn_in_trait,
    reason = "only called inside this workspace, on one thread"
)]
pub trait Workflows {
    /// Starts an execution with one JSON value as its input, and gives its ARN. One of the same name and input that runs, or
    /// ended within the last 90 days, however it ended, is not started again: its ARN is given. `Conflict` if one of this name
    /// has another input; inputs are compared as JSON.
    ///
    /// A name has 1 to 80 characters: letters, digits, `-`, `_`, `.` and others that are neither spaces, brackets, wildcards
    /// nor separators.
    async fn start(
        &self,
        machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<String, StorageError>;

    /// What became of the execution with this ARN. `NotFound` if there is none, or it ended more than 90 days ago.
    async fn execution(&self, execution_arn: &str) -> Result<Execution, StorageError>;
}

/// The ARN of the machine's execution of this name; nothing if the machine's is no ARN. A machine's ARN may also name a version
/// or an alias at its end, which those of its executions do not.
pub(crate) fn execution_arn(machine_arn: &str, name: &str) -> Option<String> {
    let (before, machine) = machine_arn.split_once(":stateMachine:")?;
    let machine = machine.split(':').next().filter(|name| !name.is_empty())?;
    Some(format!("{before}:execution:{machine}:{name}"))
}

/// Whether two texts are the same JSON value. A text that is none is the same as no other.
pub(crate) fn same_json(left: &str, right: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    value(left).is_some_and(|left| value(right) == Some(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_is_named_after_its_machine_without_version_and_alias() {
        let machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:drain";
        let expected = "arn:aws:states:eu-west-1:123456789012:execution:drain:one";
        for qualifier in ["", ":7", ":live"] {
            let machine = format!("{machine}{qualifier}");
            assert_eq!(execution_arn(&machine, "one").as_deref(), Some(expected));
        }
        for no_machine in ["drain", "arn:aws:states:r:a:stateMachine:", expected] {
            assert_eq!(execution_arn(no_machine, "one"), None, "{no_machine}");
        }
    }

    #[test]
    fn inputs_are_compared_as_json() {
        assert!(same_json(r#"{"a":1,"b":[]}"#, "{ \"b\": [], \"a\": 1 }"));
        assert!(!same_json(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(!same_json("{", "{"));
    }
}
