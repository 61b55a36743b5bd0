"""Policies that name a table hold for requests that say it by its ARN."""

from __future__ import annotations

import json
import unittest
import uuid

import boto3
from botocore.exceptions import ClientError
from support import client, cloud, table


class Exports(unittest.TestCase):
    def test_exports_of_a_table_are_for_those_who_may(self) -> None:
        own, other = table()["TableArn"], table()["TableArn"]
        # DescribeExport is asked for an export that is not there: the policy is looked at first.
        exports = {arn: f"{arn}/export/01767412800000-0123abcd" for arn in (own, other)}
        name = f"r-{uuid.uuid4().hex[:8]}"
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
        role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        allowed = [
            {"Effect": "Allow", "Action": "dynamodb:DescribeExport", "Resource": f"{own}/export/*"},
        ]
        client("iam").put_role_policy(RoleName=name, PolicyName="exports", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allowed}))
        granted = client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        dynamodb = boto3.client(
            "dynamodb", endpoint_url=cloud()["endpoint"], region_name="us-east-1", aws_access_key_id=granted["AccessKeyId"],
            aws_secret_access_key=granted["SecretAccessKey"], aws_session_token=granted["SessionToken"],
        )  # fmt: skip
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
