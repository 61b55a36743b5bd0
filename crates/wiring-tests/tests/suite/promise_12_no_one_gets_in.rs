//! Promise 12: each role may do exactly what the code behind it does, and nobody else gets in.

use std::collections::{BTreeMap, BTreeSet};

use crate::permissions::{COMMAND_LINE, Call, holders};
use serde_json::{Value, json};
use wiring_tests::policies::{Grant, grants, list, text};
use wiring_tests::sources::{sdk_calls, squeezed};
use wiring_tests::template::{ACCOUNT, REGION, Template};
use wiring_tests::{read, repository_files};

fn roles(template: &Template) -> BTreeMap<String, Value> {
    let ids = template.resources("AWS::IAM::Role");
    ids.into_iter()
        .map(|id| (id.clone(), template.properties(&id)))
        .collect()
}

/// All calls of the tables.
fn all_calls() -> impl Iterator<Item = &'static Call> {
    let of_functions = holders().flat_map(|holder| holder.calls);
    of_functions.chain(COMMAND_LINE)
}

#[test]
fn promise_12_every_sdk_call_is_in_the_table_of_permissions() {
    let called = sdk_calls(&squeezed("crates/storage/src"));
    let called: BTreeSet<&str> = called.iter().map(String::as_str).collect();
    assert_eq!(
        called,
        all_calls().map(|call| call.operation).collect(),
        "left: calls of the code; right: table of tests/permissions"
    );
}

#[test]
fn promise_12_the_table_says_of_each_function_what_its_code_calls() {
    for holder in holders() {
        let code = holder.source();
        let own: BTreeSet<&str> = holder.calls.iter().map(|call| call.operation).collect();
        for call in holder.calls {
            assert!(
                code.contains(call.used_as),
                "{}: nothing comes to {}: no {}…) is in {:?}",
                holder.role,
                call.operation,
                call.used_as,
                holder.code
            );
        }
        for call in all_calls() {
            assert!(
                own.contains(call.operation) || !code.contains(call.used_as),
                "{}: {}…) is in {:?}, and {} is not in its table",
                holder.role,
                call.used_as,
                holder.code,
                call.operation
            );
        }
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
    each_role_may_do_exactly_what_is_called(&template);
    // What the parameters name is all that changes.
    let elsewhere = template
        .with("ReprocessTable", "somebodys")
        .with("ReprocessIndex", "open-index")
        .with("ExportTable", "anothers")
        .with("ImportTables", "new-*");
    each_role_may_do_exactly_what_is_called(&elsewhere);
}

fn each_role_may_do_exactly_what_is_called(template: &Template) {
    let expected: BTreeMap<String, BTreeSet<Grant>> = holders()
        .map(|holder| (holder.role.to_owned(), holder.needs(template)))
        .collect();
    let allowed: BTreeMap<String, BTreeSet<Grant>> = roles(template)
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
    let schedules = format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/default");
    // Who takes it, and for which resource. Without that, a schedule or a machine of any account could take the role.
    let account = json!({"aws:SourceAccount": ACCOUNT});
    let of_schedule = || {
        let source = json!({"aws:SourceAccount": ACCOUNT, "aws:SourceArn": schedules});
        ("scheduler", json!({"StringEquals": source}))
    };
    // The runs of a Distributed Map have ARNs that go on after the machine's.
    let of_machine = |id| {
        let source = json!({"aws:SourceArn": format!("{}*", template.arn(id))});
        (
            "states",
            json!({"StringEquals": account, "ArnLike": source}),
        )
    };
    let of_function = || ("lambda", Value::Null);
    let expected = BTreeMap::from([
        ("IngesterRole", of_function()),
        ("StreamWriterRole", of_function()),
        ("ReprocessorRole", of_function()),
        ("SweepRole", of_schedule()),
        ("ReprocessScheduleRole", of_schedule()),
        ("ExportPollerRole", of_function()),
        ("ExportTransformerRole", of_function()),
        ("TableScannerRole", of_function()),
        ("ExportScheduleRole", of_schedule()),
        ("ExportRole", of_machine("ExportMachine")),
        ("ScanRole", of_machine("ScanMachine")),
        ("DrainRole", of_machine("DrainMachine")),
        ("ImportRole", of_machine("ImportMachine")),
    ]);
    assert_eq!(
        roles.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (id, (service, condition)) in expected {
        let document = &roles[id]["AssumeRolePolicyDocument"];
        let [statement] = &list(&document["Statement"])[..] else {
            panic!("{id}: one statement was expected: {document}");
        };
        assert_eq!(statement["Effect"], "Allow", "{id}");
        assert_eq!(statement["Action"], "sts:AssumeRole", "{id}");
        assert_eq!(
            statement["Principal"],
            json!({"Service": format!("{service}.amazonaws.com")}),
            "{id}"
        );
        assert_eq!(statement["Condition"], condition, "{id}");
    }
}

#[test]
fn promise_12_no_action_has_a_wildcard_and_every_resource_a_name() {
    let template = Template::of_repository();
    // Tables that are not there yet have no name, so whoever deploys gives a pattern; unless told otherwise, it has the stack's name.
    for (action, resource) in imported(&template) {
        let tables = format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/stack-*");
        assert!(
            resource == tables || resource == format!("{tables}/import/*"),
            "{action} on {resource}"
        );
    }
    let template = template.with("ImportTables", "imported");
    for (id, role) in roles(&template) {
        for Grant {
            action, resource, ..
        } in grants(&role)
        {
            assert!(!action.contains(['*', '?']), "{id} may {action}");
            if action == "dynamodb:ListExports" {
                // Service Authorization Reference, "Actions defined by Amazon DynamoDB": it takes no resource.
                continue;
            }
            let name = resource.splitn(6, ':').nth(5).unwrap_or_default();
            let named = name.trim_end_matches(":*").trim_end_matches("/*");
            // The list of an export's files lies in the export's folder, whose name DynamoDB gives.
            let named = named.replace("/exports/AWSDynamoDB/*/manifest-files.json", "");
            assert!(
                resource.starts_with("arn:aws:")
                    && !named.is_empty()
                    && !named.contains(['*', '?']),
                "{id} may {action} on {resource}"
            );
        }
    }
}

/// What may be done with the tables that are imported.
fn imported(template: &Template) -> Vec<(String, String)> {
    let role = template.properties("ImportRole");
    let of_tables = grants(&role)
        .into_iter()
        .filter(|grant| grant.action.starts_with("dynamodb:"));
    of_tables
        .map(|grant| (grant.action, grant.resource))
        .collect()
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
