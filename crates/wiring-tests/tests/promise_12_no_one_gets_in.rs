//! Promise 12: each role may do exactly what the code behind it does, and nobody else gets in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wiring_tests::sources::{sdk_calls, squeezed};
use wiring_tests::template::{ACCOUNT, Template};
use wiring_tests::{read, repository_files};

/// One SDK operation, where it is used, and what it needs.
struct Call {
    /// The operation's method in `crates/storage`.
    operation: &'static str,
    /// What the ingester's code has when it comes to this operation.
    used_as: &'static str,
    /// Action and resource, from the Service Authorization Reference.
    needs: &'static [(&'static str, Resource)],
}

#[derive(Debug, Clone, Copy)]
enum Resource {
    Inbox,
    InboxObjects,
    /// The lake, for a prefix under one of the three folders that the ingester uses.
    LakeFolders,
    Mappings,
    JsonCopies,
    Unprocessed,
    TargetTable,
    Ledger,
    OpenJobs,
    FailureQueue,
    Log,
    Function,
}

use Resource::*;

const CALLS: &[Call] = &[
    Call {
        operation: "get_object",
        used_as: "objects.open(",
        needs: &[
            ("s3:GetObject", InboxObjects),
            ("s3:GetObjectVersion", InboxObjects),
            // Without it, S3 answers "denied" for an object that is not there.
            ("s3:ListBucket", Inbox),
            ("s3:GetObject", Mappings),
            ("s3:ListBucket", LakeFolders),
        ],
    },
    // How a body is gone on with that broke off at its very end.
    Call {
        operation: "head_object",
        used_as: "open_resuming(",
        needs: &[
            ("s3:GetObject", InboxObjects),
            ("s3:GetObjectVersion", InboxObjects),
        ],
    },
    Call {
        operation: "put_object",
        used_as: "objects.put(",
        needs: &[("s3:PutObject", JsonCopies), ("s3:PutObject", Unprocessed)],
    },
    Call {
        operation: "create_multipart_upload",
        used_as: "objects.begin_upload(",
        needs: &[("s3:PutObject", JsonCopies), ("s3:PutObject", Unprocessed)],
    },
    Call {
        operation: "upload_part",
        used_as: "objects.upload_part(",
        needs: &[("s3:PutObject", JsonCopies), ("s3:PutObject", Unprocessed)],
    },
    Call {
        operation: "complete_multipart_upload",
        used_as: "objects.complete_upload(",
        needs: &[("s3:PutObject", JsonCopies), ("s3:PutObject", Unprocessed)],
    },
    Call {
        operation: "abort_multipart_upload",
        used_as: "objects.abort_upload(",
        needs: &[
            ("s3:AbortMultipartUpload", JsonCopies),
            ("s3:AbortMultipartUpload", Unprocessed),
        ],
    },
    Call {
        operation: "list_objects_v2",
        used_as: "objects.list(",
        needs: &[("s3:ListBucket", LakeFolders)],
    },
    Call {
        operation: "delete_object",
        used_as: "objects.delete(",
        needs: &[
            ("s3:DeleteObject", JsonCopies),
            ("s3:DeleteObject", Unprocessed),
        ],
    },
    Call {
        operation: "describe_table",
        used_as: "tables.describe(",
        needs: &[("dynamodb:DescribeTable", TargetTable)],
    },
    Call {
        operation: "batch_write_item",
        used_as: "store.put_batch(",
        needs: &[("dynamodb:BatchWriteItem", TargetTable)],
    },
    Call {
        operation: "get_item",
        used_as: "ledger.read(",
        needs: &[("dynamodb:GetItem", Ledger)],
    },
    Call {
        operation: "put_item",
        used_as: "ledger.write(",
        needs: &[("dynamodb:PutItem", Ledger)],
    },
    Call {
        operation: "query",
        used_as: "ledger.open_jobs(",
        needs: &[("dynamodb:Query", OpenJobs)],
    },
    Call {
        operation: "send_message",
        used_as: "notices.send(",
        needs: &[("sqs:SendMessage", FailureQueue)],
    },
];

/// What Lambda does with the function's role.
const LOGGING: &[(&str, Resource)] = &[("logs:CreateLogStream", Log), ("logs:PutLogEvents", Log)];

/// What EventBridge Scheduler does with the schedule's role.
const SWEEPING: &[(&str, Resource)] = &[
    ("lambda:InvokeFunction", Function),
    ("sqs:SendMessage", FailureQueue),
];

/// An action that is allowed on a resource, under a condition or none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    action: String,
    resource: String,
    condition: String,
}

