//! What each function does with its role, and what that needs.

mod exports;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wiring_tests::policies::Grant;
use wiring_tests::sources::squeezed;
use wiring_tests::template::{ACCOUNT, REGION, Template};

/// One role, who has it, and everything that is done with it.
pub struct Holder {
    /// The role's logical id.
    pub role: &'static str,
    /// Folders and files of the code that runs with it; none where only a service has it.
    pub code: &'static [&'static str],
    /// What that code calls.
    pub calls: &'static [Call],
    /// What a service does with it beside.
    pub service: &'static [Need],
}

/// Action and resource, from the Service Authorization Reference.
pub type Need = (&'static str, Resource);

/// One SDK operation, where it is used, and what it needs.
pub struct Call {
    /// The operation's method in `crates/storage`.
    pub operation: &'static str,
    /// What the function's code has when it comes to this operation.
    pub used_as: &'static str,
    pub needs: &'static [Need],
}

#[derive(Debug, Clone, Copy)]
pub enum Resource {
    Inbox,
    InboxObjects,
    /// The lake, for any prefix.
    Lake,
    /// The lake, for a prefix under one of these folders.
    LakeFolders(&'static [&'static str]),
    /// Objects of the lake below a folder.
    LakeObjects(&'static str),
    /// The lists of files that DynamoDB writes with its exports.
    ListsOfFiles,
    TargetTable,
    TargetStream,
    Ledger,
    OpenJobs,
    FailureQueue,
    /// A log group, by its logical id.
    Log(&'static str),
    /// A function, by its logical id.
    Function(&'static str),
    /// The table whose pending items are reprocessed.
    ReprocessTable,
    ReprocessIndex,
    /// A state machine by its logical id, its executions, and those of its Distributed Map.
    Machine(&'static str),
    Executions(&'static str),
    Children(&'static str),
    /// The table that is exported and scanned, and its exports.
    ExportTable,
    Exports,
    /// All there is: the action takes no resource.
    Account,
    /// Tables that the import may make, and their imports.
    ImportedTables,
    Imports,
    /// Log groups that DynamoDB writes.
    DynamoDbLogs,
}

use Resource::*;

const JSON_COPIES: Resource = LakeObjects("json-copy");
const UNPROCESSED: Resource = LakeObjects("unprocessed");
const CHANGES: Resource = LakeObjects("changes");
const REPROCESSED: Resource = LakeObjects("reprocessed");
const SET_ASIDE: Resource = LakeObjects("unprocessed/reprocess");
const INGESTER_FOLDERS: Resource = LakeFolders(&["json-copy", "unprocessed", "mappings"]);
const REPROCESSOR_FOLDERS: Resource = LakeFolders(&["reprocessed", "unprocessed/reprocess"]);

const WRITE_PARTS: &[Need] = &[("s3:PutObject", JSON_COPIES), ("s3:PutObject", UNPROCESSED)];
const READ_UPLOADS: &[Need] = &[
    ("s3:GetObject", InboxObjects),
    ("s3:GetObjectVersion", InboxObjects),
];

const READ_OWN: &[Need] = &[("s3:GetObject", REPROCESSED), ("s3:GetObject", SET_ASIDE)];
const WRITE_OWN: &[Need] = &[("s3:PutObject", REPROCESSED), ("s3:PutObject", SET_ASIDE)];

const fn call(operation: &'static str, used_as: &'static str, needs: &'static [Need]) -> Call {
    Call {
        operation,
        used_as,
        needs,
    }
}

/// Every role.
pub fn holders() -> impl Iterator<Item = &'static Holder> {
    HOLDERS.iter().chain(exports::HOLDERS)
}

const HOLDERS: &[Holder] = &[
    Holder {
        role: "IngesterRole",
        code: &["crates/csv-ingester/src", "crates/bulk-writer/src"],
        calls: &[
            call("get_object", "objects.open(", READ_UPLOADS),
            // Without it, S3 answers "denied" for an object that is not there.
            call(
                "get_object",
                "objects.open(",
                &[
                    ("s3:ListBucket", Inbox),
                    ("s3:ListBucket", INGESTER_FOLDERS),
                ],
            ),
            call(
                "get_object",
                "objects.open(",
                &[("s3:GetObject", LakeObjects("mappings"))],
            ),
            // How a body is gone on with that broke off at its very end.
            call("head_object", "open_resuming(", READ_UPLOADS),
            call("put_object", "objects.put(", WRITE_PARTS),
            call(
                "create_multipart_upload",
                "objects.begin_upload(",
                WRITE_PARTS,
            ),
            call("upload_part", "objects.upload_part(", WRITE_PARTS),
            call(
                "complete_multipart_upload",
                "objects.complete_upload(",
                WRITE_PARTS,
            ),
            call(
                "abort_multipart_upload",
                "objects.abort_upload(",
                &[
                    ("s3:AbortMultipartUpload", JSON_COPIES),
                    ("s3:AbortMultipartUpload", UNPROCESSED),
                ],
            ),
            call(
                "list_objects_v2",
                "objects.list(",
                &[("s3:ListBucket", INGESTER_FOLDERS)],
            ),
            call(
                "delete_object",
                "objects.delete(",
                &[
                    ("s3:DeleteObject", JSON_COPIES),
                    ("s3:DeleteObject", UNPROCESSED),
                ],
            ),
            call(
                "describe_table",
                "tables.describe(",
                &[("dynamodb:DescribeTable", TargetTable)],
            ),
            call(
                "batch_write_item",
                "store.put_batch(",
                &[("dynamodb:BatchWriteItem", TargetTable)],
            ),
            call("get_item", "ledger.read(", &[("dynamodb:GetItem", Ledger)]),
            call("put_item", "ledger.write(", &[("dynamodb:PutItem", Ledger)]),
            call(
                "query",
                "ledger.open_jobs(",
                &[("dynamodb:Query", OpenJobs)],
            ),
            call(
                "send_message",
                "notices.send(",
                &[("sqs:SendMessage", FailureQueue)],
            ),
        ],
        service: &[
            ("logs:CreateLogStream", Log("IngesterLog")),
            ("logs:PutLogEvents", Log("IngesterLog")),
        ],
    },
    Holder {
        role: "StreamWriterRole",
        code: &["crates/stream-writer/src"],
        calls: &[
            // Likewise.
            call(
                "get_object",
                "resuming(objects,",
                &[("s3:GetObject", CHANGES), ("s3:ListBucket", Lake)],
            ),
            call(
                "head_object",
                "resuming(objects,",
                &[("s3:GetObject", CHANGES)],
            ),
            call(
                "put_object",
                ".put_new(",
                &[
                    ("s3:PutObject", CHANGES),
                    ("s3:PutObject", LakeObjects("unprocessed/changes")),
                ],
            ),
        ],
        // Lambda reads the stream and writes what it gives up with the function's role (Lambda Developer Guide, "Process
        // DynamoDB records" and "Retain discarded records for a DynamoDB event source").
        service: &[
            ("dynamodb:DescribeStream", TargetStream),
            ("dynamodb:GetRecords", TargetStream),
            ("dynamodb:GetShardIterator", TargetStream),
            ("dynamodb:ListStreams", TargetStream),
            ("s3:PutObject", LakeObjects("aws/lambda")),
            ("s3:ListBucket", Lake),
            ("logs:CreateLogStream", Log("StreamWriterLog")),
            ("logs:PutLogEvents", Log("StreamWriterLog")),
        ],
    },
    // What EventBridge Scheduler does with the schedule's role.
    Holder {
        role: "SweepRole",
        code: &[],
        calls: &[],
        service: &[
            ("lambda:InvokeFunction", Function("IngesterFunction")),
            ("sqs:SendMessage", FailureQueue),
        ],
    },
    Holder {
        role: "ReprocessorRole",
        code: &["crates/gsi-reprocessor/src"],
        calls: &[
            call(
                "describe_table",
                ".describe(",
                &[("dynamodb:DescribeTable", ReprocessTable)],
            ),
            call(
                "query",
                "tables.index_page(",
                &[("dynamodb:Query", ReprocessIndex)],
            ),
            call(
                "get_item",
                "tables.item(",
                &[("dynamodb:GetItem", ReprocessTable)],
            ),
            call(
                "update_item",
                "ItemWrite::Update{",
                &[("dynamodb:UpdateItem", ReprocessTable)],
            ),
            call("get_item", "ledger.read(", &[("dynamodb:GetItem", Ledger)]),
            call("put_item", "ledger.write(", &[("dynamodb:PutItem", Ledger)]),
            // Likewise.
            call(
                "get_object",
                "open_resuming(",
                &[("s3:ListBucket", REPROCESSOR_FOLDERS)],
            ),
            call("get_object", "open_resuming(", READ_OWN),
            call("head_object", "open_resuming(", READ_OWN),
            call("put_object", "objects.put_new(", WRITE_OWN),
            call("put_object", "objects.put_replacing(", WRITE_OWN),
            call(
                "put_object",
                "objects.put(",
                &[("s3:PutObject", REPROCESSED)],
            ),
            call(
                "delete_object",
                ".delete(",
                &[("s3:DeleteObject", SET_ASIDE)],
            ),
        ],
        // Lambda reports a run that failed for good with the function's role (Lambda Developer Guide, "Retain records of
        // asynchronous invocations").
        service: &[
            ("sqs:SendMessage", FailureQueue),
            ("logs:CreateLogStream", Log("ReprocessorLog")),
            ("logs:PutLogEvents", Log("ReprocessorLog")),
        ],
    },
    Holder {
        role: "ReprocessScheduleRole",
        code: &[],
        calls: &[],
        service: &[
            ("lambda:InvokeFunction", Function("ReprocessorFunction")),
            ("sqs:SendMessage", FailureQueue),
        ],
    },
    // What Step Functions does with the machines' roles; tests/state_machines.rs compares it with the definitions.
    Holder {
        role: "DrainRole",
        code: &[],
        calls: &[],
        service: &[
            ("lambda:InvokeFunction", Function("ReprocessorFunction")),
            ("states:StartExecution", Machine("DrainMachine")),
            ("states:DescribeExecution", Executions("DrainMachine")),
            ("states:DescribeExecution", Children("DrainMachine")),
            ("states:StopExecution", Executions("DrainMachine")),
            ("states:StopExecution", Children("DrainMachine")),
            ("states:RedriveExecution", Executions("DrainMachine")),
            ("states:RedriveExecution", Children("DrainMachine")),
        ],
    },
    Holder {
        role: "ImportRole",
        code: &[],
        calls: &[],
        service: &[
            ("dynamodb:ImportTable", ImportedTables),
            ("dynamodb:DescribeImport", Imports),
            ("dynamodb:DescribeTable", ImportedTables),
            ("dynamodb:UpdateContinuousBackups", ImportedTables),
            ("dynamodb:UpdateTable", ImportedTables),
            ("s3:GetObject", LakeObjects("imports")),
            ("s3:ListBucket", Lake),
            ("logs:CreateLogGroup", DynamoDbLogs),
            ("logs:CreateLogStream", DynamoDbLogs),
            ("logs:DescribeLogGroups", DynamoDbLogs),
            ("logs:DescribeLogStreams", DynamoDbLogs),
            ("logs:PutLogEvents", DynamoDbLogs),
            ("logs:PutRetentionPolicy", DynamoDbLogs),
        ],
    },
];

/// What no function does: the command line alone, with the rights of whoever runs it.
pub const COMMAND_LINE: &[Call] = &[
    call("put_item", "ItemWrite::Put(", &[]),
    call("delete_item", "ItemWrite::Delete(", &[]),
    call("start_execution", "workflows.start(", &[]),
    call("list_imports", ".newest_import(", &[]),
    call("describe_import", ".newest_import(", &[]),
];

impl Holder {
    /// Its code without white space; empty where it has none.
    pub fn source(&self) -> String {
        self.code.iter().map(squeezed).collect()
    }

    /// All that its role must allow, and no more.
    pub fn needs(&self, template: &Template) -> BTreeSet<Grant> {
        let called = self.calls.iter().flat_map(|call| call.needs);
        called
            .chain(self.service)
            .map(|(action, resource)| grant(template, action, *resource))
            .collect()
    }
}

fn grant(template: &Template, action: &str, resource: Resource) -> Grant {
    let lake = || template.arn("LakeBucket");
    let mut condition = Value::Null;
    let resource = match resource {
        Inbox => template.arn("InboxBucket"),
        InboxObjects => format!("{}/*", template.arn("InboxBucket")),
        Lake => lake(),
        LakeFolders(folders) => {
            let prefixes: Vec<String> = folders.iter().map(|name| format!("{name}/*")).collect();
            condition = json!({"StringLike": {"s3:prefix": prefixes}});
            lake()
        }
        LakeObjects(folder) => format!("{}/{folder}/*", lake()),
        ListsOfFiles => format!("{}/exports/AWSDynamoDB/*/manifest-files.json", lake()),
        TargetTable => template.arn("TargetTable"),
        TargetStream => template.attribute("TargetTable", "StreamArn"),
        Ledger => template.arn("LedgerTable"),
        OpenJobs => format!(
            "{}/index/{}",
            template.arn("LedgerTable"),
            storage::aws::OPEN_INDEX
        ),
        FailureQueue => template.arn("FailureQueue"),
        Log(group) => template.arn(group),
        Function(function) => template.arn(function),
        ReprocessTable => table_of(template, "ReprocessTable"),
        ReprocessIndex => format!(
            "{}/index/{}",
            table_of(template, "ReprocessTable"),
            template.reference("ReprocessIndex")
        ),
        Machine(id) => template.arn(id),
        Executions(id) => format!("{}:*", executions(template, id)),
        Children(id) => format!("{}/*", executions(template, id)),
        ExportTable => table_of(template, "ExportTable"),
        Account => "*".to_owned(),
        Exports => format!("{}/export/*", table_of(template, "ExportTable")),
        ImportedTables => imported_tables(template),
        Imports => format!("{}/import/*", imported_tables(template)),
        DynamoDbLogs => format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws-dynamodb/*"),
    };
    Grant {
        action: action.to_owned(),
        resource,
        condition: condition.to_string(),
    }
}

fn table(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

/// The table that a parameter names, or the target table where it names none.
fn table_of(template: &Template, parameter: &str) -> String {
    match template.reference(parameter).as_str() {
        "" => template.arn("TargetTable"),
        name => table(name),
    }
}

fn imported_tables(template: &Template) -> String {
    match template.reference("ImportTables").as_str() {
        "" => table("stack-*"),
        pattern => table(pattern),
    }
}

/// The beginning of the ARN of every execution of a machine.
fn executions(template: &Template, machine: &str) -> String {
    let machine = template.arn(machine);
    machine.replace(":stateMachine:", ":execution:")
}
