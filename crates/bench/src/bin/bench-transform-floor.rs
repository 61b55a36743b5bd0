//! The subject `floor` of the bench `transform`: inflates an export's data files and compresses the lines that come of them.
//! It says how many bytes there were of each.

use std::io::{self, Write};
use std::path::PathBuf;

use bench::transform::{Format, floor};
use clap::Parser;

/// Inflate the data files of an export, and compress the lines that come of them
#[derive(Parser)]
struct Arguments {
    /// The folder of the data files
    data: PathBuf,
    /// The folder of the lines that come of them
    plain: PathBuf,
    /// The folder for outputs
    output: PathBuf,
    /// What is written
    #[arg(long)]
    format: Format,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let (data, plain, output) = (&arguments.data, &arguments.plain, &arguments.output);
    let (inflated, lines) = floor::transform(data, plain, output, arguments.format)?;
    writeln!(io::stdout(), "{inflated} {lines}")
}
