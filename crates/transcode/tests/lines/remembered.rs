//! What an encoder keeps between lines, and what it looks at many bytes at a time, change no result.

use crate::json::encode;
use crate::spelling::{Speller, attributes, spoil};
use proptest::prelude::*;
use transcode::{JsonEncoder, LineForm, Shaping};

#[test]
fn a_name_that_is_there_twice_is_found_where_names_are_expected_from_lines_before() {
    // Names of all lengths, and more than an encoder remembers.
    let names: Vec<String> = (0..80)
        .map(|index| "n".repeat(index % 40) + &index.to_string())
        .collect();
    let line = |members: &[String]| {
        format!(
            "{{\"Item\":{{\"m\":{{\"M\":{{{}}}}}}}}}\n",
            members.join(",")
        )
    };
    let members: Vec<String> = names
        .iter()
        .map(|name| format!("\"{name}\":{{\"N\":\"1\"}}"))
        .collect();
    let mut encoder = JsonEncoder::new(LineForm::Full, Shaping::default());
    let mut out = Vec::new();
    for _ in 0..2 {
        encoder.add(line(&members).as_bytes(), &mut out).unwrap();
        for (twin, name) in names.iter().enumerate() {
            let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
            for place in [0, twin, twin + 1, names.len()] {
                for name in [name, &escaped] {
                    let mut members = members.clone();
                    members.insert(place, format!("\"{name}\":{{\"BOOL\":true}}"));
                    let fault = encoder
                        .add(line(&members).as_bytes(), &mut out)
                        .unwrap_err();
                    assert!(
                        fault.to_string().contains("is there twice"),
                        "{name}: {fault}"
                    );
                }
            }
            // Without it there is nothing wrong, whatever was expected.
            let mut members = members.clone();
            members.remove(twin);
            encoder.add(line(&members).as_bytes(), &mut out).unwrap();
            members.push(format!("\"{escaped}\":{{\"BOOL\":true}}"));
            encoder.add(line(&members).as_bytes(), &mut out).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn lines_before_a_line_change_nothing(
        items in prop::collection::vec(attributes(), 1..4), seed in any::<u64>(),
    ) {
        let mut encoder = JsonEncoder::new(LineForm::Full, Shaping::default());
        for turn in 0..3 {
            for item in &items {
                let (line, _) = Speller::new(seed).full_line(item);
                for line in [line.clone().into_bytes(), spoil(&line, seed ^ turn), line.into_bytes()] {
                    let mut out = Vec::new();
                    let added = encoder.add(&line, &mut out).map(|_| String::from_utf8(out).unwrap());
                    let wanted = encode(LineForm::Full, &line).map(|json| json + "\n");
                    prop_assert_eq!(added, wanted, "{}", String::from_utf8_lossy(&line));
                }
            }
        }
    }
}

#[test]
fn what_is_no_utf8_and_control_characters_are_found_at_each_place() {
    // The letters are looked at many at a time.
    for length in 0..80 {
        for (bad, expected) in [
            (&b"\xc3"[..], "UTF-8"),
            (b"\xc3\xa9\xa9", "UTF-8"),
            (b"\x1f", "no control character"),
            (b"\xc3\xa9\n", "no control character"),
        ] {
            let before = [
                &b"{\"Item\":{\"a\":{\"S\":\""[..],
                "é".as_bytes(),
                &b"a".repeat(length),
            ]
            .concat();
            let good = [&before, &b"b\"}}}\n"[..]].concat();
            assert!(encode(LineForm::Full, &good).is_ok());
            for behind in [
                &b"\"}}}\n"[..],
                b"bcdefghijklmnopqrstuvwxyzabcdefghijkl\"}}}\n",
            ] {
                let line = [&before, bad, behind].concat();
                let fault = encode(LineForm::Full, &line).unwrap_err().to_string();
                let at = before.len() + bad.len() - 1;
                let at = if bad.len() == 1 { before.len() } else { at };
                assert!(
                    fault.contains(&format!("at byte {at}: expected {expected}")),
                    "{length}: {fault}"
                );
            }
        }
    }
}

#[test]
fn a_name_with_escapes_is_found_again_without_them() {
    let fault = encode(
        LineForm::Full,
        br#"{"Item":{"\u0061bc":{"S":""},"abc":{"S":"a value of any length"}}}"#,
    )
    .unwrap_err();
    assert!(fault.to_string().contains("is there twice"), "{fault}");
}
