//! One module a command: its arguments, what it prints and how it fails.

mod endpoint;
pub mod generate;
pub mod import;
pub mod ingest;
pub mod merge;
mod paced_bar;
pub mod plan;
mod reading_bar;
pub mod redrive;
pub mod replay;
pub mod schema;
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

/// Says something beside the result; that nobody reads it is no reason to stop.
fn note(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Threads that look through files, as many as the machine runs at a time: beyond eight, reading is what takes the time.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |threads| threads.get().min(8))
}

/// The name of a bucket: a URL in its place is a likely slip.
fn bucket_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(['/', ':']) {
        true => {
            Err("expected a name such as my-lake, without s3:// and without a folder".to_owned())
        }
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_name_and_no_address() {
        assert_eq!(bucket_name("my-lake").as_deref(), Ok("my-lake"));
        for wrong in ["", "s3://my-lake", "my-lake/changes"] {
            assert!(bucket_name(wrong).is_err(), "{wrong}");
        }
    }
}
