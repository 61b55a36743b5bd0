//! Items of every kind, and their DynamoDB JSON in every spelling.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use records::Number;

/// A value as its JSON spells it. Sets are in the order in which `records` keeps them.
#[derive(Debug, Clone)]
pub enum Tree {
    S(String),
    N(String),
    B(Vec<u8>),
    Bool(bool),
    Null,
    Ss(BTreeSet<String>),
    Ns(BTreeMap<String, String>),
    Bs(BTreeSet<Vec<u8>>),
    L(Vec<Tree>),
    M(BTreeMap<String, Tree>),
}

/// Attributes by name.
pub type Attributes = BTreeMap<String, Tree>;

/// Decides how things are spelled: any number of small choices from one seed.
pub struct Speller(u64);

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,12}",
        "[a-zA-Z0-9 \"\\\\/\u{0}-\u{1f}\u{7f}-\u{ff}€\u{2028}\u{d7ff}\u{e000}\u{ffff}😀\u{10ffff}]{0,40}",
    ]
}

/// A number that DynamoDB can hold, in any spelling that it takes.
pub fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[1-9][0-9]{0,37}",
        "-?(0|[1-9][0-9]{0,18})\\.[0-9]{1,19}",
        "[+-]?0{0,3}[0-9]{1,20}\\.?[0-9]{0,18}([eE][+-]?[0-8]?[0-9])?",
        "-?0{1,3}[0-9]{1,9}",
        "-?\\.[0-9]{1,38}",
        Just("-0".to_owned()),
        Just("-0.000".to_owned()),
        Just("9.9999999999999999999999999999999999999E+125".to_owned()),
        Just("1E-130".to_owned()),
        Just("1e39".to_owned()),
    ]
}

/// Any value, up to five levels deep.
pub fn tree() -> impl Strategy<Value = Tree> {
    let numbers = vec(number(), 0..4).prop_map(|spellings| {
        let canonical = |text: String| (Number::parse(&text).unwrap().as_str().to_owned(), text);
        Tree::Ns(spellings.into_iter().map(canonical).collect())
    });
    let scalar = prop_oneof![
        4 => text().prop_map(Tree::S),
        4 => number().prop_map(Tree::N),
        1 => vec(any::<u8>(), 0..9).prop_map(Tree::B),
        1 => any::<bool>().prop_map(Tree::Bool),
        1 => Just(Tree::Null),
        1 => btree_set(text(), 0..4).prop_map(Tree::Ss),
        1 => numbers,
        1 => btree_set(vec(any::<u8>(), 0..5), 0..4).prop_map(Tree::Bs),
    ];
    scalar.prop_recursive(5, 30, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Tree::L),
            btree_map(text(), inner, 0..5).prop_map(Tree::M),
        ]
    })
}

pub fn attributes() -> impl Strategy<Value = Attributes> {
    btree_map(text(), tree(), 0..8)
}

