//! `transload generate`: a CSV file of sample rows.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressState, ProgressStyle};
use jiff::Timestamp;

use crate::Surroundings;
use crate::generate::{Generator, InvalidArguments};
use crate::output::{OutputError, write_file};

/// From this many rows on there is a progress bar; fewer are done before a person can read one.
const PROGRESS_BAR_ROWS: u64 = 50_000;

/// Make a CSV file of sample rows
///
/// The columns are account, offer_id, catalog_id, account_type_code, offer_type_id, created, expire and risk.
/// No two rows have the same offer_id, so loaded by the keys account and offer_id they make as many items as there are rows.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// How many rows, up to 1000000000
    #[arg(long, default_value = "1000", value_parser = parse_count, allow_hyphen_values = true)]
    rows: u64,

    /// How many different accounts the rows are spread over, up to 90000000
    #[arg(long, default_value = "20", value_parser = parse_count, allow_hyphen_values = true)]
    accounts: u64,

    /// The file to write, replaced once the new one is complete; - is the standard output
    #[arg(long, short, default_value = "data.csv", value_name = "FILE")]
    output: PathBuf,

    /// Where the random numbers start: the same seed, rows, accounts and now make the same file [default: random]
    #[arg(long, value_parser = parse_count, allow_hyphen_values = true)]
    seed: Option<u64>,

    /// The time that created counts back from, such as 2026-01-31T12:34:56+00:00 [default: the time now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,

    /// Print the result as one line of JSON (on the standard error where the rows go to the standard output)
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  transload generate
  transload generate --rows 100000 --accounts 500 --output offers.csv
  transload generate --rows 10 --accounts 3 --seed 42 --now 2026-01-31T12:34:56+00:00 --output -";

fn parse_count(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("expected a whole number, such as 1000 or 1_000".to_owned());
    }
    digits
        .parse()
        .map_err(|_| format!("expected a number of at most {}", u64::MAX))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        "expected an ISO time with an offset, such as 2026-01-31T12:34:56+00:00".to_owned()
    })
}

/// Why no file was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// An argument is out of its range.
    #[error(transparent)]
    Arguments(#[from] InvalidArguments),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The standard output cannot be written.
    #[error("cannot write to the standard output")]
    Stdout(#[source] io::Error),
}

impl GenerateError {
    /// Whether other arguments are needed, where trying again cannot help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Arguments(_) => true,
            Self::Output(error) => !matches!(error, OutputError::Io { .. } | OutputError::Busy(_)),
            Self::Stdout(_) => false,
        }
    }
}

/// Writes the file and prints what was made.
///
/// # Errors
/// Arguments out of range, or an output that cannot be written.
pub fn run(args: &GenerateArgs, surroundings: &Surroundings) -> Result<(), GenerateError> {
    let seed = args.seed.unwrap_or(surroundings.random_seed.into());
    let now = args.now.unwrap_or(surroundings.now);
    let generator = Generator::new(args.rows, args.accounts, seed, now)?;
    if args.accounts > args.rows {
        eprintln!(
            "warning: --accounts {} is more than --rows {}: at most {} different accounts can appear",
            args.accounts, args.rows, args.rows
        );
    }
    let bar = progress_bar(args.rows);
    let progress = |rows| bar.iter().for_each(|bar| bar.set_position(rows));
    let to_stdout = args.output == Path::new("-");
    let bytes = if to_stdout {
        let mut out = BufWriter::with_capacity(256 * 1024, io::stdout().lock());
        let written = generator
            .write_to(&mut out, progress)
            .and_then(|bytes| out.flush().map(|()| bytes));
        match written {
            // The reader, such as `head`, has all that it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(GenerateError::Stdout)?,
        }
    } else {
        write_file(&args.output, |out| generator.write_to(out, progress))?
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let result = Outcome {
        args,
        seed,
        now,
        bytes,
        took: surroundings.started.elapsed(),
    };
    let text = if args.json {
        result.json()
    } else {
        result.text()
    };
    let printed = if to_stdout {
        writeln!(io::stderr(), "{text}")
    } else {
        writeln!(io::stdout(), "{text}")
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(GenerateError::Stdout(error))
        }
        _ => Ok(()),
    }
}

/// The bar is on the standard error and only drawn where that is a terminal.
fn progress_bar(rows: u64) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template(
        "{bar:30} {percent}% {human_pos} of {human_len} rows, {speed} rows/s, {eta} left",
    )
    .expect("the template is constant and tested")
    .with_key(
        "speed",
        |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no reason to stop.
            let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
        },
    );
    (rows >= PROGRESS_BAR_ROWS).then(|| ProgressBar::new(rows).with_style(style))
}

struct Outcome<'a> {
    args: &'a GenerateArgs,
    seed: u64,
    now: Timestamp,
    bytes: u64,
    took: Duration,
}

impl Outcome<'_> {
    fn json(&self) -> String {
        serde_json::json!({
            "command": "generate",
            "rows": self.args.rows,
            "accounts": self.args.accounts,
            "bytes": self.bytes,
            "seed": self.seed,
            "now": iso(self.now),
            "output": self.args.output.to_string_lossy(),
            "seconds": self.took.as_millis() as f64 / 1000.0,
        })
        .to_string()
    }

    fn text(&self) -> String {
        let Self { args, seed, .. } = self;
        format!(
            "Wrote {rows} rows to {output}: {size} ({bytes} bytes) in {seconds}.{millis:03} s.\n\
             The same file again: --rows {all} --accounts {accounts} --seed {seed} --now {now}",
            rows = HumanCount(args.rows),
            output = args.output.display(),
            size = BinaryBytes(self.bytes),
            bytes = HumanCount(self.bytes),
            seconds = self.took.as_secs(),
            millis = self.took.subsec_millis(),
            all = args.rows,
            accounts = args.accounts,
            now = iso(self.now),
        )
    }
}

/// As `2026-01-31T12:34:56+00:00`, which is all of the time that a file depends on.
fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_appears_from_fifty_thousand_rows_on() {
        assert!(progress_bar(49_999).is_none());
        let bar = progress_bar(50_000).expect("a bar");
        assert_eq!(bar.length(), Some(50_000));
    }

    #[test]
    fn counts_are_whole_numbers_with_or_without_underscores() {
        assert_eq!(parse_count("1000"), Ok(1000));
        assert_eq!(parse_count("1_000_000"), Ok(1_000_000));
        for bad in ["", "_", "-5", "1.5", "1,000", "ten", "1e6", "٣"] {
            let message = parse_count(bad).expect_err(bad);
            assert!(message.contains("whole number"), "{bad}: {message}");
        }
        let message = parse_count("18446744073709551616").expect_err("too large");
        assert!(
            message.contains("at most 18446744073709551615"),
            "{message}"
        );
    }

    #[test]
    fn times_need_an_offset() {
        assert!(parse_time("2026-01-31T12:34:56+00:00").is_ok());
        assert!(parse_time("2026-01-31T12:34:56Z").is_ok());
        for bad in [
            "yesterday",
            "2026-01-31",
            "2026-01-31T12:34:56",
            "2026-02-30T00:00:00Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_shown_in_utc_without_parts_of_a_second() {
        let time = parse_time("2026-01-31T12:34:56.789+02:00").unwrap();
        assert_eq!(iso(time), "2026-01-31T10:34:56+00:00");
    }
}
