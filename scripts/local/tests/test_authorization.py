"""Policies that name a table hold for requests that say it by its ARN."""

from __future__ import annotations

import json
import unittest
import uuid

import boto3
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from support import client, cloud, ended, start, table


def granted(service: str, action: str, resource: str) -> BaseClient:
    """A client with the rights of a role that may do one thing."""
    name = f"r-{uuid.uuid4().hex[:8]}"
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = [{"Effect": "Allow", "Action": action, "Resource": resource}]
    client("iam").put_role_policy(RoleName=name, PolicyName="one", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allowed}))
    credentials = client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.client(
        service, endpoint_url=cloud()["endpoint"], region_name="us-east-1", aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"], aws_session_token=credentials["SessionToken"],
    )  # fmt: skip


class Executions(unittest.TestCase):
    def test_executions_of_a_machine_are_seen_by_those_who_may(self) -> None:
        names = [f"m-{uuid.uuid4().hex[:8]}" for _ in range(2)]
        definition = json.dumps({"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}})
        machines = [
            client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=cloud()["outputs"]["RoleArn"])["stateMachineArn"]
            for name in names
        ]
        own, other = (start(machine, {}) for machine in machines)
        ended(own)
        executions = f"arn:aws:states:us-east-1:000000000000:execution:{names[0]}:"
        self.assertTrue(own.startswith(executions), own)
        steps = granted("stepfunctions", "states:DescribeExecution", f"{executions}*")
        self.assertEqual("SUCCEEDED", steps.describe_execution(executionArn=own)["status"])
        for arn, expected in ((other, "AccessDeniedException"), (f"{executions}none", "ExecutionDoesNotExist")):
            with self.assertRaises(ClientError) as refused:
                steps.describe_execution(executionArn=arn)
            self.assertEqual(expected, refused.exception.response["Error"]["Code"], refused.exception)


class Exports(unittest.TestCase):
    def test_exports_of_a_table_are_for_those_who_may(self) -> None:
        own, other = table()["TableArn"], table()["TableArn"]
        # DescribeExport is asked for an export that is not there: the policy is looked at first.
        exports = {arn: f"{arn}/export/01767412800000-0123abcd" for arn in (own, other)}
        dynamodb = granted("dynamodb", "dynamodb:DescribeExport", f"{own}/export/*")
        # Whoever may list exports may do so in the whole account: a policy that names a table allows none.
        with self.assertRaises(ClientError) as refused:
            dynamodb.list_exports(TableArn=own)
        self.assertEqual("AccessDeniedException", refused.exception.response["Error"]["Code"])
        for call, expected in (
            (lambda: dynamodb.describe_export(ExportArn=exports[own]), "ExportNotFoundException"),
            (lambda: dynamodb.describe_export(ExportArn=exports[other]), "AccessDeniedException"),
        ):
            with self.assertRaises(ClientError) as refused:
                call()
            self.assertEqual(expected, refused.exception.response["Error"]["Code"], refused.exception)


if __name__ == "__main__":
    unittest.main()
