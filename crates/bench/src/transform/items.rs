//! Items of a shop, made up: flat ones, and nested ones with every type that a table's items commonly have.

use clap::ValueEnum;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::attribute::{Attribute, Members};
use crate::stream::changes::WORDS;

/// What the items look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Shape {
    /// Texts, numbers and a flag.
    Flat,
    /// Maps, a list of maps, sets and binary values besides.
    Nested,
}

impl Shape {
    pub(super) const ALL: [Self; 2] = [Self::Flat, Self::Nested];

    /// Its name in cases and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Nested => "nested",
        }
    }

    /// The columns of its Parquet, as a user declares them.
    pub(super) fn schema(self) -> &'static str {
        match self {
            Self::Flat => FLAT_SCHEMA,
            Self::Nested => NESTED_SCHEMA,
        }
    }
}

const FLAT_SCHEMA: &str = r#"{"version":1,"entities":{"item":{"columns":[
{"name":"account","type":"string"},{"name":"offer_id","type":"string"},{"name":"title","type":"string"},
{"name":"description","type":"string"},{"name":"price","type":"decimal(18,2)"},{"name":"stock","type":"integer"},
{"name":"rating","type":"decimal(18,2)"},{"name":"status","type":"string"},{"name":"active","type":"boolean"},
{"name":"created_at","type":"string"},{"name":"changed","type":"integer"},{"name":"url","type":"string"},
{"name":"discount","type":"integer"}]}}}"#;

const NESTED_SCHEMA: &str = r#"{"version":1,"entities":{"item":{"columns":[
{"name":"account","type":"string"},{"name":"offer_id","type":"string"},{"name":"title","type":"string"},
{"name":"price","type":"decimal(18,2)"},{"name":"active","type":"boolean"},{"name":"tags","type":{"set":"string"}},
{"name":"sizes","type":{"set":"decimal(18,2)"}},{"name":"seller","type":{"struct":[
{"name":"id","type":"string"},{"name":"name","type":"string"},{"name":"rating","type":"decimal(18,2)"},
{"name":"address","type":{"struct":[{"name":"street","type":"string"},{"name":"city","type":"string"},
{"name":"zip","type":"string"}]}}]}},{"name":"history","type":{"list":{"struct":[{"name":"at","type":"string"},
{"name":"stock","type":"integer"},{"name":"why","type":"string"}]}}},{"name":"thumbnail","type":"binary"},
{"name":"created_at","type":"string"},{"name":"note","type":"string"}]}}}"#;

/// Makes one item after the other; the same ones each time.
#[derive(Debug)]
pub(super) struct Items {
    shape: Shape,
    random: ChaCha8Rng,
    words: Vec<&'static str>,
    made: u64,
}

impl Items {
    pub(super) fn new(shape: Shape) -> Self {
        let seed = match shape {
            Shape::Flat => 1,
            Shape::Nested => 2,
        };
        Self {
            shape,
            random: ChaCha8Rng::seed_from_u64(seed),
            words: WORDS.split(' ').filter(|word| !word.is_empty()).collect(),
            made: 0,
        }
    }

    /// The next item, whose key no other one has.
    pub(super) fn next_item(&mut self) -> Members {
        let number = self.made;
        self.made += 1;
        let mut item = vec![
            (
                "account",
                Attribute::Text(format!("a-{}", self.below(5_000))),
            ),
            ("offer_id", Attribute::Text(format!("{number:012}"))),
            ("title", Attribute::Text(self.text(3, 4))),
        ];
        match self.shape {
            Shape::Flat => self.add_flat(&mut item),
            Shape::Nested => self.add_nested(&mut item),
        }
        item
    }

