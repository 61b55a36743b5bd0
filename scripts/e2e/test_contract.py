"""The contract that the stores in memory keep, kept by the real clients against the local cloud, too."""

from __future__ import annotations

import json
import os
import subprocess
import unittest

from support import ROOT, client, cloud, output


class Contract(unittest.TestCase):
    def test_the_stores_on_aws_keep_the_contract(self) -> None:
        client("s3").create_bucket(Bucket="contract")
        client("dynamodb").create_table(
            TableName="contract",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "n", "AttributeType": "N"},
                {"AttributeName": "marker", "AttributeType": "S"},
            ],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "marker-index",
                    "KeySchema": [{"AttributeName": "marker", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
            ],
        )
        client("dynamodb").create_table(
            TableName="contract-exports",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        client("dynamodb").update_continuous_backups(
            TableName="contract-exports", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = client("iam").create_role(
            RoleName="contract", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
        machine = client("stepfunctions").create_state_machine(
            name="contract",
            roleArn=role["Role"]["Arn"],
            definition=json.dumps({"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}),
        )
        environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "TRANSLOAD_TEST_ENDPOINT": cloud()["endpoint"],
            "TRANSLOAD_TEST_BUCKET": "contract",
            "TRANSLOAD_TEST_TABLE": "contract",
            "TRANSLOAD_TEST_LEDGER": output("LedgerTable"),
            "TRANSLOAD_TEST_MACHINE": machine["stateMachineArn"],
            "TRANSLOAD_TEST_EXPORT_TABLE": "contract-exports",
        }
        # With the workspace's features, so that nothing is compiled that the unit tests have not compiled already.
        command = ["cargo", "test", "--workspace", "--all-features", "--test", "contract_local_cloud", "--", "--nocapture"]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("5 passed", run.stdout)
        self.assertNotIn("skipped", run.stdout)
