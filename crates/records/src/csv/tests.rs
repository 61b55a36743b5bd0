use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::text::{Encoding, TextDecoder};

/// What a splitter gives, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Row {
        fields: Vec<Vec<u8>>,
        raw: Vec<u8>,
        line: u64,
        byte_offset: u64,
    },
    Broken {
        raw: Vec<u8>,
        raw_len: u64,
        fault: &'static str,
        line: u64,
        byte_offset: u64,
    },
}

const START: Position = Position {
    line: 1,
    byte_offset: 0,
};

fn fault_name(fault: RecordFault) -> &'static str {
    match fault {
        RecordFault::InvalidUtf8 { .. } => "utf-8",
        RecordFault::UnclosedQuote => "quote",
        RecordFault::TooLong { .. } => "long",
    }
}

fn owned(split: Split<'_>) -> Option<Found> {
    match split {
        Split::Row(record) => Some(Found::Row {
            fields: record
                .fields()
                .map(|field| field.as_bytes().to_vec())
                .collect(),
            raw: record.raw.to_vec(),
            line: record.position.line,
            byte_offset: record.position.byte_offset,
        }),
        Split::Broken(broken) => Some(Found::Broken {
            raw: broken.raw.to_vec(),
            raw_len: broken.raw_len,
            fault: fault_name(broken.fault),
            line: broken.position.line,
            byte_offset: broken.position.byte_offset,
        }),
        Split::NeedMore | Split::End => None,
    }
}

/// Everything in `data`, fed in chunks of these sizes, and the position behind each record.
fn split(
    data: &[u8],
    chunk_sizes: &[usize],
    max_record_bytes: usize,
    start: Position,
) -> Vec<(Found, Position)> {
    let mut splitter = Splitter::new(
        Delimiter::Comma,
        Encoding::Utf8,
        start,
        Limits { max_record_bytes },
    );
    let mut rest = data;
    let mut sizes = chunk_sizes.iter().cycle();
    let mut found = Vec::new();
    loop {
        while let Some(next) = owned(splitter.next()) {
            found.push((next, splitter.position()));
        }
        if splitter.next() == Split::End {
            return found;
        }
        assert_eq!(splitter.next(), Split::NeedMore);
        let size = rest.len().min(*sizes.next().unwrap());
        let (chunk, others) = rest.split_at(size);
        splitter.feed(chunk);
        rest = others;
        if rest.is_empty() {
            splitter.finish();
        }
    }
}

fn found_in(data: &[u8], max_record_bytes: usize) -> Vec<Found> {
    let all = split(data, &[data.len().max(1)], max_record_bytes, START);
    all.into_iter().map(|(found, _)| found).collect()
}

/// The records of `data` as the csv crate sees them: fields, and where each ends, line ending's first byte included.
fn csv_records(data: &[u8]) -> Vec<(Vec<Vec<u8>>, usize)> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(data);
    let mut records = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).unwrap() {
        let fields = record.iter().map(<[u8]>::to_vec).collect();
        records.push((fields, usize::try_from(reader.position().byte()).unwrap()));
    }
    records
}

/// How many lines end in `data`.
fn naive_line_endings(data: &[u8]) -> u64 {
    let text: Vec<u8> = String::from_utf8_lossy(data)
        .replace("\r\n", "\n")
        .into_bytes();
    text.iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count() as u64
}

fn line_len(data: &[u8]) -> usize {
    data.iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(data.len())
}

