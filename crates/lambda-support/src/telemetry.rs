//! Logs.

use tracing_subscriber::EnvFilter;

use crate::Environment;

/// Starts logging to standard output, as Lambda's logging configuration says.
pub fn init_telemetry(environment: &Environment) {
    let level = environment
        .optional("AWS_LAMBDA_LOG_LEVEL")
        .unwrap_or_else(|| "INFO".to_owned());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level.to_lowercase()))
        .with_target(false)
        // Lambda adds the time itself.
        .without_time()
        .with_ansi(false);
    if environment.optional("AWS_LAMBDA_LOG_FORMAT").as_deref() == Some("JSON") {
        subscriber.json().flatten_event(true).init();
    } else {
        subscriber.init();
    }
}
