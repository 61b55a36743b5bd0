use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::ExecutionStatus as SfnStatus;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::errors::storage_error;
use crate::workflows::{execution_arn, same_json};
use crate::{ErrorKind, Execution, ExecutionStatus, StorageError, Timestamp, Workflows};

/// Step Functions' state machines. The SDK retries (standard mode, 3 attempts).
#[derive(Debug, Clone)]
pub struct AwsWorkflows {
    client: Client,
}

impl AwsWorkflows {
    pub(super) fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        let mut builder = aws_sdk_sfn::config::Builder::from(config)
            .retry_config(super::standard_retries())
            .timeout_config(super::timeouts(super::ATTEMPT_TIMEOUT))
            .stalled_stream_protection(super::no_stream_protection());
        builder.set_endpoint_url(endpoint);
        Self {
            client: Client::from_conf(builder.build()),
        }
    }

    async fn describe(&self, arn: &str) -> Result<DescribeExecutionOutput, StorageError> {
        let request = self.client.describe_execution().execution_arn(arn);
        let answer = request.send().await;
        answer.map_err(|error| storage_error("DescribeExecution", arn, error))
    }

    /// The ARN of the machine's execution of this name, if it has this input. StartExecution does not tell one that ended from
    /// one of another input (API reference, "StartExecution").
    async fn found_again(
        &self,
        machine_arn: &str,
        name: &str,
        input: &str,
        refusal: StorageError,
    ) -> Result<String, StorageError> {
        let Some(arn) = execution_arn(machine_arn, name) else {
            return Err(refusal);
        };
        let held = self.describe(&arn).await?.input;
        match held.is_some_and(|held| same_json(&held, input)) {
            true => Ok(arn),
            false => Err(refusal),
        }
    }
}

impl Workflows for AwsWorkflows {
    async fn start(
        &self,
        machine_arn: &str,
        name: &str,
        input: &str,
    ) -> Result<String, StorageError> {
        let answer = self
            .client
            .start_execution()
            .state_machine_arn(machine_arn)
            .name(name)
            .input(input)
            .send()
            .await;
        match answer {
            Ok(started) => Ok(started.execution_arn),
            Err(error) => {
                let is_there = error.code() == Some("ExecutionAlreadyExists");
                let target = format!("{machine_arn}, execution {name}");
                let refusal = storage_error("StartExecution", target, error);
                match is_there {
                    true => self.found_again(machine_arn, name, input, refusal).await,
                    false => Err(refusal),
                }
            }
        }
    }

    async fn execution(&self, execution_arn: &str) -> Result<Execution, StorageError> {
        let described = self.describe(execution_arn).await?;
        execution_of(described).map_err(|fault| {
            StorageError::new(
                ErrorKind::Internal,
                "DescribeExecution",
                execution_arn,
                fault,
            )
        })
    }
}

fn execution_of(described: DescribeExecutionOutput) -> Result<Execution, String> {
    let status = match &described.status {
        // One that is to be redriven will run again.
        SfnStatus::Running | SfnStatus::PendingRedrive => ExecutionStatus::Running,
        SfnStatus::Succeeded => ExecutionStatus::Succeeded,
        SfnStatus::Failed => ExecutionStatus::Failed,
        SfnStatus::TimedOut => ExecutionStatus::TimedOut,
        SfnStatus::Aborted => ExecutionStatus::Aborted,
        other => return Err(format!("an execution of the unknown status {other}")),
    };
    Ok(Execution {
        status,
        started: timestamp(described.start_date)?,
        ended: described.stop_date.map(timestamp).transpose()?,
        output: described.output,
        error: described.error,
        cause: described.cause,
    })
}

