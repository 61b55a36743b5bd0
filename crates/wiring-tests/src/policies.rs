//! What the roles of a template allow.

use std::collections::BTreeSet;

use serde_json::Value;

/// An action that is allowed on a resource, under a condition or none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Such as `s3:GetObject`.
    pub action: String,
    /// An ARN, which may end in a wildcard.
    pub resource: String,
    /// The condition as JSON; `null` is none.
    pub condition: String,
}

/// Everything that a role's own policies allow.
///
/// # Panics
/// If a statement denies, or says what it does not speak of.
pub fn grants(role: &Value) -> BTreeSet<Grant> {
    let mut grants = BTreeSet::new();
    for policy in list(&role["Policies"]) {
        for statement in list(&policy["PolicyDocument"]["Statement"]) {
            assert_eq!(statement["Effect"], "Allow", "{statement}");
            for name in ["NotAction", "NotResource"] {
                assert!(statement.get(name).is_none(), "{statement}");
            }
            for action in list(&statement["Action"]) {
                for resource in list(&statement["Resource"]) {
                    grants.insert(Grant {
                        action: text(action).to_owned(),
                        resource: text(resource).to_owned(),
                        condition: statement["Condition"].to_string(),
                    });
                }
            }
        }
    }
    grants
}

/// The entries of a list, or the one entry that stands for itself.
pub fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(entries) => entries.iter().collect(),
        single => vec![single],
    }
}

/// A text.
///
/// # Panics
/// If it is none.
pub fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a text was expected: {value}"))
}
