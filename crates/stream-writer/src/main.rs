//! The Lambda function: batches of a table's stream into its change log.

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use lambda_support::{Environment, init_telemetry};
use serde_json::value::RawValue;
use storage::{SystemClock, Timestamp, aws};
use stream_writer::{Config, Dependencies, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    init_telemetry(&environment);
    let config = Config::read(&environment)?;
    let clients = aws::connect(config.endpoint_url.as_deref()).await?;
    let dependencies = Dependencies {
        objects: clients.objects(),
        clock: SystemClock,
        config,
    };
    let dependencies = &dependencies;
    lambda_runtime::run(service_fn(
        move |event: LambdaEvent<Box<RawValue>>| async move {
            let deadline = Timestamp(event.context.deadline);
            handle(&event.payload, deadline, dependencies)
                .await
                .map_err(Diagnostic::from)
        },
    ))
    .await
}