/// The rules of the splitter, said naively over the whole file: take the first record that the csv crate finds; if it is
/// too long or open, take its first line instead.
fn reference(data: &[u8], max_record_bytes: usize) -> Vec<Found> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        while matches!(data.get(offset), Some(b'\n' | b'\r')) {
            offset += 1;
        }
        let rest = &data[offset..];
        let records = csv_records(rest);
        let Some((fields, end)) = records.first().cloned() else {
            return found;
        };
        let ends_with_file = records.len() == 1;
        let open = ends_with_file && csv_records(&[rest, b"\nZ"].concat()).len() == 1;
        let has_ending = !open && matches!(rest[end - 1], b'\n' | b'\r');
        let raw = &rest[..end - usize::from(has_ending)];
        let line = 1 + naive_line_endings(&data[..offset]);
        let byte_offset = offset as u64;
        let too_long = raw.len() > max_record_bytes;
        let consumed = if too_long || open {
            let raw = &rest[..line_len(rest)];
            let kept = match raw.len() > max_record_bytes {
                true => max_record_bytes + 1,
                false => raw.len(),
            };
            found.push(Found::Broken {
                raw: raw[..kept].to_vec(),
                raw_len: raw.len() as u64,
                fault: if too_long { "long" } else { "quote" },
                line,
                byte_offset,
            });
            raw.len()
        } else if std::str::from_utf8(raw).is_err() {
            found.push(Found::Broken {
                raw: raw.to_vec(),
                raw_len: raw.len() as u64,
                fault: "utf-8",
                line,
                byte_offset,
            });
            raw.len()
        } else {
            found.push(Found::Row {
                fields,
                raw: raw.to_vec(),
                line,
                byte_offset,
            });
            raw.len()
        };
        offset += consumed;
    }
}

