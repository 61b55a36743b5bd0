//! The subject `floor` of the bench `reprocess`: the calls that pending items cannot do without, over bare HTTP.

use std::io;

use bench::reprocess::{Output, floor};
use clap::Parser;

/// Make the outputs of pending items and mark the items, over bare HTTP
#[derive(Parser)]
struct Arguments {
    /// Address of the endpoint, such as 127.0.0.1:8000
    #[arg(long)]
    address: String,
    /// What is made of the items
    #[arg(long)]
    output: Output,
    /// How many items are taken
    #[arg(long)]
    items: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    floor::run(&arguments.address, arguments.output, arguments.items).await
}
