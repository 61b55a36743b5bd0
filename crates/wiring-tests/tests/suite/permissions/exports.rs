//! Roles of exports and scans.

use super::Resource::*;
use super::{CHANGES, Holder, Need, Resource, call};

const EXPORTS: Resource = LakeObjects("exports");
const SETTINGS: Resource = LakeObjects("settings");
const SCHEMAS: Resource = LakeObjects("schemas");
const TABLES: Resource = LakeObjects("tables");

const OF_POLLER: Resource = LakeFolders(&["exports", "settings", "schemas", "tables", "changes"]);
const OF_TRANSFORMER: Resource = LakeFolders(&["exports", "schemas", "tables", "changes"]);
const OF_SCANNER: Resource = LakeFolders(&["settings", "schemas", "tables", "changes"]);

/// What is made of rows.
const WRITE: &[Need] = &[("s3:PutObject", TABLES), ("s3:PutObject", CHANGES)];
const ABORT: &[Need] = &[
    ("s3:AbortMultipartUpload", TABLES),
    ("s3:AbortMultipartUpload", CHANGES),
];
/// An upload that is gone may have become its object.
const LOOK: &[Need] = &[("s3:GetObject", TABLES), ("s3:GetObject", CHANGES)];

const READ_BY_POLLER: &[Need] = &[
    ("s3:GetObject", EXPORTS),
    ("s3:GetObject", SETTINGS),
    ("s3:GetObject", SCHEMAS),
];
const READ_BY_TRANSFORMER: &[Need] = &[("s3:GetObject", EXPORTS), ("s3:GetObject", SCHEMAS)];
const READ_BY_SCANNER: &[Need] = &[("s3:GetObject", SETTINGS), ("s3:GetObject", SCHEMAS)];

