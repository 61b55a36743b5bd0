//! Says what all rows of a subject's outputs come to. A process of its own, since the memory of the one that starts a subject
//! counts as the subject's.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use bench::transform::outputs::digest_of_folder;
use clap::Parser;

/// Print the digest of all rows in a folder's files
#[derive(Parser)]
struct Arguments {
    /// The folder
    folder: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let digest = digest_of_folder(&Arguments::parse().folder)?;
    serde_json::to_writer(io::stdout(), &digest)?;
    Ok(io::stdout().write_all(b"\n")?)
}