/// Texts that are made of what matters to a splitter.
fn csv_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"a",
        b"bc",
        b",",
        b",",
        b"\"",
        b"\"",
        b"\"\"",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b";",
        b" ",
        b"\0",
        "é".as_bytes(),
        "😀".as_bytes(),
        b"\xe2",
        b"\x82\xac",
        b"\xff",
    ];
    vec(select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

/// The same with few quotes and good text, so that most of it is rows.
fn mild_csv_bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"a",
        b"bc",
        b",",
        b"\"x\"\"y\n\"",
        b"\n",
        b"\r\n",
        b"\r",
        b",\"\r\n,\"",
        "é".as_bytes(),
    ];
    vec(select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn finds_what_the_csv_crate_finds(
        data in prop_oneof![csv_bytes(), mild_csv_bytes()],
        chunk_sizes in vec(1usize..12, 1..6),
        max_record_bytes in prop_oneof![Just(1_000usize), 1usize..40],
    ) {
        let found = split(&data, &chunk_sizes, max_record_bytes, START);
        let found: Vec<Found> = found.into_iter().map(|(found, _)| found).collect();
        prop_assert_eq!(found, reference(&data, max_record_bytes));
    }

    #[test]
    fn goes_on_from_any_position(
        data in prop_oneof![csv_bytes(), mild_csv_bytes()],
        max_record_bytes in prop_oneof![Just(1_000usize), 1usize..40],
        stop in any::<proptest::sample::Index>(),
    ) {
        let all = split(&data, &[7], max_record_bytes, START);
        let (after, position) = match all.len() {
            0 => (0, START),
            len => (stop.index(len) + 1, all[stop.index(len)].1),
        };
        let rest = &data[usize::try_from(position.byte_offset).unwrap()..];
        prop_assert_eq!(&split(rest, &[5], max_record_bytes, position), &all[after..]);
    }

    #[test]
    fn reads_utf_16_as_the_same_text(
        text in "[a-cé€😀,\"\r\n]{0,60}",
        big_end_first in any::<bool>(),
        chunk_sizes in vec(1usize..7, 1..4),
    ) {
        let to_bytes = if big_end_first { u16::to_be_bytes } else { u16::to_le_bytes };
        let file: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(to_bytes).collect();
        let mut decoder = TextDecoder::new();
        let mut decoded = Vec::new();
        let mut rest = &file[..];
        for size in chunk_sizes.iter().cycle() {
            let (chunk, others) = rest.split_at(rest.len().min(*size));
            decoder.decode(chunk, &mut decoded);
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        decoder.finish(&mut decoded);
        prop_assert_eq!(&decoded, text.as_bytes());

        let start = Position { line: 1, byte_offset: decoder.encoding().bom_len() };
        let mut splitter = Splitter::new(Delimiter::Comma, decoder.encoding(), start, Limits::default());
        splitter.feed(&decoded);
        splitter.finish();
        let expected = reference(text.as_bytes(), Limits::default().max_record_bytes);
        for wanted in expected {
            let (wanted_raw, got) = match (&wanted, splitter.next()) {
                (Found::Row { raw, .. }, Split::Row(record)) => (raw, (record.raw.to_vec(), record.position)),
                (Found::Broken { raw, .. }, Split::Broken(record)) => (raw, (record.raw.to_vec(), record.position)),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(wanted_raw, &got.0);
            let at = usize::try_from(got.1.byte_offset).unwrap();
            let source: Vec<u8> =
                std::str::from_utf8(wanted_raw).unwrap().encode_utf16().flat_map(to_bytes).collect();
            prop_assert!(file[at..].starts_with(&source));
        }
        prop_assert_eq!(splitter.next(), Split::End);
    }
}

#[test]
fn says_in_which_field_the_text_is_not_utf_8() {
    let column = |data: &[u8]| {
        let mut splitter =
            Splitter::new(Delimiter::Comma, Encoding::Utf8, START, Limits::default());
        splitter.feed(data);
        splitter.finish();
        match splitter.next() {
            Split::Broken(BrokenRecord {
                fault: RecordFault::InvalidUtf8 { column },
                ..
            }) => column,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(column(b"\xff,b,c\n"), 0);
    assert_eq!(column(b"a,b,c\xe2\n"), 2);
    assert_eq!(column(b"a,\"b,\n\xff\",c\n"), 1);
    // The quote that is dropped between the bytes must not make one character of them.
    assert_eq!(column(b"a,\"\xe2\"\x82\xac,c\n"), 1);
}

#[test]
fn keeps_a_byte_order_mark_that_is_not_the_files() {
    let rows = found_in("\u{feff}a,\u{feff}b\n\u{feff}c\n".as_bytes(), 100);
    let fields: Vec<_> = rows
        .iter()
        .map(|row| match row {
            Found::Row { fields, .. } => String::from_utf8(fields.concat()).unwrap(),
            Found::Broken { .. } => panic!("{row:?}"),
        })
        .collect();
    assert_eq!(fields, ["\u{feff}a\u{feff}b", "\u{feff}c"]);
}

#[test]
fn passes_over_a_line_of_any_length_without_holding_it() {
    let limits = Limits::default();
    let mut splitter = Splitter::new(Delimiter::Comma, Encoding::Utf8, START, limits);
    let chunk = vec![b'x'; 1024 * 1024];
    let mut largest = 0;
    for _ in 0..20 {
        splitter.feed(&chunk);
        assert_eq!(splitter.next(), Split::NeedMore);
        largest = largest.max(splitter.held_bytes());
    }
    assert!(largest < 8 * 1024 * 1024, "{largest} bytes are held");
    splitter.feed(b"\na,b\n");
    match splitter.next() {
        Split::Broken(broken) => {
            assert_eq!(
                (broken.raw.len(), broken.raw_len),
                (64 * 1024, 20 * 1024 * 1024)
            );
            assert_eq!(fault_name(broken.fault), "long");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(splitter.next(), Split::Row(record) if record.position.line == 2));
}

#[test]
fn gives_up_one_line_where_a_quote_swallows_the_file() {
    let mut data = b"id,name\n1,\"open\n".to_vec();
    for row in 0..400_000 {
        data.extend_from_slice(format!("{row},name\n").as_bytes());
    }
    let found = found_in(&data, Limits::default().max_record_bytes);
    assert_eq!(found.len(), 400_002);
    let broken = Found::Broken {
        raw: b"1,\"open".to_vec(),
        raw_len: 7,
        fault: "long",
        line: 2,
        byte_offset: 8,
    };
    assert_eq!(found[1], broken);
    assert!(
        found[2..]
            .iter()
            .all(|row| matches!(row, Found::Row { fields, .. } if fields.len() == 2))
    );
}

/// The first record is too long, and the one on its second line, which has the same end, is not.
#[test]
fn takes_the_end_of_a_record_that_was_too_long() {
    let second = "b\"\"\",\"c\n\"d;e";
    let found = found_in(format!("\"a\n{second}").as_bytes(), second.len());
    match &found[..] {
        [
            Found::Broken {
                raw: first,
                fault: "long",
                ..
            },
            Found::Row { raw, line: 2, .. },
        ] => {
            assert_eq!((&first[..], &raw[..]), (&b"\"a"[..], second.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
}

/// Each of these lines leaves a quote open, whether it begins inside or outside of one.
#[test]
fn reads_a_file_of_open_quotes_once() {
    for (ending, fault) in [("", "quote"), ("\"\n", "long")] {
        let mut data = b"a,\"b\",\"c\"x,\"\n".repeat(2_000);
        data.extend_from_slice(ending.as_bytes());
        let mut splitter = Splitter::new(
            Delimiter::Comma,
            Encoding::Utf8,
            START,
            Limits {
                max_record_bytes: 10_000,
            },
        );
        splitter.feed(&data);
        splitter.finish();
        let (mut broken, mut last_fault) = (0, "");
        while let Some(found) = owned(splitter.next()) {
            if let Found::Broken { fault, .. } = found {
                broken += 1;
                last_fault = fault;
            }
        }
        assert!(broken > 1_200, "{broken} lines are broken");
        assert_eq!(last_fault, fault);
        assert!(
            splitter.parsed_bytes < 3 * data.len(),
            "{} of {} bytes",
            splitter.parsed_bytes,
            data.len()
        );
    }
}

#[test]
fn keeps_a_megabyte_of_a_broken_line() {
    let mut data = vec![b'x'; 1_500_000];
    data.extend_from_slice(b"\xff\nok\n");
    match &found_in(&data, Limits::default().max_record_bytes)[..] {
        [
            Found::Broken {
                raw,
                raw_len,
                fault,
                ..
            },
            Found::Row { line: 2, .. },
        ] => {
            assert_eq!(
                (raw.len(), *raw_len, *fault),
                (1024 * 1024, 1_500_001, "utf-8")
            );
        }
        other => panic!("{} records", other.len()),
    }
}

#[test]
fn takes_records_up_to_the_limit() {
    let long = |len: usize| [vec![b'x'; len], b"\n".to_vec()].concat();
    for (len, fits) in [(99, true), (100, true), (101, false)] {
        for cut in [1, 1_000] {
            let found = split(&long(len), &[cut], 100, START);
            assert_eq!(
                matches!(found[..], [(Found::Row { .. }, _)]),
                fits,
                "{len} bytes"
            );
        }
    }
}

#[test]
fn messages_read_alone() {
    let messages = [
        RecordFault::InvalidUtf8 { column: 1 },
        RecordFault::UnclosedQuote,
        RecordFault::TooLong {
            max_bytes: 2_097_152,
        },
    ]
    .map(|fault| fault.to_string());
    assert_eq!(
        messages,
        [
            "field 2 is not valid UTF-8",
            "a quote that begins on this line is never closed",
            "the record is longer than 2097152 bytes (is a quote left open on this line?)",
        ]
    );
}

#[test]
fn chooses_the_delimiter_of_the_header() {
    let cases: [(&str, &[&str], Delimiter); 9] = [
        ("id,name\n", &["id"], Delimiter::Comma),
        ("id;name\n", &["id"], Delimiter::Semicolon),
        ("id\tname\n", &[], Delimiter::Tab),
        ("id|name|more", &["absent"], Delimiter::Pipe),
        // The wanted column decides, not the number of columns.
        ("id;\"a,b,c,d\";x,y,z\n", &["id"], Delimiter::Semicolon),
        ("a,b;c\n", &[], Delimiter::Comma),
        ("id\n", &["id"], Delimiter::Comma),
        (
            "\n\n\"id\";name\r\n1;2,3,4,5\n",
            &["name"],
            Delimiter::Semicolon,
        ),
        ("", &["id"], Delimiter::Comma),
    ];
    for (header, wanted, delimiter) in cases {
        assert_eq!(
            choose_delimiter(header.as_bytes(), wanted),
            delimiter,
            "{header:?}"
        );
    }
}
