"""CloudFormation: applies the properties of tables and functions that ministack's provisioners leave out.

Tables: point-in-time recovery and time to live. Functions: dead-letter target and reserved concurrency.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ministack.services import dynamodb, lambda_svc
from ministack.services.cloudformation import provisioners


def is_true(value: object) -> bool:
    """Templates write booleans as booleans or, through parameters, as text."""
    return str(value).lower() == "true"


def call(operation: Callable[[dict], tuple], request: dict) -> None:
    """Runs one operation of the table service; a refusal fails the resource, as on AWS."""
    status, _headers, body = operation(request)
    if status != 200:
        raise ValueError(json.loads(body).get("message", body.decode()))


def apply_table_properties(name: str, properties: dict) -> None:
    """Sets what the table provisioner ignores."""
    recovery = properties.get("PointInTimeRecoverySpecification")
    if recovery:
        enabled = is_true(recovery.get("PointInTimeRecoveryEnabled"))
        call(dynamodb._update_continuous_backups, {"TableName": name, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": enabled}})
    expiry = properties.get("TimeToLiveSpecification")
    if expiry and is_true(expiry.get("Enabled")):
        call(dynamodb._update_ttl, {"TableName": name, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": expiry["AttributeName"]}})


def apply_function_properties(name: str, properties: dict) -> None:
    """Sets what the function provisioner ignores; a property that a template no longer has is taken back."""
    function = lambda_svc._functions[name]
    if properties.get("DeadLetterConfig"):
        function["config"]["DeadLetterConfig"] = properties["DeadLetterConfig"]
    else:
        function["config"].pop("DeadLetterConfig", None)
    reserved = properties.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)


def extend(resource_type: str, apply_properties: Callable[[str, dict], None]) -> None:
    """Runs `apply_properties` after the provisioner has created or updated a resource."""
    handler = provisioners._RESOURCE_HANDLERS[resource_type]
    original_create, original_update = handler["create"], handler["update"]

    def create(logical_id: str, properties: dict, stack_name: str) -> tuple:
        result = original_create(logical_id, properties, stack_name)
        apply_properties(result[0], properties)
        return result

    def update(physical_id: str, old: dict, new: dict, stack_name: str, *extra: str) -> tuple:
        result = original_update(physical_id, old, new, stack_name, *extra)
        apply_properties(result[0], new)
        return result

    handler["create"], handler["update"] = create, update


def apply() -> None:
    """Installs the two extensions."""
    extend("AWS::DynamoDB::Table", apply_table_properties)
    extend("AWS::Lambda::Function", apply_function_properties)