pub const HOLDERS: &[Holder] = &[
    Holder {
        role: "ExportPollerRole",
        code: &[
            "crates/export-poller/src",
            "crates/export-jobs/src/folder.rs",
            "crates/export-jobs/src/hold.rs",
            "crates/export-jobs/src/manifest",
            "crates/export-jobs/src/row.rs",
        ],
        calls: &[
            call(
                "describe_table",
                "tables.describe(",
                &[("dynamodb:DescribeTable", ExportTable)],
            ),
            call(
                "describe_continuous_backups",
                ".recovery(",
                &[("dynamodb:DescribeContinuousBackups", ExportTable)],
            ),
            // DynamoDB writes with the rights of whoever asks (DynamoDB Developer Guide, "Requesting a table export").
            call(
                "export_table_to_point_in_time",
                "exports.begin_export(",
                &[
                    ("dynamodb:ExportTableToPointInTime", ExportTable),
                    ("s3:PutObject", EXPORTS),
                    ("s3:PutObjectAcl", EXPORTS),
                    ("s3:AbortMultipartUpload", EXPORTS),
                ],
            ),
            call(
                "describe_export",
                "exports.export(",
                &[("dynamodb:DescribeExport", Exports)],
            ),
            call(
                "list_exports",
                "exports.exports(",
                &[("dynamodb:ListExports", Account)],
            ),
            call(
                "describe_execution",
                ".execution(",
                &[("states:DescribeExecution", Executions("ExportMachine"))],
            ),
            call("get_item", "ledger.read(", &[("dynamodb:GetItem", Ledger)]),
            call("put_item", "ledger.write(", &[("dynamodb:PutItem", Ledger)]),
            call("get_object", "open_resuming(", READ_BY_POLLER),
            // Without it, S3 answers "denied" for an object that is not there.
            call(
                "get_object",
                "open_resuming(",
                &[("s3:ListBucket", OF_POLLER)],
            ),
            call("head_object", "open_resuming(", READ_BY_POLLER),
            call("list_objects_v2", ".list(", &[("s3:ListBucket", OF_POLLER)]),
            // Schemas, and what says that a window is whole.
            call(
                "put_object",
                ".put(",
                &[("s3:PutObject", SCHEMAS), ("s3:PutObject", TABLES)],
            ),
            call("put_object", ".put_new(", &[("s3:PutObject", CHANGES)]),
        ],
        service: &[
            ("logs:CreateLogStream", Log("ExportPollerLog")),
            ("logs:PutLogEvents", Log("ExportPollerLog")),
        ],
    },
    Holder {
        role: "ExportTransformerRole",
        code: &[
            "crates/export-transformer/src",
            "crates/export-jobs/src/documents.rs",
            "crates/export-jobs/src/output",
            "crates/export-jobs/src/row.rs",
        ],
        calls: &[
            call("get_item", "ledger.read(", &[("dynamodb:GetItem", Ledger)]),
            call("put_item", "ledger.write(", &[("dynamodb:PutItem", Ledger)]),
            call("get_object", "open_resuming(", READ_BY_TRANSFORMER),
            // Likewise.
            call(
                "get_object",
                "open_resuming(",
                &[("s3:ListBucket", OF_TRANSFORMER)],
            ),
            call("head_object", "open_resuming(", READ_BY_TRANSFORMER),
            // What was learnt of a file's types.
            call("put_object", ".put(", &[("s3:PutObject", SCHEMAS)]),
            // Parts are written, and the object appears when the ledger has decided so.
            call("create_multipart_upload", "StagedWriter::new(", WRITE),
            call("upload_part", "StagedWriter::new(", WRITE),
            call("complete_multipart_upload", "staged::publish(", WRITE),
            call("get_object", "staged::publish(", LOOK),
            call("abort_multipart_upload", "staged::discard(", ABORT),
        ],
        service: &[
            ("logs:CreateLogStream", Log("ExportTransformerLog")),
            ("logs:PutLogEvents", Log("ExportTransformerLog")),
        ],
    },
    Holder {
        role: "TableScannerRole",
        code: &["crates/table-scanner/src", "crates/export-jobs/src"],
        calls: &[
            call(
                "describe_table",
                "tables.describe(",
                &[("dynamodb:DescribeTable", ExportTable)],
            ),
            call("scan", ".scan_page(", &[("dynamodb:Scan", ExportTable)]),
            call(
                "describe_execution",
                ".execution(",
                &[("states:DescribeExecution", Executions("ScanMachine"))],
            ),
            call("get_item", "ledger.read(", &[("dynamodb:GetItem", Ledger)]),
            call("put_item", "ledger.write(", &[("dynamodb:PutItem", Ledger)]),
            call("get_object", "open_resuming(", READ_BY_SCANNER),
            // Likewise.
            call(
                "get_object",
                "open_resuming(",
                &[("s3:ListBucket", OF_SCANNER)],
            ),
            call("head_object", "open_resuming(", READ_BY_SCANNER),
            call(
                "list_objects_v2",
                ".list(",
                &[("s3:ListBucket", OF_SCANNER)],
            ),
            call("put_object", "objects.put(", WRITE),
            call(
                "put_object",
                "objects.put_new(",
                &[("s3:PutObject", SCHEMAS)],
            ),
            call("create_multipart_upload", "StagedWriter::new(", WRITE),
            call("upload_part", "StagedWriter::new(", WRITE),
            call("complete_multipart_upload", "staged::publish(", WRITE),
            call("get_object", "staged::publish(", LOOK),
            call("abort_multipart_upload", "staged::discard(", ABORT),
        ],
        service: &[
            ("logs:CreateLogStream", Log("TableScannerLog")),
            ("logs:PutLogEvents", Log("TableScannerLog")),
        ],
    },
    // What Step Functions does with the machines' roles; tests/state_machines compares it with the definitions.
    Holder {
        role: "ExportRole",
        code: &[],
        calls: &[],
        service: &[
            ("lambda:InvokeFunction", Function("ExportPollerFunction")),
            (
                "lambda:InvokeFunction",
                Function("ExportTransformerFunction"),
            ),
            ("s3:GetObject", ListsOfFiles),
            ("s3:GetObject", LakeObjects("exports/results")),
            ("s3:PutObject", LakeObjects("exports/results")),
            (
                "s3:ListMultipartUploadParts",
                LakeObjects("exports/results"),
            ),
            ("s3:AbortMultipartUpload", LakeObjects("exports/results")),
            ("states:StartExecution", Machine("ExportMachine")),
            ("states:DescribeExecution", Executions("ExportMachine")),
            ("states:DescribeExecution", Children("ExportMachine")),
            ("states:StopExecution", Executions("ExportMachine")),
            ("states:StopExecution", Children("ExportMachine")),
            ("states:RedriveExecution", Executions("ExportMachine")),
            ("states:RedriveExecution", Children("ExportMachine")),
        ],
    },
    Holder {
        role: "ScanRole",
        code: &[],
        calls: &[],
        service: &[
            ("lambda:InvokeFunction", Function("TableScannerFunction")),
            ("states:StartExecution", Machine("ScanMachine")),
            ("states:DescribeExecution", Executions("ScanMachine")),
            ("states:DescribeExecution", Children("ScanMachine")),
            ("states:StopExecution", Executions("ScanMachine")),
            ("states:StopExecution", Children("ScanMachine")),
            ("states:RedriveExecution", Executions("ScanMachine")),
            ("states:RedriveExecution", Children("ScanMachine")),
        ],
    },
    // What EventBridge Scheduler does with the schedules' role.
    Holder {
        role: "ExportScheduleRole",
        code: &[],
        calls: &[],
        service: &[
            ("states:StartExecution", Machine("ExportMachine")),
            ("sqs:SendMessage", FailureQueue),
        ],
    },
];
