//! The pass against a naive reading of the same text.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// What a few lines with the csv crate and a map find out.
#[derive(Debug, Default, PartialEq)]
struct Naive {
    rows: u64,
    bad: u64,
    items: u64,
    surplus: u64,
    repeated: u64,
    bytes: u64,
    largest: u64,
    units: u64,
    empty_cells: u64,
    entries: u64,
    hottest: u64,
}

fn naive(texts: &[String]) -> Naive {
    let mut all = Naive::default();
    let mut keys: HashMap<(String, u64), u64> = HashMap::new();
    let mut flags: HashMap<String, u64> = HashMap::new();
    for text in texts {
        let mut reader = ::csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        for record in reader.records() {
            let record = record.unwrap();
            all.rows += 1;
            if record.len() != header.len() {
                all.bad += 1;
                continue;
            }
            let cells: HashMap<&str, &str> = header.iter().zip(&record).collect();
            all.empty_cells += cells.values().filter(|cell| cell.is_empty()).count() as u64;
            let number = cells["n"].parse::<f64>();
            let (Ok(number), false) = (number, cells["id"].is_empty()) else {
                all.bad += 1;
                continue;
            };
            let mut size = 0;
            for (name, cell) in &cells {
                if *name == "n" {
                    // One to nine: two bytes.
                    size += 1 + 2;
                } else if !cell.is_empty() {
                    size += name.len() + cell.len();
                }
            }
            let size = size as u64;
            all.bytes += size;
            all.largest = all.largest.max(size);
            all.units += size.div_ceil(1024);
            *keys
                .entry((cells["id"].to_owned(), number.to_bits()))
                .or_default() += 1;
            if !cells["flag"].is_empty() {
                all.entries += 1;
                *flags.entry(cells["flag"].to_owned()).or_default() += 1;
            }
        }
    }
    all.items = keys.len() as u64;
    all.repeated = keys.values().filter(|count| **count > 1).count() as u64;
    all.surplus = keys.values().map(|count| count - 1).sum();
    all.hottest = flags.values().copied().max().unwrap_or(0);
    all
}

fn row() -> impl Strategy<Value = Vec<String>> {
    let id = prop_oneof!["[ab\"é]{1,2}", Just(String::new())];
    let number = prop_oneof![
        4 => "[1-9]",
        1 => "0[1-9]\\.0",
        1 => Just("x".to_owned()),
        1 => Just(String::new())
    ];
    let flag = prop_oneof![
        Just("false".to_owned()),
        Just("true".to_owned()),
        Just(String::new())
    ];
    let note = prop_oneof![
        8 => "[a-z,;\"\n é]{0,8}",
        1 => (0..3_000usize).prop_map(|length| "w".repeat(length))
    ];
    (id, number, flag, note, 0..12u8).prop_map(|(id, number, flag, note, ragged)| {
        let mut row = vec![id, number, flag, note];
        match ragged {
            0 => row.truncate(3),
            1 => row.push("more".to_owned()),
            _ => {}
        }
        row
    })
}

fn csv_text(rows: &[Vec<String>]) -> String {
    let mut writer = ::csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new());
    writer.write_record(["id", "n", "flag", "note"]).unwrap();
    for row in rows {
        writer.write_record(row).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_a_naive_reading(
        objects in prop::collection::vec(prop::collection::vec(row(), 1..20), 1..4),
        chunk in 1..2_000usize,
        zipped in any::<bool>(),
    ) {
        let texts: Vec<String> = objects.iter().map(|rows| csv_text(rows)).collect();
        let bodies: Vec<(String, Vec<u8>)> = texts
            .iter()
            .enumerate()
            .map(|(nth, text)| {
                let body = if zipped { gzip(text.as_bytes()) } else { text.clone().into_bytes() };
                (nth.to_string(), body)
            })
            .collect();
        let bodies: Vec<(&str, Vec<u8>)> =
            bodies.iter().map(|(name, body)| (name.as_str(), body.clone())).collect();
        let shape = shape("id,n:N", &["by-flag:flag"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let preflight = runtime.block_on(of_objects(&bodies, &shape, chunk));
        let empty_cells = preflight
            .findings
            .iter()
            .find(|finding| finding.kind == Kind::EmptyCells)
            .map_or(0, |finding| finding.count);
        let index = &preflight.indexes[0];
        let ours = Naive {
            rows: preflight.rows,
            bad: preflight.bad_rows,
            items: preflight.items,
            surplus: preflight.duplicate_rows,
            repeated: preflight.repeated_keys,
            bytes: preflight.item_bytes,
            largest: preflight.largest_item_bytes,
            units: preflight.table_units,
            empty_cells,
            entries: index.entries,
            hottest: index.hottest.as_ref().map_or(0, |hottest| hottest.rows_at_least),
        };
        prop_assert_eq!(ours, naive(&texts));
        prop_assert_eq!(preflight.uncompressed_bytes, texts.iter().map(|text| text.len() as u64).sum::<u64>());
    }
}
