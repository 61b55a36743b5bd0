//! One module a command: its arguments, what it prints and how it fails.

mod endpoint;
pub mod generate;
pub mod ingest;
mod paced_bar;
pub mod replay;
pub mod touch;
pub mod verify;

use std::io::{self, Write};

/// Prints a result; a reader that has enough is no error.
fn print_line(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
