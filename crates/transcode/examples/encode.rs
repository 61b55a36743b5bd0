//! Encodes made-up lines again and again, to be looked at with a profiler.
//!
//! `cargo run --release -p transcode --example encode -- flat|nested json|changes|entity|none <megabytes>`

use std::io::Write;

use records::changes::SnapshotSource;
use transcode::{ChangeEncoder, JsonEncoder, LineForm, Shaping, Snapshot, entity_of};

/// Lines that are made once, so that making them is not what is measured.
const BLOCK: usize = 8 << 20;

/// Numbers that are the same each time.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn flat(sequence: &mut Sequence, row: u64) -> String {
    let [account, price, stock, seller] =
        [900_000, 100_000, 5_000, 10_000].map(|limit| sequence.below(limit));
    let cents = sequence.below(100);
    let (score, letter) = (sequence.below(1_000), sequence.below(26) as u8);
    let letter = char::from(b'a' + letter);
    format!(
        r#"{{"Item":{{"account":{{"S":"account-{account:07}"}},"offer_id":{{"N":"{row}"}},"title":{{"S":"A {letter}-shaped thing, \"number\" {score}"}},"price":{{"N":"{price}.{cents:02}"}},"stock":{{"N":"{stock}"}},"active":{{"BOOL":true}},"updated_at":{{"S":"2026-11-{:02}T04:00:00Z"}},"seller":{{"S":"seller {seller}"}},"processed":{{"S":"false"}}}}}}"#,
        row % 28 + 1,
    )
}

fn nested(sequence: &mut Sequence, row: u64) -> String {
    let lines: Vec<String> = (0..=sequence.below(3))
        .map(|_| {
            let (sku, count, price) = (
                sequence.below(99_999),
                sequence.below(20),
                sequence.below(9_999),
            );
            format!(
                r#"{{"M":{{"sku":{{"S":"sku-{sku:05}"}},"count":{{"N":"{count}"}},"price":{{"N":"{price}.5"}}}}}}"#
            )
        })
        .collect();
    let customer = sequence.below(1_000_000);
    format!(
        r#"{{"Item":{{"id":{{"S":"order#{row:09}"}},"customer":{{"M":{{"id":{{"N":"{customer}"}},"name":{{"S":"Zoë Müller {customer}"}},"address":{{"M":{{"city":{{"S":"Springfield"}},"zip":{{"S":"{:05}"}}}}}}}}}},"lines":{{"L":[{}]}},"tags":{{"SS":["new","paid"]}},"codes":{{"NS":["1","{}"]}},"note":{{"NULL":true}},"blob":{{"B":"aGVsbG8gd29ybGQ="}}}}}}"#,
        customer % 99_999,
        lines.join(","),
        customer + 2
    )
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, work, megabytes] = &arguments[..] else {
        panic!("expected flat or nested, json, changes, entity or none, and megabytes");
    };
    let bytes = megabytes.parse::<usize>().expect("megabytes") << 20;
    let make = if kind == "flat" { flat } else { nested };
    let mut sequence = Sequence(1);
    let mut block = String::new();
    let mut ends = vec![0];
    for row in 0.. {
        if block.len() >= BLOCK {
            break;
        }
        block.push_str(&make(&mut sequence, row));
        block.push('\n');
        ends.push(block.len());
    }
    let lines: Vec<&[u8]> = ends
        .windows(2)
        .map(|pair| &block.as_bytes()[pair[0]..pair[1]])
        .collect();
    let mut json = JsonEncoder::new(LineForm::Full, Shaping::default());
    let snapshot = Snapshot {
        id: "01768386000000-a1b2c3d4".to_owned(),
        source: SnapshotSource::Export,
        snapshot_time: 1_768_386_000,
        window_start: None,
    };
    let keys = if kind == "flat" {
        vec!["account", "offer_id"]
    } else {
        vec!["id"]
    };
    let keys = keys.into_iter().map(str::to_owned).collect();
    let mut changes = ChangeEncoder::new(LineForm::Full, snapshot, keys);
    let (mut out, mut read, mut written) = (Vec::new(), 0, 0);
    while read < bytes {
        for line in &lines {
            match work.as_str() {
                "json" => drop(json.add(line, &mut out).expect("a good line")),
                "changes" => drop(changes.add("file-0", line, &mut out).expect("a good line")),
                "entity" => drop(entity_of(line, LineForm::Full, "processed")),
                _ => {}
            }
            if out.len() > 1 << 20 {
                written += out.len();
                out.clear();
            }
        }
        read += block.len();
    }
    written += out.len();
    let mean = block.len() / lines.len();
    writeln!(
        std::io::stderr(),
        "{read} bytes read, {written} written, {mean} a line"
    )
    .expect("stderr is open");
}
