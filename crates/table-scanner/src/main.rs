//! The Lambda function: a table, scanned segment by segment into the lake.

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use lambda_support::{Environment, init_telemetry};
use serde_json::Value;
use storage::{SystemClock, Timestamp, aws};
use table_scanner::{Config, Dependencies, Invocation, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::of_process();
    init_telemetry(&environment);
    let config = Config::read(&environment)?;
    let clients = aws::connect(config.endpoint_url.as_deref()).await?;
    let dependencies = Dependencies {
        objects: clients.objects(),
        tables: clients.tables(),
        ledger: clients.ledger(&config.ledger_table),
        workflows: clients.workflows(),
        clock: SystemClock,
        config,
    };
    let dependencies = &dependencies;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let invocation = Invocation {
            deadline: Timestamp(event.context.deadline),
            random: rand::random(),
        };
        handle(&event.payload, invocation, dependencies)
            .await
            .map_err(Diagnostic::from)
    }))
    .await
}
