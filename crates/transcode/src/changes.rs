//! Lines of the change log.

use std::io::Write;

use records::MAX_DEPTH;
use records::changes::{MAX_EVENT_ID_BYTES, SnapshotSource};

use crate::Added;
use crate::fault::LineFault;
use crate::line::{Line, LineForm, Part};
use crate::names::Names;
use crate::splice::{self, Nothing, Sink};
use crate::text::Text;
use crate::walk::{Tag, Walk};

/// The last second that the log can have, in the year 9998.
const LAST_SECOND: u64 = 253_370_764_799;
/// DynamoDB's limit on a partition key; a sort key's is less (Developer Guide, "Quotas").
const MAX_KEY_BYTES: usize = records::MAX_PARTITION_KEY_BYTES;
const KEYS: &str = "the one or two key attributes, each an S, N or B of at most 2,048 bytes";

/// What the lines are a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What event ids begin with: the export's id, or `scan-<snapshot time>`.
    pub id: String,
    /// What made it.
    pub source: SnapshotSource,
    /// Seconds from 1970: of a full export, the beginning of a scan, or the first second after a window.
    pub snapshot_time: u64,
    /// The first second of an incremental export's window; nothing for the others.
    pub window_start: Option<u64>,
}

/// Makes a line of the change log, as `docs/CHANGES.md` has it, of each line of an export.
///
/// A full line is an INSERT of its item. An incremental line is a MODIFY with the new image, or a REMOVE if it has none. Keys
/// and images are the bytes of the line, but for line endings between tokens.
#[derive(Debug)]
pub struct ChangeEncoder {
    form: LineForm,
    key_names: Vec<String>,
    /// Before the ordinal of the event id.
    head: Vec<u8>,
    /// Behind the event id, up to the time of the change; of a full line, with it.
    kept: Vec<u8>,
    removed: Vec<u8>,
    id: String,
    /// Whether `id` can be a part of an event id.
    is_good_id: bool,
    names: Names,
}

impl ChangeEncoder {
    /// An encoder of lines of this form; `key_names` are the table's key attributes, partition key first. Incremental lines name
    /// their keys themselves.
    pub fn new(form: LineForm, snapshot: Snapshot, key_names: Vec<String>) -> Self {
        let behind_id = |kind: &str| {
            let start = match snapshot.window_start {
                Some(start) => format!(",\"windowStart\":{start}"),
                None => String::new(),
            };
            format!(
                "\",\"eventName\":\"{kind}\",\"source\":\"{}\",\"snapshotTime\":{}{start},\
                 \"dynamodb\":{{\"ApproximateCreationDateTime\":",
                snapshot.source.name(),
                snapshot.snapshot_time,
            )
            .into_bytes()
        };
        Self {
            form,
            key_names,
            head: format!("{{\"eventID\":\"{}-", snapshot.id).into_bytes(),
            kept: match form {
                LineForm::Full => {
                    let mut kept = behind_id("INSERT");
                    push_seconds(snapshot.snapshot_time, &mut kept);
                    kept
                }
                LineForm::Incremental => behind_id("MODIFY"),
            },
            removed: behind_id("REMOVE"),
            is_good_id: is_good_id(&snapshot.id),
            id: snapshot.id,
            names: Names::default(),
        }
    }

