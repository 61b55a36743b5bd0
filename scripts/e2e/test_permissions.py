"""No one gets in: what the function's role may not do, and what the buckets and the queue refuse."""

from __future__ import annotations

import json
import unittest
from typing import Any

from botocore.exceptions import ClientError
from support import EndToEnd, client, cloud, configured, ended, eventually, inbox, items, job, make_client, messages_about, output, sweep, upload


class Role(EndToEnd):
    def test_promise_12_a_table_of_others_is_denied_and_the_job_goes_on_when_that_is_mended(self) -> None:
        key = [{"AttributeName": "account", "KeyType": "HASH"}]
        types = [{"AttributeName": "account", "AttributeType": "S"}]
        client("dynamodb").create_table(TableName="payroll", KeySchema=key, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
        with configured(TABLE_NAME="payroll"):
            version = upload(self.key, f"account,offer_id\n{self.account},1\n".encode())
            # Lambda tries three times and then tells the queue.
            (message,) = eventually(lambda: messages_about(self.key), "the queue knows of the failure")
            row = job(self.key, version)
            denied = message["responsePayload"]
            self.assertEqual("Invalid", denied["errorType"])
            for fragment in (f"s3://{output('InboxBucket')}/{self.key}", "payroll", "AccessDenied"):
                self.assertIn(fragment, denied["errorMessage"])
                self.assertIn(fragment, row["error_message"])
            self.assertEqual(("IN_PROGRESS", 2), (row["processing_status"], row["retry_count"]))
            self.assertIn("pending", inbox(self.key))
            self.assertEqual(0, client("dynamodb").scan(TableName="payroll")["Count"])
        sweep()
        self.assertNotIn("error_message", ended(self.key, version))
        self.assertEqual([{"account": self.account, "offer_id": "1"}], items(self.account))

    def test_promise_12_the_role_may_do_its_work_and_nothing_else(self) -> None:
        role = client("lambda").get_function_configuration(FunctionName=output("IngesterFunction"))["Role"]
        granted = client("sts").assume_role(RoleArn=role, RoleSessionName="end-to-end")["Credentials"]
        credentials = (granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
        s3, dynamodb, sqs = (make_client(service, *credentials) for service in ("s3", "dynamodb", "sqs"))
        inbox_bucket, lake = output("InboxBucket"), output("LakeBucket")
        table, ledger, queue = output("TableName"), output("LedgerTable"), output("FailureQueueUrl")
        client("s3").put_object(Bucket=lake, Key="json-copy/secret", Body=b"x")
        item = {"account": {"S": self.account}, "offer_id": {"S": "1"}}
        row = {"job": {"S": self.account}, "part": {"S": "object"}}

        # The same credentials may do this, so a refusal below is one of the policy.
        s3.put_object(Bucket=lake, Key=f"json-copy/{self.account}", Body=b"x")
        s3.list_objects_v2(Bucket=lake, Prefix="json-copy/")
        dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}}]})
        dynamodb.get_item(TableName=ledger, Key=row)

        refused: dict[str, Any] = {
            "write into the inbox": lambda: s3.put_object(Bucket=inbox_bucket, Key="x", Body=b"x"),
            "delete from the inbox": lambda: s3.delete_object(Bucket=inbox_bucket, Key="x"),
            "read what is in the lake": lambda: s3.get_object(Bucket=lake, Key="json-copy/secret"),
            "write a mapping": lambda: s3.put_object(Bucket=lake, Key="mappings/x", Body=b"{}"),
            "write elsewhere in the lake": lambda: s3.put_object(Bucket=lake, Key="changes/x", Body=b"x"),
            "list the whole lake": lambda: s3.list_objects_v2(Bucket=lake),
            "open a bucket": lambda: s3.delete_bucket_policy(Bucket=lake),
            "read an item": lambda: dynamodb.get_item(TableName=table, Key=item),
            "scan the table": lambda: dynamodb.scan(TableName=table),
            "delete an item": lambda: dynamodb.delete_item(TableName=table, Key=item),
            "drop the table": lambda: dynamodb.delete_table(TableName=table),
            "forget a job": lambda: dynamodb.delete_item(TableName=ledger, Key=row),
            "scan the ledger": lambda: dynamodb.scan(TableName=ledger),
            "read the queue": lambda: sqs.receive_message(QueueUrl=queue),
        }
        for name, call in refused.items():
            with self.subTest(name), self.assertRaises(ClientError) as denied:
                call()
            self.assertIn(denied.exception.response["Error"]["Code"], ("AccessDenied", "AccessDeniedException"), name)


class Deployed(EndToEnd):
    def test_promise_12_buckets_are_private_encrypted_and_tls_only(self) -> None:
        s3 = client("s3")
        for bucket in (output("InboxBucket"), output("LakeBucket")):
            with self.subTest(bucket):
                blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
                self.assertEqual(dict.fromkeys(["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True), blocked)
                (ownership,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
                self.assertEqual("BucketOwnerEnforced", ownership["ObjectOwnership"])
                (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
                self.assertEqual("AES256", rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])
                arn = f"arn:aws:s3:::{bucket}"
                self.assert_tls_only(s3.get_bucket_policy(Bucket=bucket)["Policy"], "s3:*", [arn, f"{arn}/*"])

    def test_promise_12_the_queue_is_encrypted_and_tls_only(self) -> None:
        attributes = client("sqs").get_queue_attributes(QueueUrl=output("FailureQueueUrl"), AttributeNames=["All"])["Attributes"]
        self.assertEqual("true", attributes["SqsManagedSseEnabled"])
        self.assert_tls_only(attributes["Policy"], "sqs:*", [attributes["QueueArn"]])

    def test_promise_12_no_action_has_a_wildcard(self) -> None:
        iam = client("iam")
        roles = [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"].startswith(f"{cloud()['stack']}-")]
        self.assertEqual(13, len(roles), roles)
        for role in roles:
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                for statement in as_document(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])["Statement"]:
                    if statement["Action"] == "dynamodb:ListExports":
                        # It takes no resource: exports are listed of the account.
                        self.assertEqual("*", statement["Resource"])
                        continue
                    for text in [*as_list(statement["Action"]), *map(kind_and_name, as_list(statement["Resource"]))]:
                        self.assertNotIn("*", text, f"{role}: {statement}")

    def assert_tls_only(self, policy: str, action: str, resources: list[str]) -> None:
        (statement,) = [entry for entry in json.loads(policy)["Statement"] if entry["Effect"] == "Deny"]
        self.assertEqual(("*", action), (statement["Principal"], statement["Action"]))
        self.assertEqual(resources, as_list(statement["Resource"]))
        self.assertEqual({"Bool": {"aws:SecureTransport": "false"}}, statement["Condition"])


def kind_and_name(resource: str) -> str:
    """What an ARN is of: up to the name of its table, bucket or state machine, behind which there may be a `*`."""
    return ":".join(resource.split(":")[:7]).partition("/")[0]


def as_list(value: Any) -> list[Any]:
    """A policy may have one text where it may have several."""
    return value if isinstance(value, list) else [value]


def as_document(value: Any) -> dict[str, Any]:
    """boto3 decodes a policy, unless the text was not encoded."""
    return json.loads(value) if isinstance(value, str) else value


if __name__ == "__main__":
    unittest.main()
