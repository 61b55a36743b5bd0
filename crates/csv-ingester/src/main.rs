//! The Lambda function: CSV objects from the inbox into a table.

use std::rc::Rc;

use csv_ingester::{Config, Dependencies, Invocation, handle};
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
        objects: Rc::new(clients.objects()),
        tables: clients.tables(),
        ledger: clients.ledger(&config.ledger_table),
        notices: clients.queue(&config.failure_queue_url),
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
