//! The command line `transload`; everything it does is in the library of the same name.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use transload::{Cli, Surroundings, describe};

/// The variables of every AWS tool, the one that says more first.
const ENDPOINT_VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the command line reads clock and environment"
)]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let surroundings = Surroundings {
        now: jiff::Timestamp::now(),
        started: Instant::now(),
        random_seed: rand::random(),
        endpoint_url: ENDPOINT_VARIABLES
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty())),
    };
    match cli.run(&surroundings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading any more, as in `transload … 2>&1 | head`; the exit code says it all the same.
            let _ = writeln!(io::stderr(), "error: {}", describe(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
