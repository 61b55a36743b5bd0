use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::workflows::{execution_arn, same_json};
use crate::{
    Clock, ErrorKind, Execution, ExecutionStatus, StorageError, TestClock, Timestamp, Workflows,
};

/// Step Functions' quotas of an execution.
const MAX_NAME_CHARS: usize = 80;
const MAX_INPUT_BYTES: usize = 256 * 1024;
/// What a name may not hold besides spaces and control characters (API reference, "StartExecution").
const NOT_IN_NAMES: &str = "<>{}[]?*\"#%\\^|~`$&,;:/";

/// State machines in memory. Their executions do nothing: each runs until the test ends it.
#[derive(Debug, Clone, Default)]
pub struct MemoryWorkflows {
    state: Arc<Mutex<State>>,
    clock: Option<TestClock>,
}

#[derive(Debug, Default)]
struct State {
    machines: Vec<String>,
    /// By ARN, each with its input.
    executions: BTreeMap<String, (String, Execution)>,
}

impl MemoryWorkflows {
    /// No machines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a machine.
    ///
    /// # Panics
    /// If this is no ARN of a machine.
    #[must_use]
    pub fn with_machine(self, arn: &str) -> Self {
        assert!(
            execution_arn(arn, "x").is_some(),
            "{arn} is no machine's ARN"
        );
        self.lock().machines.push(arn.to_owned());
        self
    }