    fn add_flat(&mut self, item: &mut Members) {
        item.extend([
            ("description", Attribute::Text(self.text(10, 15))),
            ("price", self.price()),
            ("stock", self.whole(1_000)),
            ("rating", self.rating()),
            ("status", self.one_of(&["new", "active", "paused", "sold"])),
            ("active", Attribute::Bool(self.below(3) > 0)),
            ("created_at", Attribute::Text(self.time())),
            (
                "changed",
                Attribute::Number((1_767_225_600_000 + self.below(1_000_000_000)).to_string()),
            ),
            ("url", self.url()),
        ]);
        if self.below(10) < 3 {
            item.push(("discount", self.whole(60)));
        }
    }

    fn add_nested(&mut self, item: &mut Members) {
        let tags = 2 + self.below(4);
        let sizes = 36 + self.below(9);
        let entries = 2 + self.below(5);
        item.extend([
            ("price", self.price()),
            ("active", Attribute::Bool(self.below(3) > 0)),
            // A set has no member twice.
            (
                "tags",
                Attribute::Texts(
                    (0..tags)
                        .map(|at| format!("{}-{at}", self.word()))
                        .collect(),
                ),
            ),
            (
                "sizes",
                Attribute::Numbers(vec![sizes.to_string(), format!("{sizes}.5")]),
            ),
            ("seller", self.seller()),
            (
                "history",
                Attribute::List((0..entries).map(|_| self.history_entry()).collect()),
            ),
            ("thumbnail", self.binary()),
            ("created_at", Attribute::Text(self.time())),
        ]);
        if self.below(10) == 0 {
            item.push(("note", Attribute::Null));
        }
    }

    fn seller(&mut self) -> Attribute {
        let address = vec![
            (
                "street",
                Attribute::Text(format!("{} {}", self.word(), 1 + self.below(200))),
            ),
            ("city", Attribute::Text(self.word().to_owned())),
            (
                "zip",
                Attribute::Text(format!("{:05}", self.below(100_000))),
            ),
        ];
        Attribute::Map(vec![
            (
                "id",
                Attribute::Text(format!("{:016x}", self.random.next_u64())),
            ),
            ("name", Attribute::Text(self.text(2, 2))),
            ("rating", self.rating()),
            ("address", Attribute::Map(address)),
        ])
    }

    fn history_entry(&mut self) -> Attribute {
        Attribute::Map(vec![
            ("at", Attribute::Text(self.time())),
            ("stock", self.whole(10_000)),
            ("why", Attribute::Text(self.text(2, 3))),
        ])
    }

    fn price(&mut self) -> Attribute {
        let cents = 100 + self.below(100_000);
        // DynamoDB keeps no zeros at the end.
        let digits = format!("{}.{:02}", cents / 100, cents % 100);
        Attribute::Number(
            digits
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned(),
        )
    }

    fn rating(&mut self) -> Attribute {
        Attribute::Number(format!("{}.{}", self.below(5), 1 + self.below(9)))
    }

    fn whole(&mut self, bound: u64) -> Attribute {
        Attribute::Number(self.below(bound).to_string())
    }

    fn url(&mut self) -> Attribute {
        let (offer, referrer) = (self.below(1 << 40), self.below(1 << 32));
        Attribute::Text(format!(
            "https://shop.example/offers/{offer}?ref={referrer:x}"
        ))
    }

    /// 36 random bytes in base64.
    fn binary(&mut self) -> Attribute {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = (0..48).map(|_| char::from(DIGITS[self.index(64)]));
        Attribute::Binary(digits.collect())
    }

    fn one_of(&mut self, texts: &[&str]) -> Attribute {
        Attribute::Text(texts[self.index(texts.len())].to_owned())
    }

    fn word(&mut self) -> &'static str {
        let word = self.index(self.words.len());
        self.words[word]
    }

    /// `least` words and less than `more` others.
    fn text(&mut self, least: u64, more: u64) -> String {
        let count = least + self.below(more);
        let words: Vec<_> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }

    fn time(&mut self) -> String {
        format!(
            "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            1 + self.below(12),
            1 + self.below(28),
            self.below(24),
            self.below(60),
            self.below(60),
            self.below(1_000)
        )
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index is below a length")
    }

    /// A random number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.random.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}
