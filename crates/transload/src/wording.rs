//! How counts, times and names are written for people, in results and messages alike.

use indicatif::HumanCount;

/// `1 row`, `2,000 rows`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", HumanCount(count)),
    }
}

/// A line of a result: a count under the others, and what was counted.
pub(crate) fn count_line(count: u64, what: &str) -> String {
    format!("  {:>13} {what}", HumanCount(count).to_string())
}

/// Seconds as `6 h 57 min`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `"id", "name"`: names of columns or sheets; long ones and many of them are cut short.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(SHOWN).map(shortened).collect();
    match names.count() {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn shortened(name: &str) -> String {
    const SHOWN: usize = 60;
    match name.char_indices().nth(SHOWN) {
        None => format!("{name:?}"),
        Some((end, _)) => format!("{:?}…", &name[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_its_word() {
        assert_eq!(
            [0, 1, 2_000].map(|count| counted(count, "row")),
            ["0 rows", "1 row", "2,000 rows"]
        );
        assert_eq!(count_line(1_234, "rows"), "          1,234 rows");
    }

    #[test]
    fn a_duration_has_two_units() {
        let texts = [0, 59, 60, 3_599, 3_600, 25_000].map(duration);
        assert_eq!(
            texts,
            [
                "0 s",
                "59 s",
                "1 min 0 s",
                "59 min 59 s",
                "1 h 0 min",
                "6 h 56 min"
            ]
        );
    }

    #[test]
    fn many_names_and_long_ones_are_cut_short() {
        assert_eq!(quoted([]), "none");
        assert_eq!(quoted(["id", "a b"]), "\"id\", \"a b\"");
        let long = "é".repeat(61);
        assert_eq!(quoted([long.as_str()]), format!("\"{}\"…", "é".repeat(60)));
        assert!(quoted(["x"; 23]).ends_with("\"x\" and 3 more"));
    }
}
