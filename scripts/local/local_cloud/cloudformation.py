"""CloudFormation: applies the properties of tables, functions and event source mappings that ministack's provisioners leave out.

Tables: point-in-time recovery and time to live; a stream's label without a zone. Functions: dead-letter target and reserved concurrency. Event source mappings:
properties that a template no longer has. Athena's named queries, which it does not know at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ministack.services import athena, dynamodb, lambda_svc
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


def apply_mapping_properties(uuid: str, properties: dict) -> None:
    """Takes back what an update of a mapping leaves as it was."""
    for name in ("FilterCriteria", "DestinationConfig"):
        if not properties.get(name):
            lambda_svc._esms[uuid].pop(name, None)


def create_query(_logical_id: str, properties: dict, _stack_name: str) -> tuple:
    """Saves a named query; its `Ref` is the id."""
    _status, _headers, body = athena._create_named_query(properties)
    query = json.loads(body)["NamedQueryId"]
    return query, {"NamedQueryId": query}


def update_query(physical_id: str, _old: dict, new: dict, stack_name: str) -> tuple:
    """Another query takes the place of the old one, as on AWS."""
    delete_query(physical_id, {})
    return create_query(physical_id, new, stack_name)


def delete_query(physical_id: str, _properties: dict) -> None:
    """Forgets a named query."""
    athena._delete_named_query({"NamedQueryId": physical_id})


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


def with_stream_label(create: Callable[..., tuple]) -> Callable[..., tuple]:
    """A table's stream has one label, in its ARN and beside it, and AWS writes it without a zone."""

    def create_table(logical_id: str, properties: dict, stack_name: str) -> tuple:
        name, attributes = create(logical_id, properties, stack_name)
        table = dynamodb._tables[name]
        if table.get("LatestStreamArn"):
            begin, _, label = table["LatestStreamArn"].rpartition("/")
            table["LatestStreamLabel"] = label.removesuffix("Z")
            table["LatestStreamArn"] = attributes["StreamArn"] = f"{begin}/{table['LatestStreamLabel']}"
        return name, attributes

    return create_table


def apply() -> None:
    """Installs the extensions."""
    tables = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    tables["create"] = with_stream_label(tables["create"])
    extend("AWS::DynamoDB::Table", apply_table_properties)
    extend("AWS::Lambda::Function", apply_function_properties)
    extend("AWS::Lambda::EventSourceMapping", apply_mapping_properties)
    provisioners._RESOURCE_HANDLERS["AWS::Athena::NamedQuery"] = {"create": create_query, "update": update_query, "delete": delete_query}
