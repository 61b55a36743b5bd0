//! A function with a process of its own: the price of an offer with tax, as an object of its own shape.
//!
//! Everything but `PriceWithTax` is `src/main.rs` word for word. Build it as
//! `cargo build -p gsi-reprocessor --example own_process`, or copy it into a crate of yours that depends on this one.

use gsi_reprocessor::{Config, Dependencies, Invocation, Process, ProcessError, handle};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use lambda_support::{Environment, init_telemetry};
use records::{Item, Value};
use serde_json::json;
use storage::{SystemClock, Timestamp, aws};

/// `{"id": "7", "cents": 1190}` for an offer of 1,000 cents.
struct PriceWithTax {
    percent: u64,
}

impl Process for PriceWithTax {
    async fn process(&self, item: &Item) -> Result<Vec<u8>, ProcessError> {
        let (Some(Value::S(id)), Some(Value::N(cents))) = (item.get("id"), item.get("cents"))
        else {
            return Err(ProcessError::Item(
                "the offer has no price: expected an id (S) and cents (N)".to_owned(),
            ));
        };
        let cents: u64 = cents
            .as_str()
            .parse()
            .map_err(|_| ProcessError::Item("the price is no whole number of cents".to_owned()))?;
        let with_tax = json!({"id": id, "cents": cents * (100 + self.percent) / 100});
        Ok(with_tax.to_string().into_bytes())
    }
}

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
        clock: SystemClock,
        process: PriceWithTax { percent: 19 },
        config,
    };
    let dependencies = &dependencies;
    lambda_runtime::run(service_fn(
        move |event: LambdaEvent<serde_json::Value>| async move {
            let invocation = Invocation {
                deadline: Timestamp(event.context.deadline),
                random: rand::random(),
            };
            handle(&event.payload, invocation, dependencies)
                .await
                .map_err(Diagnostic::from)
        },
    ))
    .await
}

#[cfg(test)]
mod tests {
    use records::item_from_dynamodb_json;

    use super::*;

    #[tokio::test]
    async fn an_offer_gets_its_tax_and_one_without_a_price_is_told_so() {
        let process = PriceWithTax { percent: 19 };
        let item = |json: &str| item_from_dynamodb_json(json).expect("an item");
        let body = process
            .process(&item(r#"{"id":{"S":"7"},"cents":{"N":"1000"}}"#))
            .await;
        assert_eq!(body.expect("a price"), br#"{"cents":1190,"id":"7"}"#);
        let error = process.process(&item(r#"{"id":{"S":"7"}}"#)).await;
        assert!(matches!(error, Err(ProcessError::Item(_))));
    }
}
