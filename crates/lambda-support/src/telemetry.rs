//! Logs.

use tracing::level_filters::LevelFilter;

use crate::Environment;

/// Starts logging to standard output, as Lambda's logging configuration says.
pub fn init_telemetry(environment: &Environment) {
    let level = environment
        .optional("AWS_LAMBDA_LOG_LEVEL")
        .and_then(|level| level_of(&level))
        .unwrap_or(LevelFilter::INFO);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false);
    if environment.optional("AWS_LAMBDA_LOG_FORMAT").as_deref() == Some("JSON") {
        subscriber.json().flatten_event(true).init();
    } else {
        // Lambda adds the time to text itself; to filter JSON by its level, it wants the time in it.
        subscriber.without_time().init();
    }
}

/// Lambda's names of the levels, which are tracing's and `FATAL`.
fn level_of(name: &str) -> Option<LevelFilter> {
    if name.eq_ignore_ascii_case("FATAL") {
        return Some(LevelFilter::ERROR);
    }
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_any_case() {
        assert_eq!(level_of("DEBUG"), Some(LevelFilter::DEBUG));
        assert_eq!(level_of("warn"), Some(LevelFilter::WARN));
        assert_eq!(level_of("FATAL"), Some(LevelFilter::ERROR));
        assert_eq!(level_of("loud"), None);
    }
}