fn timestamp(time: DateTime) -> Result<Timestamp, String> {
    let millis = time.to_millis().ok();
    millis
        .and_then(|millis| u64::try_from(millis).ok())
        .map(Timestamp)
        .ok_or_else(|| format!("{time} is no time that an execution can have"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::canned::{Answer, Canned};
    use super::*;

    const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:import";
    const EXECUTION: &str = "arn:aws:states:us-east-1:123456789012:execution:import:one";

    fn refusal(code: &str) -> Answer {
        Answer::new(400, format!(r#"{{"__type":"{code}","message":"m"}}"#))
    }

    fn described(members: &str) -> Answer {
        Answer::new(
            200,
            format!(
                r#"{{"executionArn":"{EXECUTION}","stateMachineArn":"{MACHINE}","name":"one",
                    "startDate":1769860800.25{members}}}"#
            ),
        )
    }

    async fn workflows(answers: Vec<Answer>) -> (Canned, AwsWorkflows) {
        let server = Canned::start(answers).await;
        let workflows = server.clients().await.workflows();
        (server, workflows)
    }

    #[tokio::test]
    async fn an_execution_is_started_by_its_name() {
        let (server, workflows) = workflows(vec![
            Answer::none(),
            Answer::new(
                200,
                format!(r#"{{"executionArn":"{EXECUTION}","startDate":1769860800.25}}"#),
            ),
        ])
        .await;
        let arn = workflows.start(MACHINE, "one", r#"{"a":1}"#).await.unwrap();
        assert_eq!(arn, EXECUTION);
        let asked = server.asked();
        assert_eq!(asked.len(), 2, "a lost answer is asked for again");
        let target = asked[1].header("x-amz-target");
        assert_eq!(target, Some("AWSStepFunctions.StartExecution"));
        let body: serde_json::Value = serde_json::from_str(&asked[1].body).unwrap();
        assert_eq!(
            body,
            json!({"stateMachineArn": MACHINE, "name": "one", "input": r#"{"a":1}"#})
        );
    }

    #[tokio::test]
    async fn an_execution_that_was_started_before_is_found_again_by_name_and_input() {
        let ended = || described(r#","status":"FAILED","input":"{ \"a\": 1 }""#);
        let exists = || refusal("ExecutionAlreadyExists");
        let (server, workflows) = workflows(vec![
            exists(),
            ended(),
            exists(),
            ended(),
            exists(),
            described(r#","status":"FAILED""#),
            exists(),
            refusal("ExecutionDoesNotExist"),
        ])
        .await;
        let start = async |input: &str| {
            let answer = workflows.start(MACHINE, "one", input).await;
            answer.map_err(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(start(r#"{"a":1}"#).await.unwrap(), EXECUTION);
        let body: serde_json::Value = serde_json::from_str(&server.asked()[1].body).unwrap();
        assert_eq!(body, json!({"executionArn": EXECUTION}));

        let (kind, message) = start(r#"{"a":2}"#).await.unwrap_err();
        assert_eq!(kind, ErrorKind::Conflict);
        assert!(message.contains("import, execution one"), "{message}");
        let (kind, _) = start(r#"{"a":1}"#).await.unwrap_err();
        assert_eq!(kind, ErrorKind::Conflict, "nobody knows its input");
        let (kind, _) = start(r#"{"a":1}"#).await.unwrap_err();
        assert_eq!(kind, ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn an_execution_says_how_it_is() {
        let cases = [
            ("RUNNING", ExecutionStatus::Running),
            ("PENDING_REDRIVE", ExecutionStatus::Running),
            ("SUCCEEDED", ExecutionStatus::Succeeded),
            ("FAILED", ExecutionStatus::Failed),
            ("TIMED_OUT", ExecutionStatus::TimedOut),
            ("ABORTED", ExecutionStatus::Aborted),
        ];
        for (status, expected) in cases {
            let (_server, workflows) =
                workflows(vec![described(&format!(r#","status":"{status}""#))]).await;
            let execution = workflows.execution(EXECUTION).await.unwrap();
            assert_eq!(execution.status, expected, "{status}");
            assert_eq!(execution.started, Timestamp(1_769_860_800_250));
            assert_eq!((execution.ended, execution.output), (None, None));
        }
        let (_server, workflows) = workflows(vec![
            described(
                r#","status":"FAILED","stopDate":1769860801,"error":"Failed","cause":"{\"x\":1}""#,
            ),
            described(r#","status":"SUCCEEDED","stopDate":1769860801,"output":"[1]""#),
            described(r#","status":"ASLEEP""#),
            refusal("ExecutionDoesNotExist"),
        ])
        .await;
        let failed = workflows.execution(EXECUTION).await.unwrap();
        assert_eq!(failed.ended, Some(Timestamp(1_769_860_801_000)));
        assert_eq!(failed.error.as_deref(), Some("Failed"));
        assert_eq!(failed.cause.as_deref(), Some(r#"{"x":1}"#));
        let succeeded = workflows.execution(EXECUTION).await.unwrap();
        assert_eq!(succeeded.output.as_deref(), Some("[1]"));
        for kind in [ErrorKind::Internal, ErrorKind::NotFound] {
            let error = workflows.execution(EXECUTION).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
