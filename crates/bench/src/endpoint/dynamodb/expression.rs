//! Expressions: of conditions, attribute_exists, attribute_not_exists and `=`, joined by AND; of updates, SET to values and
//! REMOVE; lists of attributes.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html>

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Refusal;
use crate::reprocess::items::Attributes;

/// What a condition asks of an item. All of its terms have to hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Exists(String),
    NotExists(String),
    Equals(String, Value),
}

/// What an update does to an item.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Set(String, Value),
    Remove(String),
}

impl Term {
    /// Whether it holds; where there is no item, nothing exists.
    pub(super) fn holds(&self, item: Option<&Attributes>) -> bool {
        let found = |name: &String| item.and_then(|item| item.get(name));
        match self {
            Self::Exists(name) => found(name).is_some(),
            Self::NotExists(name) => found(name).is_none(),
            Self::Equals(name, value) => found(name) == Some(value),
        }
    }
}

impl Change {
    /// The attribute that it changes.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Remove(name) => name,
        }
    }

    pub(super) fn apply(self, item: &mut Attributes) {
        match self {
            Self::Set(name, value) => item.insert(name, value),
            Self::Remove(name) => item.remove(&name),
        };
    }
}

/// The names and values that a call's expressions speak of.
#[derive(Debug)]
pub(super) struct Expressions<'a> {
    call: &'a Value,
    used: BTreeSet<&'a str>,
}

impl<'a> Expressions<'a> {
    pub(super) fn of(call: &'a Value) -> Self {
        Self {
            call,
            used: BTreeSet::new(),
        }
    }

    /// The terms of the condition in that member of the call; none where there is no such member.
    pub(super) fn condition(&mut self, member: &str) -> Result<Vec<Term>, Refusal> {
        let Some(text) = self.call[member].as_str() else {
            return Ok(Vec::new());
        };
        text.split(" AND ").map(|term| self.term(term)).collect()
    }

    fn term(&mut self, term: &'a str) -> Result<Term, Refusal> {
        let inside = |function| {
            let rest = term.strip_prefix(function)?;
            rest.strip_prefix('(')?.strip_suffix(')')
        };
        if let Some(name) = inside("attribute_exists") {
            return Ok(Term::Exists(self.name(name)?));
        }
        if let Some(name) = inside("attribute_not_exists") {
            return Ok(Term::NotExists(self.name(name)?));
        }
        let (name, value) = term.split_once('=').ok_or_else(|| unknown(term))?;
        Ok(Term::Equals(self.name(name)?, self.value(value)?))
    }

    /// The changes of the call's update, at least one and none of them twice.
    pub(super) fn update(&mut self) -> Result<Vec<Change>, Refusal> {
        let text = self.call["UpdateExpression"].as_str().unwrap_or_default();
        let (mut changes, mut sets) = (Vec::new(), None);
        for clause in text.split(',') {
            let mut words = clause.split_whitespace();
            while let Some(word) = words.next() {
                match (word, sets) {
                    ("SET", _) => sets = Some(true),
                    ("REMOVE", _) => sets = Some(false),
                    (name, Some(true)) => match (words.next(), words.next()) {
                        (Some("="), Some(value)) => {
                            changes.push(Change::Set(self.name(name)?, self.value(value)?));
                        }
                        _ => return Err(unknown(clause)),
                    },
                    (name, Some(false)) => changes.push(Change::Remove(self.name(name)?)),
                    (_, None) => return Err(unknown(text)),
                }
            }
        }
        let names: BTreeSet<_> = changes.iter().map(Change::name).collect();
        match changes.is_empty() || names.len() < changes.len() {
            true => Err(Refusal::invalid("an update changes attributes, each once")),
            false => Ok(changes),
        }
    }

    /// The attributes of the call's projection; nothing where it has none.
    pub(super) fn projection(&mut self) -> Result<Option<Vec<String>>, Refusal> {
        let Some(text) = self.call["ProjectionExpression"].as_str() else {
            return Ok(None);
        };
        let names: Result<_, _> = text.split(',').map(|name| self.name(name)).collect();
        names.map(Some)
    }

    /// DynamoDB refuses names and values that no expression uses.
    pub(super) fn end(self) -> Result<(), Refusal> {
        let members = ["ExpressionAttributeNames", "ExpressionAttributeValues"];
        let given = members.map(|member| self.call[member].as_object());
        match given
            .into_iter()
            .flatten()
            .flat_map(Map::keys)
            .find(|placeholder| !self.used.contains(placeholder.as_str()))
        {
            Some(unused) => Err(Refusal::invalid(&format!("{unused} is not used"))),
            None => Ok(()),
        }
    }

