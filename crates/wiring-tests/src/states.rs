//! State machines in the Amazon States Language: their scopes, states and expressions.
//!
//! A *scope* is a set of states that name each other: the machine itself, the processor of a Map, a branch of a Parallel state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The states that name each other, and where they are.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// Names of the states that this scope is in, from the outside; empty for the machine itself.
    pub path: Vec<String>,
    /// The object with `StartAt` and `States`.
    pub definition: &'a Value,
    /// Whether variables of the scope around it can be read here, which they cannot in the children of a Distributed Map.
    pub sees_outside: bool,
}

/// A state, with where it is as `Lanes / Run`.
#[derive(Debug, Clone)]
pub struct State<'a> {
    /// Names of the states that it is in, and its own, with ` / ` in between.
    pub place: String,
    /// What is said of it.
    pub definition: &'a Value,
}

/// Every scope of a machine, the outer before the inner.
///
/// # Panics
/// If a scope has no `States`.
pub fn scopes(machine: &Value) -> Vec<Scope<'_>> {
    let mut found = vec![Scope {
        path: Vec::new(),
        definition: machine,
        sees_outside: false,
    }];
    let mut next = 0;
    while next < found.len() {
        let scope = found[next].clone();
        for (name, state) in scope.states() {
            let path: Vec<String> = scope.path.iter().cloned().chain([name.clone()]).collect();
            let branches = state["Branches"].as_array().into_iter().flatten();
            let inner = state.get("ItemProcessor").into_iter().chain(branches);
            found.extend(inner.map(|definition| Scope {
                path: path.clone(),
                definition,
                sees_outside: !is_distributed(state),
            }));
        }
        next += 1;
    }
    found
}

/// Every state of a machine.
pub fn states(machine: &Value) -> Vec<State<'_>> {
    let scopes = scopes(machine);
    let states = scopes.iter().flat_map(|scope| {
        scope.states().iter().map(|(name, definition)| State {
            place: [&scope.path[..], std::slice::from_ref(name)]
                .concat()
                .join(" / "),
            definition,
        })
    });
    states.collect()
}

/// Whether a state is a Map whose children are executions of their own.
pub fn is_distributed(state: &Value) -> bool {
    state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
}

impl<'a> Scope<'a> {
    /// Its states by name.
    ///
    /// # Panics
    /// If it has none.
    pub fn states(&self) -> &'a Map<String, Value> {
        self.definition["States"]
            .as_object()
            .unwrap_or_else(|| panic!("{} has no States", self.place()))
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        match self.path.is_empty() {
            true => "the machine".to_owned(),
            false => self.path.join(" / "),
        }
    }

    /// Names in this scope, by the state that goes on there; `StartAt` is under the empty name.
    pub fn successors(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let start = self.definition["StartAt"].as_str().into_iter().collect();
        let states = self.states().iter();
        let mut found: BTreeMap<_, _> = states
            .map(|(name, state)| (name.as_str(), successors_of(state)))
            .collect();
        found.insert("", start);
        found
    }

    /// Names of variables that its states assign.
    pub fn assigned(&self) -> BTreeSet<&'a str> {
        let states = self.states().values();
        let places = states.flat_map(|state| {
            let inner = ["Choices", "Catch"]
                .into_iter()
                .filter_map(|name| state[name].as_array())
                .flatten();
            std::iter::once(state).chain(inner)
        });
        places
            .filter_map(|place| place["Assign"].as_object())
            .flat_map(|fields| fields.keys().map(String::as_str))
            .collect()
    }

    /// Texts of its states, without those of the scopes within.
    pub fn texts(&self) -> Vec<&'a str> {
        let mut found = Vec::new();
        for state in self.states().values() {
            let fields = state.as_object().into_iter().flatten();
            for (name, value) in fields {
                if name != "ItemProcessor" && name != "Branches" {
                    collect_texts(value, &mut found);
                }
            }
        }
        found
    }
}

fn successors_of(state: &Value) -> BTreeSet<&str> {
    let ways = ["Choices", "Catch"]
        .into_iter()
        .filter_map(|name| state[name].as_array())
        .flatten();
    ways.chain([state])
        .flat_map(|place| [&place["Next"], &place["Default"]])
        .filter_map(Value::as_str)
        .collect()
}

fn collect_texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(entries) => entries.iter().for_each(|entry| collect_texts(entry, found)),
        Value::Object(fields) => fields
            .values()
            .for_each(|field| collect_texts(field, found)),
        _ => {}
    }
}

/// Names between `${` and `}`, which CloudFormation replaces before Step Functions sees the text.
pub fn substitutions(text: &str) -> BTreeSet<&str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .collect()
}

/// The JSONata of a text, if it is any: `{%` begins it and `%}` ends it.
///
/// # Errors
/// A message if only one of the two is there, so that Step Functions would take it for plain text or refuse it.
pub fn expression(text: &str) -> Result<Option<&str>, String> {
    let inner = text
        .strip_prefix("{%")
        .and_then(|rest| rest.strip_suffix("%}"));
    match inner {
        Some(inner) if inner.contains("{%") || inner.contains("%}") => {
            Err(format!("{text:?} has two expressions: expected one"))
        }
        Some(inner) => Ok(Some(inner)),
        None if text.contains("{%") || text.contains("%}") => Err(format!(
            "{text:?} is an expression in part: expected {{% at its begin and %}} at its end"
        )),
        None => Ok(None),
    }
}

