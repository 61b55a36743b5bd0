//! The command line `transload`; everything it does is in the library of the same name.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use transload::{Cli, Surroundings, describe};

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the command line reads the clock"
)]
fn main() -> ExitCode {
    let cli = Cli::parse();
    let surroundings = Surroundings {
        now: jiff::Timestamp::now(),
        started: Instant::now(),
        random_seed: rand::random(),
    };
    match cli.run(&surroundings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", describe(&error));
            ExitCode::from(error.exit_code())
        }
    }
}
