//! The environment, read once and typed.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A variable that is missing or cannot be read. The message names it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A required variable is not set, or empty.
    #[error("the environment variable {0} is not set: expected {1}")]
    Missing(&'static str, &'static str),
    /// A variable has a value of another kind.
    #[error("the environment variable {0} is {1:?}: expected {2}")]
    Malformed(&'static str, String, &'static str),
}

/// The environment of a process, or a map that a test made.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The process's own environment.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().filter_map(utf8_pair).collect())
    }

    /// A required text; `expected` says in the message what it should be.
    pub fn required(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<String, EnvironmentError> {
        self.optional(name)
            .ok_or(EnvironmentError::Missing(name, expected))
    }

    /// An optional text; empty is absent, since CloudFormation cannot leave a variable out without a condition.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A value that is parsed, with a default.
    pub fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        default: T,
        expected: &'static str,
    ) -> Result<T, EnvironmentError> {
        match self.optional(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| EnvironmentError::Malformed(name, text, expected)),
        }
    }

    /// A value within a range, with a default.
    pub fn in_range<T: FromStr + PartialOrd + Display>(
        &self,
        name: &'static str,
        default: T,
        range: RangeInclusive<T>,
        expected: &'static str,
    ) -> Result<T, EnvironmentError> {
        let value = self.parsed(name, default, expected)?;
        match range.contains(&value) {
            true => Ok(value),
            false => Err(EnvironmentError::Malformed(
                name,
                value.to_string(),
                expected,
            )),
        }
    }
}

fn utf8_pair((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(pairs.into_iter().map(owned).collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_variable_and_what_was_expected() {
        let environment = Environment::from([("A", "x"), ("EMPTY", "")]);
        assert_eq!(environment.required("A", "a name").as_deref(), Ok("x"));
        let missing = environment.required("EMPTY", "a table name").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the environment variable EMPTY is not set: expected a table name"
        );
        let malformed = environment
            .parsed("A", 1_u32, "a whole number")
            .unwrap_err();
        assert_eq!(
            malformed.to_string(),
            "the environment variable A is \"x\": expected a whole number"
        );
        assert_eq!(environment.parsed("B", 7_u32, "a whole number"), Ok(7));
        let numbers = Environment::from([("C", "9")]);
        assert_eq!(numbers.in_range("C", 1, 1..=9, "1 to 9"), Ok(9));
        let outside = numbers.in_range("C", 1, 1..=8, "1 to 8").unwrap_err();
        assert_eq!(
            outside.to_string(),
            "the environment variable C is \"9\": expected 1 to 8"
        );
    }
}
