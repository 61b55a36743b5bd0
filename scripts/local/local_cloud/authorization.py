"""Which resource a request to DynamoDB is about, where it says so by an ARN: exports and imports.

`ministack` finds tables by `TableName` alone, and asks policies about `*` otherwise, which no policy that names its resources allows.
"""

from __future__ import annotations

import json

from ministack.core import iam_actions

# Members of ExportTableToPointInTime, DescribeExport and DescribeImport. ListExports, which has nothing beside its TableArn that says
# where the export goes, is asked about `*`, as on AWS.
ARNS = ("TableArn", "ExportArn", "ImportArn")


def apply() -> None:
    """Looks at the ARNs of a request that names no table."""
    original = iam_actions.dynamodb_resource_arns

    def dynamodb_resource_arns(body: bytes, region: str, account_id: str) -> list[str]:
        found = original(body, region, account_id)
        if found:
            return found
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            return []
        if not isinstance(request, dict) or ("TableArn" in request and "S3Bucket" not in request):
            return []
        return [request[name] for name in ARNS if isinstance(request.get(name), str)]

    iam_actions.dynamodb_resource_arns = dynamodb_resource_arns
