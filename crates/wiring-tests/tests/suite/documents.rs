//! What the documents name is there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use wiring_tests::documents::{Document, documents, named_tests};
use wiring_tests::template::Template;
use wiring_tests::{read, repository_files, root};

/// Documents that people are sent to.
const EXPECTED: [&str; 7] = [
    "README.md",
    "CHANGELOG.md",
    "docs/ARCHITECTURE.md",
    "docs/SEMANTICS.md",
    "events/README.md",
    "infra/README.md",
    "scripts/local/README.md",
];

/// Promises that what is built so far keeps.
const PROMISES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

#[test]
fn the_documents_are_there() {
    let paths: BTreeSet<String> = documents()
        .into_iter()
        .map(|document| document.path)
        .collect();
    let missing: Vec<_> = EXPECTED
        .into_iter()
        .filter(|path| !paths.contains(*path))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_script_that_is_named_can_be_run() {
    let mut faults = Vec::new();
    let mut named = 0;
    for document in documents() {
        for (line, script) in document.scripts() {
            named += 1;
            let path = root().join(script);
            let fault = match path.metadata() {
                Err(_) => "does not exist",
                // A folder or a module may be spoken of; a program is run.
                Ok(found) if found.is_dir() || script.ends_with(".py") => continue,
                Ok(found) if found.permissions().mode() & 0o111 == 0 => "is not executable",
                Ok(_) => continue,
            };
            faults.push(format!("{}:{line}: {script} {fault}", document.path));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(named > 0);
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut faults = Vec::new();
    for document in documents() {
        for (line, target) in document.links() {
            if !document.leads_somewhere(target) {
                faults.push(format!("{}:{line}: {target}", document.path));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_promise_names_tests_that_exist() {
    let semantics = read("docs/SEMANTICS.md");
    let mut faults = Vec::new();
    for promise in PROMISES {
        let start = format!("| {promise}. ");
        let rows: Vec<&str> = semantics
            .lines()
            .filter(|line| line.starts_with(&start))
            .collect();
        if !rows.iter().any(|row| !named_tests(row).is_empty()) {
            faults.push(format!("promise {promise} names no test"));
        }
    }
    for (path, name) in named_tests(&semantics) {
        if let Some(fault) = fault_of_test(path, name) {
            faults.push(format!("`{path}` :: `{name}`: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Why a test is not there, if it is not. Its name may have modules or a class in front.
fn fault_of_test(path: &str, name: &str) -> Option<&'static str> {
    let function = name.rsplit([':', '.']).next().unwrap_or(name);
    let Ok(source) = std::fs::read_to_string(root().join(path)) else {
        return Some("there is no such file");
    };
    let keyword = if path.ends_with(".py") { "def" } else { "fn" };
    let declared = format!("{keyword} {function}(");
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let place = lines.iter().position(|line| {
        line.strip_prefix("async ")
            .unwrap_or(line)
            .starts_with(&declared)
    });
    let Some(place) = place else {
        return Some("the file has no such test");
    };
    if keyword == "def" {
        return (!function.starts_with("test")).then_some("unittest does not run it");
    }
    let attributes = lines[..place]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let attributes: Vec<&str> = attributes.copied().collect();
    if attributes.iter().any(|line| line.starts_with("#[ignore")) {
        return Some("it is ignored");
    }
    let is_test = attributes
        .iter()
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    (!is_test).then_some("it is a function, but no test")
}

#[test]
fn every_test_of_a_promise_is_in_a_file_that_its_promise_names() {
    let semantics = read("docs/SEMANTICS.md");
    let named: BTreeSet<&str> = named_tests(&semantics)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let files = repository_files();
    let of_promises = files
        .iter()
        .filter_map(|path| path.to_str())
        .filter(|path| {
            path.ends_with(".rs")
                && path
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| name.starts_with("promise_"))
        });
    for path in of_promises {
        assert!(
            named.contains(path),
            "docs/SEMANTICS.md names no test of {path}"
        );
    }
}

#[test]
fn every_crate_has_a_readme_that_is_its_documentation() {
    let files = repository_files();
    let crates = files.iter().filter(|path| {
        path.starts_with("crates") && path.file_name().is_some_and(|name| name == "Cargo.toml")
    });
    for manifest in crates {
        let folder = manifest.parent().expect("a manifest is in a folder");
        let name = folder.file_name().expect("a folder has a name").display();
        let readme = read(folder.join("README.md"));
        let mut lines = readme.lines();
        assert_eq!(lines.next(), Some(format!("# {name}").as_str()));
        assert!(
            lines.any(|line| line.split_whitespace().count() > 5),
            "the README of {name} says nothing"
        );
        let library = read(folder.join("src/lib.rs"));
        assert!(
            library.starts_with("#![doc = include_str!(\"../README.md\")]"),
            "{name} does not show its README"
        );
    }
}

/// Variables of each function's configuration.
fn variables_of(function: &str) -> &'static [&'static str] {
    match function {
        "csv-ingester" => &csv_ingester::VARIABLES,
        "export-poller" => &export_poller::VARIABLES,
        "export-transformer" => &export_transformer::VARIABLES,
        "gsi-reprocessor" => &gsi_reprocessor::VARIABLES,
        "stream-writer" => &stream_writer::VARIABLES,
        "table-scanner" => &table_scanner::VARIABLES,
        other => panic!("add the variables of {other} here"),
    }
}

#[test]
fn the_readme_of_a_function_lists_its_variables_and_permissions() {
    let template = Template::of_repository();
    for id in template.resources("AWS::Lambda::Function") {
        let function = template.properties(&id);
        let name = function["Code"]
            .as_str()
            .and_then(|code| code.rsplit('/').next())
            .unwrap_or_else(|| panic!("{id} has no code"));
        let role = template
            .resources("AWS::IAM::Role")
            .into_iter()
            .find(|role| function["Role"] == template.arn(role))
            .unwrap_or_else(|| panic!("{id} has no role"));
        let actions = actions(&template.properties(&role));
        assert!(!actions.is_empty(), "{role}");
        let readme = Document {
            path: format!("crates/{name}/README.md"),
            text: read(format!("crates/{name}/README.md")),
        };
        let expected = actions
            .iter()
            .map(String::as_str)
            .chain(variables_of(name).iter().copied());
        assert_names(&readme, expected);
    }
}

/// Every action in the policies of a role.
fn actions(role: &serde_json::Value) -> BTreeSet<String> {
    let statements = role["Policies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|policy| policy["PolicyDocument"]["Statement"].as_array())
        .flatten();
    let actions = statements.flat_map(|statement| match &statement["Action"] {
        serde_json::Value::Array(actions) => actions.clone(),
        single => vec![single.clone()],
    });
    actions
        .filter_map(|action| action.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn the_readme_of_the_template_lists_all_that_is_in_it() {
    let template = Template::of_repository();
    let readme = Document {
        path: "infra/README.md".to_owned(),
        text: read("infra/README.md"),
    };
    for section in ["Parameters", "Resources", "Outputs"] {
        assert_names(
            &readme,
            template.section(section).keys().map(String::as_str),
        );
    }
    for role in template.resources("AWS::IAM::Role") {
        let actions = actions(&template.properties(&role));
        assert_names(&readme, actions.iter().map(String::as_str));
    }
}

/// Fails if one of the names is not between backticks in the document.
fn assert_names<'a>(document: &Document, names: impl Iterator<Item = &'a str>) {
    let spans: BTreeMap<&str, usize> = document.spans().map(|(line, span)| (span, line)).collect();
    let missing: Vec<&str> = names.filter(|name| !spans.contains_key(name)).collect();
    assert!(
        missing.is_empty(),
        "{} does not name {missing:?}",
        document.path
    );
}