    /// The same machines, whose executions are dated by `clock`; without one, they are all of 1970.
    #[must_use]
    pub fn with_clock(mut self, clock: TestClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Every execution's ARN and input, in order of their ARNs.
    pub fn executions(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let executions = state.executions.iter();
        executions
            .map(|(arn, (input, _))| (arn.clone(), input.clone()))
            .collect()
    }

    /// The execution ends well with this output.
    ///
    /// # Panics
    /// If there is no such execution, or it has ended.
    pub fn succeed(&self, execution_arn: &str, output: &str) {
        self.end(execution_arn, ExecutionStatus::Succeeded, |execution| {
            execution.output = Some(output.to_owned());
        });
    }

    /// The execution fails.
    ///
    /// # Panics
    /// If there is no such execution, or it has ended.
    pub fn fail(&self, execution_arn: &str, error: &str, cause: &str) {
        self.end(execution_arn, ExecutionStatus::Failed, |execution| {
            execution.error = Some(error.to_owned());
            execution.cause = Some(cause.to_owned());
        });
    }

    /// Somebody stops the execution.
    ///
    /// # Panics
    /// If there is no such execution, or it has ended.
    pub fn abort(&self, execution_arn: &str) {
        self.end(execution_arn, ExecutionStatus::Aborted, |_| {});
    }

    /// The execution takes longer than it may.
    ///
    /// # Panics
    /// If there is no such execution, or it has ended.
    pub fn time_out(&self, execution_arn: &str) {
        self.end(execution_arn, ExecutionStatus::TimedOut, |_| {});
    }

    fn end(&self, arn: &str, status: ExecutionStatus, say: impl FnOnce(&mut Execution)) {
        let now = self.now();
        let mut state = self.lock();
        let (_, execution) = state
            .executions
            .get_mut(arn)
            .expect("a test ends an execution that was started");
        let before = execution.status;
        assert_eq!(before, ExecutionStatus::Running, "{arn} ends once");
        (execution.status, execution.ended) = (status, Some(now));
        say(execution);
    }

    fn now(&self) -> Timestamp {
        self.clock.map_or(Timestamp(0), |clock| clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Workflows for MemoryWorkflows {
    async fn start(
        &self,
        machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<String, StorageError> {
        let error = |kind, message: &str| {
            let target = format!("{machine_arn}, execution {name}");
            StorageError::new(kind, "StartExecution", target, message)
        };
        let arn = execution_arn(machine_arn, name)
            .ok_or_else(|| error(ErrorKind::Refused, "this is no machine's ARN"))?;
        check(name, input).map_err(|fault| error(ErrorKind::Refused, fault))?;
        let started = self.now();
        let mut state = self.lock();
        if !state.machines.iter().any(|machine| machine == machine_arn) {
            return Err(error(ErrorKind::NotFound, "there is no such machine"));
        }
        match state.executions.get(&arn) {
            Some((held, _)) if same_json(held, input) => {}
            Some(_) => {
                return Err(error(
                    ErrorKind::Conflict,
                    "there is an execution of this name with another input",
                ));
            }
            None => {
                let execution = Execution {
                    status: ExecutionStatus::Running,
                    started,
                    ended: None,
                    output: None,
                    error: None,
                    cause: None,
                };
                let new = (input.to_owned(), execution);
                state.executions.insert(arn.clone(), new);
            }
        }
        Ok(arn)
    }

    async fn execution(&self, execution_arn: &str) -> Result<Execution, StorageError> {
        let state = self.lock();
        let found = state.executions.get(execution_arn);
        found
            .map(|(_, execution)| execution.clone())
            .ok_or_else(|| {
                StorageError::new(
                    ErrorKind::NotFound,
                    "DescribeExecution",
                    execution_arn,
                    "there is no such execution",
                )
            })
    }
}

fn check(name: &str, input: &str) -> Result<(), &'static str> {
    let allowed =
        |char: char| !char.is_whitespace() && !char.is_control() && !NOT_IN_NAMES.contains(char);
    if !(1..=MAX_NAME_CHARS).contains(&name.chars().count()) || !name.chars().all(allowed) {
        return Err("this is no name of an execution");
    }
    if input.len() > MAX_INPUT_BYTES || !same_json(input, input) {
        return Err("the input is not one JSON value of at most 256 KiB");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:import";

    #[tokio::test(start_paused = true)]
    async fn an_execution_runs_until_the_test_ends_it() {
        let clock = TestClock::at(Timestamp(1_000));
        let workflows = MemoryWorkflows::new()
            .with_machine(MACHINE)
            .with_clock(clock);
        let arn = async |name: &str| workflows.start(MACHINE, name, "{}").await.unwrap();
        let (one, two, three) = (arn("one").await, arn("two").await, arn("three").await);
        let four = arn("zero").await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        workflows.succeed(&one, "[1]");
        workflows.fail(&two, "Error", "because");
        workflows.abort(&three);
        workflows.time_out(&four);
        let execution = async |arn: &str| workflows.execution(arn).await.unwrap();
        let succeeded = execution(&one).await;
        let expected = Execution {
            status: ExecutionStatus::Succeeded,
            started: Timestamp(1_000),
            ended: Some(Timestamp(3_000)),
            output: Some("[1]".to_owned()),
            error: None,
            cause: None,
        };
        assert_eq!(succeeded, expected);
        let failed = execution(&two).await;
        assert_eq!(failed.status, ExecutionStatus::Failed);
        assert_eq!(failed.error.as_deref(), Some("Error"));
        assert_eq!(failed.cause.as_deref(), Some("because"));
        assert_eq!(execution(&three).await.status, ExecutionStatus::Aborted);
        assert_eq!(execution(&four).await.status, ExecutionStatus::TimedOut);
        let inputs = [&one, &three, &two, &four].map(|arn| (arn.clone(), "{}".to_owned()));
        assert_eq!(workflows.clone().executions(), inputs);
    }

    #[tokio::test]
    async fn refuses_what_step_functions_refuses() {
        let workflows = MemoryWorkflows::new().with_machine(MACHINE);
        let long = "n".repeat(81);
        let large = format!("\"{}\"", "x".repeat(MAX_INPUT_BYTES));
        for (machine, name, input) in [
            ("import", "one", "{}"),
            (MACHINE, "", "{}"),
            (MACHINE, long.as_str(), "{}"),
            (MACHINE, "a b", "{}"),
            (MACHINE, "a:b", "{}"),
            (MACHINE, "one", "{"),
            (MACHINE, "one", large.as_str()),
        ] {
            let error = workflows.start(machine, name, input).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{machine} {name}");
        }
        assert_eq!(workflows.executions(), []);
    }
}