    fn name(&mut self, word: &'a str) -> Result<String, Refusal> {
        let word = word.trim();
        if !word.starts_with('#') {
            let is_plain = |text: &str| {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            };
            return match is_plain(word) {
                true => Ok(word.to_owned()),
                false => Err(unknown(word)),
            };
        }
        self.used.insert(word);
        let name = self.call["ExpressionAttributeNames"][word].as_str();
        name.map(str::to_owned).ok_or_else(|| unknown(word))
    }

    fn value(&mut self, word: &'a str) -> Result<Value, Refusal> {
        let word = word.trim();
        self.used.insert(word);
        let value = self.call["ExpressionAttributeValues"].get(word);
        value.cloned().ok_or_else(|| unknown(word))
    }
}

fn unknown(text: &str) -> Refusal {
    Refusal::invalid(&format!(
        "this endpoint does not understand the expression {text:?}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call() -> Value {
        json!({
            "ConditionExpression": "attribute_exists(#n0) AND #n1 = :v0 AND attribute_not_exists(tries)",
            "UpdateExpression": "SET #n1 = :v1, seen = :v0 REMOVE #n2, old",
            "ProjectionExpression": "#n0, seen",
            "ExpressionAttributeNames": {"#n0": "id", "#n1": "processed", "#n2": "x.y"},
            "ExpressionAttributeValues": {":v0": {"S": "a"}, ":v1": {"N": "1"}},
        })
    }

    #[test]
    fn names_and_values_are_put_in() {
        let call = call();
        let mut expressions = Expressions::of(&call);
        let name = |name: &str| name.to_owned();
        let (a, one) = (json!({"S": "a"}), json!({"N": "1"}));
        assert_eq!(
            expressions.condition("ConditionExpression").unwrap(),
            [
                Term::Exists(name("id")),
                Term::Equals(name("processed"), a.clone()),
                Term::NotExists(name("tries")),
            ]
        );
        assert_eq!(
            expressions.update().unwrap(),
            [
                Change::Set(name("processed"), one),
                Change::Set(name("seen"), a),
                Change::Remove(name("x.y")),
                Change::Remove(name("old")),
            ]
        );
        assert_eq!(
            expressions.projection().unwrap().unwrap(),
            [name("id"), name("seen")]
        );
        expressions.end().unwrap();
        assert_eq!(Expressions::of(&json!({})).projection().unwrap(), None);
    }

    #[test]
    fn terms_hold_for_what_is_there() {
        let Value::Object(item) = json!({"id": {"S": "a"}}) else {
            panic!("an object was made");
        };
        let equals = |name: &str, text: &str| Term::Equals(name.to_owned(), json!({"S": text}));
        let (exists, not_exists) = (Term::Exists("id".into()), Term::NotExists("id".into()));
        for (term, there, nowhere) in [
            (exists, true, false),
            (not_exists, false, true),
            (equals("id", "a"), true, false),
            (equals("id", "b"), false, false),
            (equals("other", "a"), false, false),
        ] {
            assert_eq!(term.holds(Some(&item)), there, "{term:?}");
            assert_eq!(term.holds(None), nowhere, "{term:?}");
        }
    }

    #[test]
    fn what_is_not_understood_or_not_used_is_refused() {
        let with = |member: &str, text: &str| {
            let mut call = call();
            call[member] = text.into();
            let mut expressions = Expressions::of(&call);
            let result = expressions.condition("ConditionExpression");
            result
                .and_then(|_| expressions.update())
                .and_then(|_| expressions.projection())
                .and_then(|_| expressions.end())
        };
        assert!(with("other", "").is_ok());
        for (member, text) in [
            ("ConditionExpression", "#n0 < :v0"),
            ("ConditionExpression", "#n0 = :v0 OR #n1 = :v1"),
            ("ConditionExpression", "#n9 = :v0"),
            ("ConditionExpression", "#n0 = :v9"),
            ("UpdateExpression", ""),
            ("UpdateExpression", "#n1 = :v1"),
            ("UpdateExpression", "SET #n1 :v1"),
            ("UpdateExpression", "SET #n1 = :v1, #n1 = :v0"),
            ("UpdateExpression", "SET #n1 = :v1 REMOVE processed"),
            // #n2 is not used.
            ("UpdateExpression", "SET #n1 = :v1"),
            ("ProjectionExpression", ""),
        ] {
            assert!(with(member, text).is_err(), "{member} {text:?}");
        }
    }
}
