//! Records of a stream, made up: changes of the items of a shop, in the shape that DynamoDB Streams gives them
//! (NEW_AND_OLD_IMAGES), with every type of attribute that there is, as far as a record has room.

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::endpoint::TABLE;

/// 2026-01-09T11:59:57Z, so that the second batch is of two hours.
const START_SECONDS: u64 = 1_767_959_997;
/// What a batch covers.
const SECONDS_OF_A_BATCH: u64 = 2;
const FIRST_SEQUENCE: u128 = 1_405_400_000_000_009_334_018_871;

/// In an item with less room only a counter changes.
const SMALL_ITEM_BYTES: usize = 250;
/// What an image's name, its braces and the counter take at most.
const COUNTER_BYTES: usize = 40;
/// The same with all attributes that change.
const CHANGING_BYTES: usize = 170;

/// Ordinary words, a few that are not plain ASCII, and a few with what JSON escapes.
pub(crate) const WORDS: &str = "about again allow amount answer apple area arrive basket because before begin below better blue bottle \
    bread bridge bring brother build butter button call camera careful carry castle catch centre chair change cheap check \
    child choose circle city clean clear clock close cloth coast coffee cold colour comfort common copper corner cotton \
    country cover cream cross cushion dark daughter decide deep desk dinner direct double draw dress drive during early \
    east edge effect eight engine enough evening every example exchange family farm father feather field figure final \
    finger finish first flower follow forest forward fresh friend front fruit garden gentle glass gold grain green grey \
    ground group handle happy harbour heavy height history holiday honey horse house hundred island jacket journey kettle \
    kitchen label ladder lamp large leather length letter light linen little lunch machine market matter measure metal \
    middle minute mirror modern money month morning mountain music narrow natural needle night north number ocean office \
    orange order other oven paper parcel pattern pencil people person picture piece pillow place plain plant plate pocket \
    point porcelain price printed prompt quality quarter question quick quiet railway rather ready reason record ribbon \
    river road round rubber sail salt sand season second shade shape sharp sheet shelf short shoulder silver simple single \
    small smooth soap soft south spring square stamp station steel stone straight street string strong sugar summer \
    supper surface table thick thread ticket tight today together towel travel tray under value velvet village walnut \
    warm water weather weight west wheel white window winter within wood wool yellow Größe Señor crème 花 \\\"new\\\" 5″ \
    line\\nbreak";

/// Makes one record after the other; the same ones each time.
#[derive(Debug)]
pub(super) struct Changes {
    random: ChaCha8Rng,
    words: Vec<&'static str>,
    records_each: u64,
    made: u64,
    sequence: u128,
    record: String,
}

/// What happens to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Insert,
    Modify,
    Remove,
    /// By its time to live.
    Expire,
}

