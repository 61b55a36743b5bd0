mod uploads;

use std::time::Duration;

use records::TableShape;
use serde_json::json;
use storage::memory::{MemoryImports, MemoryTables, MemoryWorkflows};
use storage::{ImportProgress, ImportStatus, TableImports};

use super::*;
use crate::preflight::{Finding, Format, KeySpec, table_shape};

const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:stack-import";
const TABLE_ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/ids";

fn shape() -> TableShape {
    table_shape("ids", &KeySpec::parse("id").unwrap(), &[]).unwrap()
}

fn order(shape: &TableShape, fingerprint: [u8; 32]) -> Order<'_> {
    Order {
        shape,
        bucket: "lake",
        prefix: "imports/ids/ids.csv",
        format: Format::Csv { delimiter: ',' },
        compression: "NONE",
        stream_view: Some("NEW_AND_OLD_IMAGES"),
        fingerprint,
    }
}

#[tokio::test(start_paused = true)]
async fn another_state_machine_is_told_by_its_output() {
    let world = World::new();
    let (execution, _) = world.running(false).await;
    // As the drain of the same stack ends.
    world
        .workflows
        .succeed(&execution, &json!({"lanes": [], "taken": 0}).to_string());
    let (ended, _) = world.follow(&execution, std::future::pending()).await;
    let message = ended.unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "{MACHINE} ended without the report of an import: check --state-machine, which expects output ImportMachineArn of the stack"
        )
    );
}

struct World {
    workflows: MemoryWorkflows,
    imports: MemoryImports,
    machine: Machine,
    shape: TableShape,
}

impl World {
    fn new() -> Self {
        Self {
            workflows: MemoryWorkflows::new().with_machine(MACHINE),
            imports: MemoryImports::new(),
            machine: Machine::parse(MACHINE).unwrap(),
            shape: shape(),
        }
    }

    async fn begin(&self, table_exists: bool) -> Result<Begun, ImportError> {
        let order = order(&self.shape, [1; 32]);
        begin(&self.workflows, &self.machine, &order, table_exists).await
    }

    async fn running(&self, table_exists: bool) -> (String, bool) {
        match self.begin(table_exists).await.unwrap() {
            Begun::Running { execution, started } => (execution, started),
            Begun::Done(report) => panic!("{report:?}"),
        }
    }

    async fn follow(
        &self,
        execution: &str,
        stop: impl Future<Output = ()>,
    ) -> (Result<Ending, ImportError>, Vec<Stage>) {
        let following = Following {
            workflows: &self.workflows,
            imports: &self.imports,
            execution,
            machine: &self.machine,
            table: "ids",
        };
        let mut stages = Vec::new();
        let ended = follow(&following, stop, |stage| stages.push(stage)).await;
        (ended, stages)
    }

    fn report(&self, status: ImportStatus, processed_items: u64) {
        let progress = ImportProgress {
            arn: format!("{TABLE_ARN}/import/0123-ab"),
            status,
            processed_bytes: 10 * processed_items,
            processed_items,
            imported_items: processed_items,
            errors: 0,
            log_group: None,
            failure: None,
        };
        self.imports.report(TABLE_ARN, progress);
    }

    fn tokens(&self) -> Vec<String> {
        let token = |input: &str| -> String {
            let input: serde_json::Value = serde_json::from_str(input).unwrap();
            let token = input["client_token"].as_str().unwrap();
            token[token.len() - 2..].to_owned()
        };
        let executions = self.workflows.executions();
        executions.iter().map(|(_, input)| token(input)).collect()
    }
}

fn output() -> String {
    json!({
        "table": "ids", "import_arn": format!("{TABLE_ARN}/import/0123-ab"), "status": "COMPLETED",
        "imported": 9, "processed": 9, "errors": 0, "bytes": 90,
        "log_group": "arn:aws:logs:us-east-1:123456789012:log-group:/aws-dynamodb/imports:*",
    })
    .to_string()
}

