//! Whether the states of a machine hang together, and whether its expressions can be worked out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wiring_tests::states::{Scope, expression, scopes, states, variables};

/// Members that only JSONPath has.
const OF_JSONPATH: [&str; 10] = [
    "InputPath",
    "OutputPath",
    "ResultPath",
    "Parameters",
    "ResultSelector",
    "ItemsPath",
    "Variable",
    "SecondsPath",
    "CausePath",
    "ErrorPath",
];

/// What is not JSONata, and where.
pub fn faults_of_language(machine: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if machine["QueryLanguage"] != "JSONata" {
        faults.push("the machine is not in JSONata".to_owned());
    }
    for state in states(machine) {
        if state.definition["Type"] == "Task" && state.definition.get("Arguments").is_none() {
            faults.push(format!("{} has no Arguments", state.place));
        }
        let mut names = BTreeSet::new();
        member_names(state.definition, &mut names);
        for name in names {
            let of_jsonpath = OF_JSONPATH.contains(&name) || name.ends_with(".$");
            if of_jsonpath || name == "QueryLanguage" {
                faults.push(format!("{} has {name}", state.place));
            }
        }
    }
    faults
}

/// Names of members of a state, without those of the states within.
fn member_names<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    for (name, field) in value.as_object().into_iter().flatten() {
        found.insert(name);
        if name != "States" {
            member_names(field, found);
        }
    }
    for entry in value.as_array().into_iter().flatten() {
        member_names(entry, found);
    }
}

/// Which states are not reached, go nowhere or cannot end.
pub fn faults_of_ways(machine: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for scope in scopes(machine) {
        let fault = |text: String| format!("{}: {text}", scope.place());
        for (name, state) in scope.states() {
            faults.extend(fault_of_way(state).map(|text| fault(format!("{name} {text}"))));
        }
        let successors = scope.successors();
        for name in successors.values().flatten() {
            if !successors.contains_key(name) {
                faults.push(fault(format!("there is no state {name}")));
            }
        }
        let reached = closure("", &successors);
        let ends = |name: &str| {
            let way = closure(name, &successors);
            way.iter().any(|name| is_last(&scope, name))
        };
        for name in scope.states().keys() {
            if !reached.contains(name.as_str()) {
                faults.push(fault(format!("nothing leads to {name}")));
            }
            if !ends(name) {
                faults.push(fault(format!("nothing ends after {name}")));
            }
        }
    }
    faults
}

/// Why a state does not go on in exactly one way.
fn fault_of_way(state: &Value) -> Option<&'static str> {
    let has = |name: &str| state.get(name).is_some();
    let ends = state["End"] == true;
    let right = match state["Type"].as_str()? {
        "Succeed" | "Fail" => !has("Next") && !has("End"),
        "Choice" => {
            let choices = state["Choices"].as_array()?;
            // Without a default, an input that nobody thought of fails with States.NoChoiceMatched.
            has("Default")
                && !has("Next")
                && !has("End")
                && !choices.is_empty()
                && choices
                    .iter()
                    .all(|choice| choice.get("Condition").is_some() && choice["Next"].is_string())
        }
        "Task" | "Map" | "Pass" | "Wait" | "Parallel" => state["Next"].is_string() != ends,
        _ => return Some("has a type that there is not"),
    };
    (!right).then_some("does not go on in one way")
}

fn is_last(scope: &Scope<'_>, name: &str) -> bool {
    let state = &scope.states()[name];
    state["End"] == true || state["Type"] == "Succeed" || state["Type"] == "Fail"
}

/// The states that can follow one, itself among them. Names of states that are not there lead nowhere.
fn closure<'a>(
    start: &'a str,
    successors: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        let known = successors.get(name);
        if known.is_some() && (name.is_empty() || found.insert(name)) {
            open.extend(known.into_iter().flatten());
        }
    }
    found
}

/// What Step Functions and JSONata bring along. (JSONata documentation, "Function library"; Step Functions Developer Guide,
/// "Transforming data with JSONata", which adds six and takes `$eval` away.)
const FUNCTIONS: &str = "states string length substring substringBefore substringAfter uppercase lowercase trim pad contains split \
     join match replace base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent decodeUrl number abs floor ceil \
     round power sqrt random formatNumber formatBase formatInteger parseInteger sum max min average boolean not exists count append \
     sort reverse shuffle distinct zip keys lookup spread merge sift each error assert type now millis fromMillis toMillis map \
     filter single reduce partition range hash uuid parse";

/// Expressions that are broken or read what nothing assigns, and where.
pub fn faults_of_expressions(machine: &Value) -> Vec<String> {
    let known: BTreeSet<&str> = FUNCTIONS.split_whitespace().collect();
    let mut faults = Vec::new();
    let scopes = scopes(machine);
    for scope in &scopes {
        let visible = visible(scope, &scopes);
        for text in scope.texts() {
            let inner = match expression(text) {
                Ok(Some(inner)) => inner,
                Ok(None) => continue,
                Err(fault) => {
                    faults.push(format!("{}: {fault}", scope.place()));
                    continue;
                }
            };
            let found = variables(inner);
            for name in found.read.difference(&found.bound) {
                if !known.contains(name.as_str()) && !visible.contains(name.as_str()) {
                    let place = scope.place();
                    faults.push(format!("{place}: nothing assigns ${name}: {text}"));
                }
            }
        }
    }
    faults
}

/// Variables that can be read in a scope: its own, and those around it up to a Distributed Map.
fn visible<'a>(scope: &Scope<'a>, all: &[Scope<'a>]) -> BTreeSet<&'a str> {
    let mut found = scope.assigned();
    if scope.sees_outside {
        let around = &scope.path[..scope.path.len() - 1];
        let outer = all.iter().find(|other| other.path == around);
        found.extend(outer.map(|outer| visible(outer, all)).unwrap_or_default());
    }
    found
}