fn grant(template: &Template, action: &str, resource: Resource) -> Grant {
    let lake = || template.arn("LakeBucket");
    let mut condition = Value::Null;
    let resource = match resource {
        Inbox => template.arn("InboxBucket"),
        InboxObjects => format!("{}/*", template.arn("InboxBucket")),
        LakeFolders => {
            condition = json!({"StringLike": {"s3:prefix": ["json-copy/*", "unprocessed/*", "mappings/*"]}});
            lake()
        }
        Mappings => format!("{}/mappings/*", lake()),
        JsonCopies => format!("{}/json-copy/*", lake()),
        Unprocessed => format!("{}/unprocessed/*", lake()),
        TargetTable => template.arn("TargetTable"),
        Ledger => template.arn("LedgerTable"),
        OpenJobs => format!(
            "{}/index/{}",
            template.arn("LedgerTable"),
            storage::aws::OPEN_INDEX
        ),
        FailureQueue => template.arn("FailureQueue"),
        Log => template.arn("IngesterLog"),
        Function => template.arn("IngesterFunction"),
    };
    Grant {
        action: action.to_owned(),
        resource,
        condition: condition.to_string(),
    }
}

/// Everything that a role's own policies allow.
fn grants(role: &Value) -> BTreeSet<Grant> {
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
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(entries) => entries.iter().collect(),
        single => vec![single],
    }
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a text was expected: {value}"))
}

fn roles(template: &Template) -> BTreeMap<String, Value> {
    let ids = template.resources("AWS::IAM::Role");
    ids.into_iter()
        .map(|id| (id.clone(), template.properties(&id)))
        .collect()
}

#[test]
fn promise_12_every_sdk_call_is_in_the_table_of_permissions() {
    let called: BTreeSet<String> = sdk_calls(&squeezed("crates/storage/src"))
        .into_iter()
        .collect();
    let known: BTreeSet<String> = CALLS.iter().map(|call| call.operation.to_owned()).collect();
    assert_eq!(
        called, known,
        "left: calls of the code; right: table in this file"
    );
}

#[test]
fn promise_12_every_call_of_the_table_is_made_by_the_ingester() {
    let ingester = squeezed("crates/csv-ingester/src") + &squeezed("crates/bulk-writer/src");
    for call in CALLS {
        assert!(
            ingester.contains(call.used_as),
            "nothing comes to {}: no {}…) is in csv-ingester or bulk-writer",
            call.operation,
            call.used_as
        );
    }
}

#[test]
fn promise_12_only_storage_and_the_bench_name_the_sdk() {
    let manifests = repository_files().into_iter().filter(|path| {
        path.starts_with("crates") && path.file_name().is_some_and(|name| name == "Cargo.toml")
    });
    let with_sdk: Vec<String> = manifests
        .filter(|path| read(path).contains("\naws-sdk-"))
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        with_sdk,
        ["crates/bench/Cargo.toml", "crates/storage/Cargo.toml"]
    );
}

