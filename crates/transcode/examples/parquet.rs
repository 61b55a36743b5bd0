//! Makes a Parquet file of the lines of a full export on standard input, to be measured or looked at.
//!
//! `cargo run --release -p transcode --example parquet -- infer > schema.json < lines`
//! `cargo run --release -p transcode --example parquet -- schema.json > file.parquet < lines`

use std::io::{BufRead, Write};

use transcode::{Inference, LineForm, ParquetEncoder, ParquetLimits, Schema, Shaping};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(schema) = std::env::args().nth(1) else {
        return Err("expected infer or the path of a schema file".into());
    };
    let mut input = std::io::BufReader::with_capacity(1 << 20, std::io::stdin().lock());
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    if schema == "infer" {
        let mut inference = Inference::new(None);
        while input.read_until(b'\n', &mut line)? > 0 {
            inference.add(&line, LineForm::Full, &Shaping::default())?;
            line.clear();
        }
        let inferred = inference.finish();
        for conflict in inferred.conflicts {
            writeln!(std::io::stderr(), "{conflict}")?;
        }
        writeln!(output, "{}", inferred.schema.to_json())?;
        return Ok(());
    }
    let schema = Schema::parse(&std::fs::read_to_string(schema)?)?;
    let (_, entity) = schema.entity(None);
    let mut encoder = ParquetEncoder::new(
        LineForm::Full,
        entity,
        Shaping::default(),
        ParquetLimits::default(),
    );
    let mut bytes = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        encoder.add(&line)?;
        line.clear();
        encoder.take(&mut bytes);
        output.write_all(&bytes)?;
        bytes.clear();
    }
    encoder.finish(&mut bytes);
    output.write_all(&bytes)?;
    Ok(())
}
