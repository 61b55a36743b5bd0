//! The subject `floor` of the bench `stream`: gzip of every batch of a file. It says how many bytes there were.

use std::io::{self, Write};
use std::path::PathBuf;

use bench::stream::floor;
use clap::Parser;

/// Compress every batch of a file with gzip and drop the result
#[derive(Parser)]
struct Arguments {
    /// The file of batches
    input: PathBuf,
}

fn main() -> io::Result<()> {
    let bytes = floor::compress(&Arguments::parse().input)?;
    writeln!(io::stdout(), "{bytes}")
}