#[test]
fn promise_12_each_role_may_do_exactly_what_is_called() {
    let template = Template::of_repository();
    let ingesting = CALLS.iter().flat_map(|call| call.needs).chain(LOGGING);
    let expected: BTreeMap<String, BTreeSet<Grant>> = BTreeMap::from([
        (
            "IngesterRole".to_owned(),
            ingesting
                .map(|(action, resource)| grant(&template, action, *resource))
                .collect(),
        ),
        (
            "SweepRole".to_owned(),
            SWEEPING
                .iter()
                .map(|(action, resource)| grant(&template, action, *resource))
                .collect(),
        ),
    ]);
    let allowed: BTreeMap<String, BTreeSet<Grant>> = roles(&template)
        .iter()
        .map(|(id, role)| (id.clone(), grants(role)))
        .collect();
    for (role, expected) in &expected {
        let allowed = &allowed[role];
        let missing: Vec<_> = expected.difference(allowed).collect();
        let unused: Vec<_> = allowed.difference(expected).collect();
        assert!(
            missing.is_empty() && unused.is_empty(),
            "{role} lacks {missing:#?} and has without need {unused:#?}"
        );
    }
    assert_eq!(
        allowed.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
}

#[test]
fn promise_12_roles_have_no_other_source_of_permissions() {
    let template = Template::of_repository();
    for (id, role) in roles(&template) {
        assert!(role.get("ManagedPolicyArns").is_none(), "{id}");
    }
    for kind in [
        "AWS::IAM::Policy",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::RolePolicy",
    ] {
        assert!(template.resources(kind).is_empty(), "{kind}");
    }
}

#[test]
fn promise_12_each_role_is_taken_by_one_service_only() {
    let template = Template::of_repository();
    let roles = roles(&template);
    let trust = |id: &str| {
        let document = &roles[id]["AssumeRolePolicyDocument"];
        let statements = list(&document["Statement"]);
        assert_eq!(statements.len(), 1, "{id}");
        assert_eq!(statements[0]["Action"], "sts:AssumeRole", "{id}");
        statements[0].clone()
    };
    assert_eq!(
        trust("IngesterRole")["Principal"],
        json!({"Service": "lambda.amazonaws.com"})
    );
    let scheduler = trust("SweepRole");
    assert_eq!(
        scheduler["Principal"],
        json!({"Service": "scheduler.amazonaws.com"})
    );
    // Without it, a schedule of any account could take the role.
    let condition = &scheduler["Condition"]["StringEquals"];
    assert_eq!(condition["aws:SourceAccount"], ACCOUNT);
}

#[test]
fn promise_12_no_action_has_a_wildcard_and_every_resource_a_name() {
    let template = Template::of_repository();
    for (id, role) in roles(&template) {
        for Grant {
            action, resource, ..
        } in grants(&role)
        {
            assert!(!action.contains(['*', '?']), "{id} may {action}");
            let name = resource.splitn(6, ':').nth(5).unwrap_or_default();
            let named = name.trim_end_matches(":*").trim_end_matches("/*");
            assert!(
                resource.starts_with("arn:aws:")
                    && !named.is_empty()
                    && !named.contains(['*', '?']),
                "{id} may {action} on {resource}"
            );
        }
    }
}

#[test]
fn promise_12_every_bucket_is_private_and_encrypted() {
    let template = Template::of_repository();
    let buckets = template.resources("AWS::S3::Bucket");
    assert!(!buckets.is_empty());
    for id in buckets {
        let bucket = template.properties(&id);
        assert_eq!(
            bucket["PublicAccessBlockConfiguration"],
            json!({
                "BlockPublicAcls": true,
                "BlockPublicPolicy": true,
                "IgnorePublicAcls": true,
                "RestrictPublicBuckets": true,
            }),
            "{id}"
        );
        assert_eq!(
            bucket["OwnershipControls"]["Rules"],
            json!([{"ObjectOwnership": "BucketOwnerEnforced"}]),
            "{id}"
        );
        let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"];
        let algorithm = &encryption[0]["ServerSideEncryptionByDefault"]["SSEAlgorithm"];
        assert!(
            ["AES256", "aws:kms"].iter().any(|known| algorithm == known),
            "{id}: {encryption}"
        );
    }
    for id in template.resources("AWS::SQS::Queue") {
        assert_eq!(
            template.properties(&id)["SqsManagedSseEnabled"],
            true,
            "{id}"
        );
    }
}

#[test]
fn promise_12_buckets_and_queues_deny_without_tls_and_let_nobody_else_in() {
    let template = Template::of_repository();
    let denied = |actions: &str, resources: Value| {
        json!([{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": actions,
            "Resource": resources,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }])
    };
    let mut expected = BTreeMap::new();
    for id in template.resources("AWS::S3::Bucket") {
        let arn = template.arn(&id);
        let policy = denied("s3:*", json!([arn, format!("{arn}/*")]));
        expected.insert(template.reference(&id), policy);
    }
    for id in template.resources("AWS::SQS::Queue") {
        let policy = denied("sqs:*", json!(template.arn(&id)));
        expected.insert(template.reference(&id), policy);
    }

    let mut policies = BTreeMap::new();
    for id in template.resources("AWS::S3::BucketPolicy") {
        let policy = template.properties(&id);
        policies.insert(
            text(&policy["Bucket"]).to_owned(),
            policy["PolicyDocument"]["Statement"].clone(),
        );
    }
    for id in template.resources("AWS::SQS::QueuePolicy") {
        let policy = template.properties(&id);
        for queue in list(&policy["Queues"]) {
            policies.insert(
                text(queue).to_owned(),
                policy["PolicyDocument"]["Statement"].clone(),
            );
        }
    }
    assert_eq!(policies, expected);
}

#[test]
fn promise_12_only_the_inbox_of_this_account_invokes_the_function() {
    let template = Template::of_repository();
    let permissions = template.resources("AWS::Lambda::Permission");
    assert_eq!(permissions, ["InboxMayInvoke"]);
    let permission = template.properties("InboxMayInvoke");
    assert_eq!(permission["Action"], "lambda:InvokeFunction");
    assert_eq!(permission["Principal"], "s3.amazonaws.com");
    assert_eq!(permission["SourceArn"], template.arn("InboxBucket"));
    // The ARN of a bucket names no account, and a deleted bucket's name is free for anybody.
    assert_eq!(permission["SourceAccount"], ACCOUNT);
    for kind in ["AWS::Lambda::Url", "AWS::ApiGatewayV2::Api"] {
        assert!(template.resources(kind).is_empty(), "{kind}");
    }
}