/// What an expression reads and binds: each `$name`, without the `$`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// Names that are looked up, functions among them.
    pub read: BTreeSet<String>,
    /// Names that the expression itself binds, by `:=` or as the parameter of a function.
    pub bound: BTreeSet<String>,
}

/// Finds the variables of a JSONata expression, outside of its strings, comments and regular expressions without quotes.
pub fn variables(expression: &str) -> Variables {
    let code = without_strings(expression);
    let mut found = Variables::default();
    let mut parameters_until = 0;
    for (at, _) in code.match_indices('$') {
        let rest = &code[at + 1..];
        let length = rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(rest.len());
        // `$` is the value at hand and `$$` the outermost one.
        if length == 0 {
            continue;
        }
        let before = code[..at].trim_end();
        if before.strip_suffix('(').is_some_and(is_function) {
            parameters_until = at + code[at..].find(')').unwrap_or(0);
        }
        let name = rest[..length].to_owned();
        let binds = at < parameters_until || rest[length..].trim_start().starts_with(":=");
        let names = if binds {
            &mut found.bound
        } else {
            &mut found.read
        };
        names.insert(name);
    }
    found
}

fn is_function(before: &str) -> bool {
    let before = before.trim_end();
    before.ends_with("function") || before.ends_with('λ')
}

/// The same code with blanks in place of what is quoted or commented.
fn without_strings(code: &str) -> String {
    let mut result = String::new();
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' | '`' => {
                while let Some(inner) = letters.next() {
                    if inner == '\\' && letter != '`' {
                        letters.next();
                    } else if inner == letter {
                        break;
                    }
                }
                result.push(' ');
            }
            '/' if letters.peek() == Some(&'*') => {
                letters.next();
                let mut last = ' ';
                for inner in letters.by_ref() {
                    if (last, inner) == ('*', '/') {
                        break;
                    }
                    last = inner;
                }
                result.push(' ');
            }
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn machine() -> Value {
        json!({
            "StartAt": "Lanes",
            "States": {
                "Lanes": {
                    "Type": "Map",
                    "ItemProcessor": {
                        "ProcessorConfig": {"Mode": "DISTRIBUTED"},
                        "StartAt": "Run",
                        "States": {
                            "Run": {
                                "Type": "Task",
                                "Assign": {"runs": "{% $runs + 1 %}"},
                                "Catch": [{"ErrorEquals": ["X"], "Next": "Give up", "Assign": {"error": 1}}],
                                "End": true,
                            },
                            "Give up": {"Type": "Succeed"},
                        },
                    },
                    "Next": "Which",
                },
                "Which": {"Type": "Choice", "Choices": [{"Condition": "{% $a %}", "Next": "Lanes"}], "Default": "Both"},
                "Both": {
                    "Type": "Parallel",
                    "Branches": [{"StartAt": "One", "States": {"One": {"Type": "Pass", "End": true}}}],
                    "End": true,
                },
            },
        })
    }

    #[test]
    fn scopes_and_states_are_found_at_any_depth() {
        let machine = machine();
        let scopes = scopes(&machine);
        let seen: Vec<_> = scopes
            .iter()
            .map(|scope| (scope.place(), scope.sees_outside))
            .collect();
        assert_eq!(
            seen,
            [
                ("the machine".to_owned(), false),
                ("Both".to_owned(), true),
                ("Lanes".to_owned(), false)
            ]
        );
        let mut places: Vec<_> = states(&machine)
            .into_iter()
            .map(|state| state.place)
            .collect();
        places.sort();
        assert_eq!(
            places,
            [
                "Both",
                "Both / One",
                "Lanes",
                "Lanes / Give up",
                "Lanes / Run",
                "Which"
            ]
        );
        assert_eq!(
            scopes[0].successors(),
            BTreeMap::from([
                ("", BTreeSet::from(["Lanes"])),
                ("Lanes", BTreeSet::from(["Which"])),
                ("Which", BTreeSet::from(["Lanes", "Both"])),
                ("Both", BTreeSet::new()),
            ])
        );
        assert_eq!(scopes[2].assigned(), BTreeSet::from(["error", "runs"]));
        assert_eq!(scopes[0].assigned(), BTreeSet::new());
        assert!(!scopes[0].texts().contains(&"{% $runs + 1 %}"));
        assert!(scopes[2].texts().contains(&"{% $runs + 1 %}"));
    }

    #[test]
    fn substitutions_are_told_from_variables() {
        let text = "{% [0..${Lanes}-1].($x := '${Arn}'; $states) %}";
        assert_eq!(substitutions(text), BTreeSet::from(["Arn", "Lanes"]));
    }

    #[test]
    fn an_expression_is_the_whole_text() {
        assert_eq!(expression("plain"), Ok(None));
        assert_eq!(expression("{% $x %}"), Ok(Some(" $x ")));
        for wrong in ["{% $x", "a {% $x %}", "{% $x %} and {% $y %}"] {
            assert!(expression(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_are_read_or_bound_and_never_in_strings() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let found = variables(
            "($n := $count(lanes); $map($states.result, function($lane, $i) { $lane.x & '$no' & \"it\\\"s $not\" & $$.`$nor` }) /* $never */ & $limit)",
        );
        assert_eq!(
            found,
            Variables {
                read: set(&["count", "lane", "limit", "map", "states"]),
                bound: set(&["i", "lane", "n"]),
            }
        );
    }
}
