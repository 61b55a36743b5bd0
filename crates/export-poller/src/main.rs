//! The Lambda function: begins exports, polls them, plans their files and reconciles.

use export_poller::{Config, Dependencies, handle};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use lambda_support::{Environment, init_telemetry};
use serde_json::Value;
use storage::{SystemClock, Timestamp, aws};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    init_telemetry(&environment);
    let config = Config::read(&environment)?;
    let clients = aws::connect(config.endpoint_url.as_deref()).await?;
    let dependencies = Dependencies {
        objects: clients.objects(),
        tables: clients.tables(),
        exports: clients.exports(),
        ledger: clients.ledger(&config.ledger_table),
        workflows: clients.workflows(),
        clock: SystemClock,
        config,
    };
    let dependencies = &dependencies;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let deadline = Timestamp(event.context.deadline);
        handle(&event.payload, deadline, dependencies)
            .await
            .map_err(Diagnostic::from)
    }))
    .await
}