    /// Appends the line of the log, with `\n` behind it. `ordinal` is what its event id ends in, and must be another one for
    /// each line: `<file stem>-<line from 0>`.
    ///
    /// # Errors
    /// If the line is none of its form, or has no key, or the event id is none; `out` is then as it was.
    pub fn add(
        &mut self,
        ordinal: &str,
        line: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Added, LineFault> {
        self.check_id(ordinal)?;
        let start = out.len();
        out.reserve(line.len() + self.head.len() + self.removed.len() + 128);
        self.names.clear();
        let line = Line::open(line, self.form)?;
        let added = match self.form {
            LineForm::Full => self.full(ordinal, line, out),
            LineForm::Incremental => self.incremental(ordinal, line, out),
        };
        match added {
            Ok(()) => out.extend_from_slice(b"}}\n"),
            Err(_) => out.truncate(start),
        }
        added.map(|()| Added::Written)
    }

    /// What the log's readers take for an event id.
    fn check_id(&self, ordinal: &str) -> Result<(), LineFault> {
        let fits = self.id.len() + 1 + ordinal.len() <= MAX_EVENT_ID_BYTES;
        match fits && self.is_good_id && is_good_id(ordinal) {
            true => Ok(()),
            false => Err(LineFault::named(
                "event id",
                &format!("{}-{ordinal}", self.id),
                "cannot be one of the log",
                "at most 200 letters, digits, '-', '_' and '.'",
            )),
        }
    }

    fn full(
        &mut self,
        ordinal: &str,
        mut line: Line<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), LineFault> {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(ordinal.as_bytes());
        out.extend_from_slice(&self.kept);
        while line.next_part()?.is_some() {
            self.item(&mut line.walk, out)?;
        }
        Ok(())
    }

    /// Appends the keys and the item at which the walk stands.
    fn item(&mut self, walk: &mut Walk<'_>, out: &mut Vec<u8>) -> Result<(), LineFault> {
        walk.peek();
        let start = walk.offset();
        let mut keys = KeyPlaces {
            names: &self.key_names,
            places: [None; 2],
        };
        splice::item(walk, &mut self.names, &mut keys)?;
        let places = keys.places;
        out.extend_from_slice(b",\"Keys\":{");
        for (index, key_name) in self.key_names.iter().enumerate() {
            let Some(place) = places.get(index).copied().flatten() else {
                return Err(LineFault::named(
                    "key attribute",
                    key_name,
                    "is not in the item",
                    "an item with all key attributes of its table",
                ));
            };
            if index > 0 {
                out.push(b',');
            }
            let mut key = *walk;
            key.go_to(place.value);
            let before = key;
            let value = key.value(&mut self.names, MAX_DEPTH)?;
            check_key(before, value)?;
            out.extend_from_slice(&walk.bytes()[place.name.0..place.name.1]);
            out.push(b':');
            push_one_line(walk, value, out);
        }
        out.extend_from_slice(b"},\"NewImage\":");
        push_one_line(walk, &walk.bytes()[start..walk.offset()], out);
        Ok(())
    }

    fn incremental(
        &mut self,
        ordinal: &str,
        mut line: Line<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), LineFault> {
        let (mut seconds, mut keys) = (0, &[][..]);
        let (mut new_image, mut old_image) = (None, None);
        while let Some(part) = line.next_part()? {
            match part {
                Part::WriteMicros(micros) => {
                    seconds = micros / 1_000_000;
                    if seconds > LAST_SECOND {
                        return Err(line
                            .walk
                            .expected("WriteTimestampMicros before the year 9999"));
                    }
                }
                Part::Keys => {
                    self.check_keys(line.walk)?;
                    keys = line.walk.item(&mut self.names)?;
                }
                Part::Item | Part::NewImage => new_image = Some(line.walk.item(&mut self.names)?),
                Part::OldImage => old_image = Some(line.walk.item(&mut self.names)?),
            }
        }
        out.extend_from_slice(&self.head);
        out.extend_from_slice(ordinal.as_bytes());
        out.extend_from_slice(match new_image {
            Some(_) => &self.kept,
            None => &self.removed,
        });
        push_seconds(seconds, out);
        out.extend_from_slice(b",\"Keys\":");
        push_one_line(&line.walk, keys, out);
        for (name, image) in [("NewImage", new_image), ("OldImage", old_image)] {
            if let Some(image) = image {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                push_one_line(&line.walk, image, out);
            }
        }
        Ok(())
    }

    /// Whether a table can have these keys.
    fn check_keys(&mut self, mut walk: Walk<'_>) -> Result<(), LineFault> {
        let fault = walk;
        let mut members = walk.object()?;
        let mut count = 0;
        while walk.member(&mut members, &mut self.names)?.is_some() {
            let before = walk;
            let value = walk.value(&mut self.names, MAX_DEPTH)?;
            check_key(before, value)?;
            count += 1;
        }
        match (1..=2).contains(&count) {
            true => Ok(()),
            false => Err(fault.expected(KEYS)),
        }
    }
}

/// Finds the key attributes of an item while it is checked.
struct KeyPlaces<'k> {
    names: &'k [String],
    places: [Option<KeyPlace>; 2],
}

#[derive(Clone, Copy)]
struct KeyPlace {
    /// Where the name is in the line, with its quotes.
    name: (usize, usize),
    /// Where the value begins.
    value: usize,
}

impl Sink for KeyPlaces<'_> {
    #[inline(always)]
    fn copy(&mut self, _: &[u8], _: usize, _: usize) {}

    #[inline(always)]
    fn put(&mut self, _: &[u8]) {}

    #[inline(always)]
    fn member(&mut self, name: &Text<'_>, value: usize, levels: usize) {
        if levels == MAX_DEPTH
            && let Some(key) = self.names.iter().position(|key| name.is(key))
        {
            self.places[key.min(1)] = Some(KeyPlace {
                name: (name.start() - 1, name.end() + 1),
                value,
            });
        }
    }

    fn put_canonical(&mut self, text: &Text<'_>) -> bool {
        Nothing.put_canonical(text)
    }
}

/// Whether the value at which the walk stands can be a key.
fn check_key(mut walk: Walk<'_>, value: &[u8]) -> Result<(), LineFault> {
    let start = walk.offset();
    let bytes = match walk.tag()? {
        // No text is longer than its JSON.
        Tag::S | Tag::N | Tag::B if value.len() <= MAX_KEY_BYTES => 0,
        Tag::S => {
            let text = walk.string()?;
            match text.is_escaped() {
                true => text.to_text().len(),
                false => text.raw().len(),
            }
        }
        Tag::N => walk.number().map(|_| 0)?,
        Tag::B => {
            let text = walk.binary()?.to_text();
            let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
            text.len() / 4 * 3 - padding
        }
        _ => return Err(LineFault::at(start, KEYS)),
    };
    match bytes <= MAX_KEY_BYTES {
        true => Ok(()),
        false => Err(LineFault::at(start, KEYS)),
    }
}

/// Whether event ids can have this in them.
fn is_good_id(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(good)
}

fn push_seconds(seconds: u64, out: &mut Vec<u8>) {
    write!(out, "{seconds}").expect("a Vec takes all bytes");
}

/// Appends JSON of a line without its line endings, which can only stand between its tokens.
fn push_one_line(walk: &Walk<'_>, json: &[u8], out: &mut Vec<u8>) {
    match walk.has_controls() {
        false => out.extend_from_slice(json),
        true => out.extend(json.iter().filter(|byte| !b"\n\r".contains(byte))),
    }
}