fn report() -> Report {
    Report {
        table: "ids".to_owned(),
        imported: 9,
        processed: 9,
        errors: 0,
        bytes: 90,
        log: Some(
            "aws logs filter-log-events --log-group-name /aws-dynamodb/imports --filter-pattern '\"0123-ab\"'"
                .to_owned(),
        ),
        message: None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_import_is_followed_to_its_end() {
    let world = World::new();
    let (execution, started) = world.running(false).await;
    assert!(started);
    let machine = async {
        let pause = || tokio::time::sleep(Duration::from_secs(25));
        pause().await;
        world.report(ImportStatus::Running, 4);
        pause().await;
        world.report(ImportStatus::Completed, 9);
        pause().await;
        world.workflows.succeed(&execution, &output());
    };
    let ((ended, stages), ()) =
        tokio::join!(world.follow(&execution, std::future::pending()), machine);
    assert_eq!(ended.unwrap(), Ending::Done(report()));
    let importing = Stage::Importing {
        bytes: 40,
        items: 4,
        errors: 0,
    };
    let mut different = stages;
    different.dedup();
    assert_eq!(different, [Stage::Waiting, importing, Stage::Finishing]);
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_the_same_import_joins_it() {
    let world = World::new();
    let (execution, _) = world.running(false).await;
    let stop = tokio::time::sleep(Duration::from_secs(15));
    assert_eq!(
        world.follow(&execution, stop).await.0.unwrap(),
        Ending::Left
    );
    // By now its table is there.
    for table_exists in [true, false] {
        assert_eq!(
            world.running(table_exists).await,
            (execution.clone(), false)
        );
    }
    world.workflows.succeed(&execution, &output());
    assert_eq!(world.begin(true).await.unwrap(), Begun::Done(report()));
    assert_eq!(world.workflows.executions().len(), 1);
    // The table was deleted since: it is imported again, by another import.
    assert!(world.running(false).await.1);
    assert_eq!(world.tokens(), ["-1", "-2"]);
}

#[tokio::test]
async fn another_source_is_another_import() {
    let world = World::new();
    let (execution, _) = world.running(false).await;
    let other = order(&world.shape, [2; 32]);
    let begun = begin(&world.workflows, &world.machine, &other, false).await;
    let Begun::Running {
        execution: another,
        started: true,
    } = begun.unwrap()
    else {
        panic!("nothing was started");
    };
    assert_ne!(another, execution);
    let third = order(&world.shape, [3; 32]);
    let refused = begin(&world.workflows, &world.machine, &third, true);
    assert!(matches!(refused.await, Err(ImportError::TableExists(table)) if table == "ids"));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_told_and_begun_anew_once_its_table_is_gone() {
    let world = World::new();
    let (execution, _) = world.running(false).await;
    let cause = json!({
        "message": "The import of table ids ended FAILED.",
        "failure_code": "ItemValidationError", "failure_message": "Some items failed",
        "import_arn": format!("{TABLE_ARN}/import/0123-ab"),
        "log_group": "arn:aws:logs:us-east-1:123456789012:log-group:/aws-dynamodb/imports:*",
    });
    world
        .workflows
        .fail(&execution, "Import.Failed", &cause.to_string());
    let (ended, _) = world.follow(&execution, std::future::pending()).await;
    assert_eq!(
        ended.unwrap_err().to_string(),
        "the import did not succeed: The import of table ids ended FAILED. (code: ItemValidationError) (message: Some items failed); what was refused: aws logs filter-log-events --log-group-name /aws-dynamodb/imports --filter-pattern '\"0123-ab\"'"
    );
    let partial = world.begin(true).await.unwrap_err();
    assert!(
        matches!(partial, ImportError::PartialTable { .. }),
        "{partial}"
    );
    assert!(world.running(false).await.1);
    assert_eq!(world.tokens(), ["-1", "-2"]);
}

#[tokio::test]
async fn an_import_that_nobody_watches_any_more_is_watched_again() {
    for error in ["Import.StillRunning", "Import.NotReady", "States.Timeout"] {
        let world = World::new();
        let (first, _) = world.running(false).await;
        world.workflows.fail(&first, error, "not JSON");
        let (second, started) = world.running(true).await;
        assert!(started && second != first, "{error}");
        assert_eq!(world.running(true).await, (second.clone(), false));
        world.workflows.abort(&second);
        assert!(world.running(true).await.1);
        // All of them under one token: the import is one.
        assert_eq!(world.tokens(), ["-1", "-1", "-1"]);
    }
}

#[tokio::test]
async fn an_import_that_was_never_begun_is_begun_unless_a_table_is_in_the_way() {
    let world = World::new();
    let (first, _) = world.running(false).await;
    world
        .workflows
        .fail(&first, "Import.Refused", r#"{"message":"no"}"#);
    let refused = world.begin(true).await.unwrap_err();
    assert!(matches!(refused, ImportError::TableExists(_)));
    assert!(world.running(false).await.1);
    assert_eq!(world.tokens(), ["-1", "-1"]);
}

/// A store that fails for a while.
struct Flaky {
    workflows: MemoryWorkflows,
    failures: std::cell::Cell<u32>,
    kind: ErrorKind,
}

impl Workflows for Flaky {
    async fn start(&self, machine: &str, name: &str, input: &str) -> Result<String, StorageError> {
        self.workflows.start(machine, name, input).await
    }

    async fn execution(&self, arn: &str) -> Result<Execution, StorageError> {
        match self.failures.get() {
            0 => self.workflows.execution(arn).await,
            left => {
                self.failures.set(left - 1);
                Err(StorageError::new(self.kind, "DescribeExecution", arn, "no"))
            }
        }
    }
}

impl TableImports for Flaky {
    async fn newest_import(&self, arn: &str) -> Result<Option<ImportProgress>, StorageError> {
        let kind = ErrorKind::Denied;
        Err(StorageError::new(kind, "ListImports", arn, "no"))
    }
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_for_a_while_are_survived() {
    let cases = [
        (ErrorKind::Unanswered, 30, true),
        (ErrorKind::Unanswered, 31, false),
        (ErrorKind::Denied, 1, false),
    ];
    for (kind, failures, survives) in cases {
        let world = World::new();
        let (execution, _) = world.running(false).await;
        world.workflows.succeed(&execution, &output());
        let flaky = Flaky {
            workflows: world.workflows.clone(),
            failures: failures.into(),
            kind,
        };
        let following = Following {
            workflows: &flaky,
            imports: &flaky,
            execution: &execution,
            machine: &world.machine,
            table: "ids",
        };
        let ended = follow(&following, std::future::pending(), |_| ()).await;
        match survives {
            true => assert_eq!(ended.unwrap(), Ending::Done(report())),
            false => assert!(matches!(ended, Err(ImportError::Lost(_))), "{ended:?}"),
        }
    }
}

#[tokio::test]
async fn a_table_is_there_or_not() {
    let tables = MemoryTables::new().with_table(shape());
    assert!(table_exists(&tables, "ids").await.unwrap());
    assert!(!table_exists(&tables, "other").await.unwrap());
}

#[test]
fn only_what_was_accepted_is_imported() {
    let preflight = |kinds: &[Kind]| {
        let finding = |kind: &Kind| Finding {
            kind: *kind,
            effect: kind.effect(),
            count: 1,
            examples: Vec::new(),
        };
        kinds.iter().map(finding).collect::<Vec<_>>()
    };
    let all = preflight(&[
        Kind::MissingKey,
        Kind::DuplicateKey,
        Kind::LineBreak,
        Kind::EmptyCells,
    ]);
    let kinds = |duplicates, line_breaks| {
        let accepted = Accepted {
            duplicates,
            line_breaks,
        };
        let refused = refused_of(&all, accepted);
        refused
            .into_iter()
            .map(|finding| finding.kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(false, false),
        [Kind::MissingKey, Kind::DuplicateKey, Kind::LineBreak]
    );
    assert_eq!(kinds(true, false), [Kind::MissingKey, Kind::LineBreak]);
    assert_eq!(kinds(true, true), [Kind::MissingKey]);
}