impl Changes {
    /// `records_each` of them are a batch.
    pub(super) fn new(records_each: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(records_each),
            words: WORDS.split(' ').filter(|word| !word.is_empty()).collect(),
            records_each,
            made: 0,
            sequence: FIRST_SEQUENCE,
            record: String::new(),
        }
    }

    /// The next record, if it is one of `records_left` that have room in `bytes_left` bytes.
    pub(super) fn next_record(&mut self, bytes_left: usize, records_left: u64) -> &str {
        let fair = bytes_left as u64 / records_left;
        let wanted = fair * (60 + self.below(80)) / 100;
        let bytes = usize::try_from(wanted.min((bytes_left as u64).saturating_sub(1)))
            .unwrap_or(usize::MAX);
        let kind = match self.below(20) {
            0..4 => Kind::Insert,
            4 => Kind::Remove,
            5 => Kind::Expire,
            _ => Kind::Modify,
        };
        let seconds = START_SECONDS + self.made * SECONDS_OF_A_BATCH / self.records_each;
        self.made += 1;
        self.sequence += u128::from(1 + self.below(900));
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        self.write_record(&mut record, kind, seconds, bytes);
        self.record = record;
        &self.record
    }

    fn write_record(&mut self, out: &mut String, kind: Kind, seconds: u64, bytes: usize) {
        let (name, images) = match kind {
            Kind::Insert => ("INSERT", &["NewImage"][..]),
            Kind::Modify => ("MODIFY", &["NewImage", "OldImage"][..]),
            Kind::Remove | Kind::Expire => ("REMOVE", &["OldImage"][..]),
        };
        let keys = format!(r#""id":{{"S":"{:010}"}}"#, self.below(10_000_000_000));
        let id = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        add(
            out,
            format_args!(
                r#"{{"eventID":"{id:032x}","eventName":"{name}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{{"ApproximateCreationDateTime":{seconds}.0,"Keys":{{{keys}}}"#
            ),
        );
        let after = format!(
            r#","SequenceNumber":"{}","SizeBytes":{bytes},"StreamViewType":"NEW_AND_OLD_IMAGES"}},"eventSourceARN":"arn:aws:dynamodb:us-east-1:111122223333:table/{TABLE}/stream/2026-01-01T00:00:00.000"{}}}"#,
            self.sequence,
            match kind {
                Kind::Expire =>
                    r#","userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#,
                _ => "",
            }
        );
        let room = bytes.saturating_sub(out.len() + after.len()) / images.len();
        let revision = 2 + self.below(90);
        let (mut lasting, mut number) = (String::new(), 0);
        let is_small = room < SMALL_ITEM_BYTES;
        let begun = keys.len()
            + if is_small {
                COUNTER_BYTES
            } else {
                CHANGING_BYTES
            };
        loop {
            let attribute = self.attribute(number);
            if begun + lasting.len() + attribute.len() > room {
                break;
            }
            lasting.push_str(&attribute);
            number += 1;
        }
        for (age, image) in images.iter().enumerate() {
            add(
                out,
                format_args!(
                    r#","{image}":{{{keys},"revision":{{"N":"{}"}}"#,
                    revision - age as u64
                ),
            );
            if !is_small {
                let changing = self.changing();
                out.push_str(&changing);
            }
            out.push_str(&lasting);
            out.push('}');
        }
        out.push_str(&after);
    }

    /// Attributes that every change changes.
    fn changing(&mut self) -> String {
        const STATES: [&str; 4] = ["PENDING", "ACTIVE", "PAUSED", "SOLD_OUT"];
        format!(
            r#","price":{{"N":"{}.{:02}"}},"state":{{"S":"{}"}},"updated_at":{{"S":"{}"}}"#,
            1 + self.below(2_000),
            self.below(100),
            self.one_of(&STATES),
            self.time(),
        )
    }

    /// An attribute that stays as it is. There is no end to them: the further ones are notes.
    fn attribute(&mut self, number: u64) -> String {
        match number {
            0 => r#","active":{"BOOL":true}"#.to_owned(),
            1 => format!(r#","title":{{"S":"{}"}}"#, self.text(4)),
            2 => format!(
                r#","tags":{{"SS":["{}","{}x","{}y"]}}"#,
                self.text(1),
                self.text(1),
                self.text(1)
            ),
            3 => format!(
                r#","sizes":{{"NS":["{}","{}.5"]}}"#,
                self.below(40),
                40 + self.below(9)
            ),
            4 => r#","closed_at":{"NULL":true}"#.to_owned(),
            5 => format!(
                r#","seller":{{"M":{{"id":{{"S":"{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}"}},"name":{{"S":"{}"}},"rating":{{"N":"{}.{}"}}}}}}"#,
                self.below(1 << 32),
                self.below(1 << 16),
                self.below(1 << 12),
                self.below(1 << 12),
                self.below(1 << 48),
                self.text(2),
                self.below(5),
                self.below(10)
            ),
            6 => format!(r#","thumbnail":{{"B":"{}"}}"#, self.base64()),
            7 => format!(
                r#","url":{{"S":"https://shop.example/offers/{}?ref={:x}"}}"#,
                self.below(1 << 40),
                self.below(1 << 32)
            ),
            8 => format!(r#","description":{{"S":"{}"}}"#, self.text(40)),
            9 => {
                let entries: Vec<String> = (0..4).map(|_| self.history_entry()).collect();
                format!(r#","history":{{"L":[{}]}}"#, entries.join(","))
            }
            10 => format!(r#","digests":{{"BS":["{}","AA=="]}}"#, self.base64()),
            _ => format!(r#","note_{number}":{{"S":"{}"}}"#, self.text(25)),
        }
    }

    fn history_entry(&mut self) -> String {
        format!(
            r#"{{"M":{{"at":{{"S":"{}"}},"stock":{{"N":"{}"}},"why":{{"S":"{}"}}}}}}"#,
            self.time(),
            self.below(10_000),
            self.text(3)
        )
    }

    fn text(&mut self, words: u64) -> String {
        let count = 1 + words / 2 + self.below(words);
        let words: Vec<_> = (0..count)
            .map(|_| {
                let word = self.index(self.words.len());
                self.words[word]
            })
            .collect();
        words.join(" ")
    }

    fn time(&mut self) -> String {
        format!(
            "2026-01-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            1 + self.below(9),
            self.below(24),
            self.below(60),
            self.below(60),
            self.below(1_000)
        )
    }

    /// 36 random bytes.
    fn base64(&mut self) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..48)
            .map(|_| char::from(DIGITS[self.index(64)]))
            .collect()
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.index(texts.len())]
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index is below a length")
    }

    /// A random number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.random.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = out.write_fmt(text);
}
