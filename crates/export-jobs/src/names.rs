//! What jobs and objects are called: functions of table, window and data file alone.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use records::changes::{SnapshotSource, hour_folder};

use crate::settings::Settings;

/// What Hive escapes in the value of a partition, and a space, which few tools expect in a key. As in Hive, no character beyond
/// ASCII is: Spark makes a character of each byte that is escaped (`ExternalCatalogUtils.unescapePathName`).
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'\'')
    .add(b'*')
    .add(b'/')
    .add(b':')
    .add(b'=')
    .add(b'?')
    .add(b'\\')
    .add(b'{')
    .add(b'[')
    .add(b']')
    .add(b'^');

/// The ledger's `job` of a window of a table's exports.
pub fn export_job(table: &str, window: &str) -> String {
    format!("export/{table}/{window}")
}

/// The ledger's `job` of the row that says how far the chain of a table's incremental exports is.
pub fn chain_job(table: &str) -> String {
    format!("export/{table}/incremental")
}

/// The ledger's `part` of that row.
pub const CHAIN_PART: &str = "chain";

/// The ledger's `job` of a scan.
pub fn scan_job(table: &str, scan: &str) -> String {
    format!("scan/{table}/{scan}")
}

/// The ledger's `part` of a segment.
pub fn segment_part(segment: u32) -> String {
    format!("segment-{segment:04}")
}

/// The name of a data file in the ledger: what follows the last slash of its key.
pub fn file_part(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// What the names of a data file's objects begin with: its name up to the first dot.
pub fn stem(key: &str) -> &str {
    let name = file_part(key);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

/// `tables/offers/tl_export=full-20261121T040000Z/`: all that was made of a window.
pub fn window_folder(table: &str, window: &str) -> String {
    format!("tables/{table}/tl_export={window}/")
}

/// The object that says that a window is whole.
pub fn success_object(table: &str, window: &str) -> String {
    format!("{}_SUCCESS.json", window_folder(table, window))
}

/// An entity as it is spelled in the names of objects.
pub fn entity_in_paths(entity: &str) -> String {
    entity
        .split_inclusive(|character: char| !character.is_ascii())
        .flat_map(|run| {
            let ascii = run.trim_end_matches(|character: char| !character.is_ascii());
            let beyond = &run[ascii.len()..];
            utf8_percent_encode(ascii, ESCAPED).chain([beyond])
        })
        .collect()
}

/// One object of a window's data: `tables/offers/tl_export=full-…/tl_type=item/aaaa-00000.jsonl.gz`.
pub fn table_object(
    table: &str,
    window: &str,
    entity: &str,
    stem: &str,
    split: u32,
    settings: &Settings,
) -> String {
    format!(
        "{}tl_type={}/{stem}-{split:05}{}",
        window_folder(table, window),
        entity_in_paths(entity),
        settings.suffix()
    )
}

/// One object of change records. `id` is the export's or the scan's, `seconds` the snapshot's time.
pub fn change_object(
    table: &str,
    source: SnapshotSource,
    seconds: u64,
    id: &str,
    stem: &str,
    split: u32,
    settings: &Settings,
) -> String {
    format!(
        "{}{id}-{stem}-{split:05}{}",
        hour_folder(table, source.name(), seconds),
        settings.suffix()
    )
}

/// A declared schema, by a digest of its text.
pub fn declared_schema_object(table: &str, digest: &str) -> String {
    format!("schemas/table={table}/declared-{digest}.json")
}

/// The inferred schema of a window.
pub fn schema_object(table: &str, window: &str) -> String {
    format!("schemas/table={table}/{window}.json")
}

/// What was inferred from one data file.
pub fn partial_schema_object(table: &str, window: &str, stem: &str) -> String {
    format!("schemas/table={table}/{window}/{stem}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Format;
    use records::changes::Codec;

    #[test]
    fn names_are_functions_of_table_window_and_file() {
        let settings = Settings {
            format: Format::JsonLines,
            codec: Codec::Gzip,
            split_bytes: 1 << 20,
            shaping: None,
            schema: None,
            discriminator: None,
        };
        let key = "exports/AWSDynamoDB/01790000000000-aaaaaaaa/data/abcd.json.gz";
        assert_eq!(file_part(key), "abcd.json.gz");
        assert_eq!(
            table_object("offers", "full-x", "a/b c", stem(key), 3, &settings),
            "tables/offers/tl_export=full-x/tl_type=a%2Fb%20c/abcd-00003.jsonl.gz"
        );
        assert_eq!(
            change_object(
                "offers",
                SnapshotSource::Export,
                1_768_386_000,
                "01790000000000-aaaaaaaa",
                stem(key),
                0,
                &settings
            ),
            "changes/table=offers/source=export/dt=2026-01-14/hour=10/01790000000000-aaaaaaaa-abcd-00000.jsonl.gz"
        );
        for (entity, spelled) in [
            ("été", "été"),
            ("é/ü%日本 x", "é%2Fü%25日本%20x"),
            ("日本", "日本"),
            ("\u{7f}a\n", "%7Fa%0A"),
            ("", ""),
        ] {
            assert_eq!(entity_in_paths(entity), spelled);
        }
        assert_eq!(
            success_object("offers", "full-x"),
            "tables/offers/tl_export=full-x/_SUCCESS.json"
        );
    }
}