impl Speller {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of `limit` choices.
    pub fn choose(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    /// A token with blanks before it, now and then.
    pub fn token(&mut self, token: &str, out: &mut String) {
        while self.choose(8) == 0 {
            out.push([' ', '\t', '\n', '\r'][self.choose(4) as usize]);
        }
        out.push_str(token);
    }

    /// A JSON string, each character escaped in one of the ways that there are.
    pub fn string(&mut self, text: &str, out: &mut String) {
        self.token("\"", out);
        let escapes_any = self.choose(2) == 0;
        for character in text.chars() {
            let short = match character {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '/' => Some("\\/"),
                '\u{8}' => Some("\\b"),
                '\u{c}' => Some("\\f"),
                '\n' => Some("\\n"),
                '\r' => Some("\\r"),
                '\t' => Some("\\t"),
                _ => None,
            };
            let must = character < ' ' || matches!(character, '"' | '\\');
            match (self.choose(6), short) {
                (1.., _) if !(must || escapes_any && self.choose(8) == 0) => out.push(character),
                (3.., Some(short)) => out.push_str(short),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        match self.choose(2) {
                            0 => out.push_str(&format!("\\u{unit:04x}")),
                            _ => out.push_str(&format!("\\u{unit:04X}")),
                        }
                    }
                }
            }
        }
        out.push('"');
    }

    /// Things in brackets with commas between them.
    pub fn list<T>(
        &mut self,
        brackets: [&str; 2],
        things: impl IntoIterator<Item = T>,
        out: &mut String,
        mut write: impl FnMut(&mut Self, T, &mut String),
    ) {
        self.token(brackets[0], out);
        for (index, thing) in things.into_iter().enumerate() {
            if index > 0 {
                self.token(",", out);
            }
            write(self, thing, out);
        }
        self.token(brackets[1], out);
    }

    /// Members in any order.
    pub fn object(&mut self, mut members: Vec<(String, String)>, out: &mut String) {
        for index in (1..members.len()).rev() {
            members.swap(index, self.choose(index as u64 + 1) as usize);
        }
        self.list(["{", "}"], members, out, |speller, (name, json), out| {
            speller.string(&name, out);
            speller.token(":", out);
            speller.token(&json, out);
        });
    }

    pub fn value(&mut self, tree: &Tree, out: &mut String) {
        let base64 = |bytes: &Vec<u8>| records::base64_text(bytes);
        let mut json = String::new();
        let tag = match tree {
            Tree::S(text) => {
                self.string(text, &mut json);
                "S"
            }
            Tree::N(digits) => {
                self.string(digits, &mut json);
                "N"
            }
            Tree::B(bytes) => {
                self.string(&base64(bytes), &mut json);
                "B"
            }
            Tree::Bool(value) => {
                self.token(&value.to_string(), &mut json);
                "BOOL"
            }
            Tree::Null => {
                self.token("true", &mut json);
                "NULL"
            }
            Tree::Ss(texts) => {
                self.list(["[", "]"], texts, &mut json, |speller, text, out| {
                    speller.string(text, out);
                });
                "SS"
            }
            Tree::Ns(numbers) => {
                self.list(
                    ["[", "]"],
                    numbers.values(),
                    &mut json,
                    |speller, digits, out| {
                        speller.string(digits, out);
                    },
                );
                "NS"
            }
            Tree::Bs(elements) => {
                self.list(["[", "]"], elements, &mut json, |speller, bytes, out| {
                    speller.string(&base64(bytes), out);
                });
                "BS"
            }
            Tree::L(elements) => {
                self.list(["[", "]"], elements, &mut json, Self::value);
                "L"
            }
            Tree::M(members) => {
                self.item(members, &mut json);
                "M"
            }
        };
        self.token("{", out);
        // The reference takes tags as they are written; so does everything that writes them.
        self.token(&format!("\"{tag}\""), out);
        self.token(":", out);
        out.push_str(&json);
        self.token("}", out);
    }

    pub fn item(&mut self, attributes: &Attributes, out: &mut String) {
        let members = attributes
            .iter()
            .map(|(name, tree)| {
                let mut json = String::new();
                self.value(tree, &mut json);
                (name.clone(), json)
            })
            .collect();
        self.object(members, out);
    }

    /// Members that no reader knows.
    pub fn strangers(&mut self, members: &mut Vec<(String, String)>) {
        for json in ["null", "[1e5,{\"Item\":{}}]", "\"\\u00e9\"", "{\"a\":[[]]}"] {
            if self.choose(6) == 0 {
                members.push((format!("New{}", members.len()), json.to_owned()));
            }
        }
    }

    /// A line of a full export, and the item in it as it stands there.
    pub fn full_line(&mut self, attributes: &Attributes) -> (String, String) {
        let (mut item, mut line) = (String::new(), String::new());
        self.item(attributes, &mut item);
        let item = item.trim_start().to_owned();
        let mut members = vec![("Item".to_owned(), item.clone())];
        self.strangers(&mut members);
        self.object(members, &mut line);
        self.token("", &mut line);
        (line, item)
    }
}

/// Changes a few bytes of a line.
pub fn spoil(line: &str, seed: u64) -> Vec<u8> {
    const LIKELY: &[u8] = b"\"\\{}[]:,.-+eE0159uSNBLMtrue \n\t\0\x1f\x7f\x80\xc3\xed\xff=/aD8";
    let mut choices = Speller::new(seed);
    let mut bytes = line.as_bytes().to_vec();
    for _ in 0..=choices.choose(3) {
        if bytes.is_empty() {
            break;
        }
        let at = choices.choose(bytes.len() as u64) as usize;
        let byte = LIKELY[choices.choose(LIKELY.len() as u64) as usize];
        match choices.choose(6) {
            0 => bytes.truncate(at),
            1 | 2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, byte),
            4 => bytes.swap(at, at / 2),
            _ => bytes[at] = byte,
        }
    }
    bytes
}
