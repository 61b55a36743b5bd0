//! The subject `bare-sdk`: a CSV file into a table over the plain SDK.

use std::error::Error;
use std::path::PathBuf;

use bench::bare_loop;
use clap::Parser;

/// Write every row of a CSV file into a table with a bare SDK loop
#[derive(Parser)]
struct Arguments {
    /// Address of the endpoint, such as http://127.0.0.1:8000
    #[arg(long)]
    endpoint: String,
    /// Name of the table
    #[arg(long)]
    table: String,
    /// The CSV file
    #[arg(long)]
    input: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    bare_loop::load(&arguments.endpoint, &arguments.table, &arguments.input).await
}
