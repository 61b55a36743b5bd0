"""What the change log needs of the local cloud: a mapping, an alarm and a catalogue that a template made."""

from __future__ import annotations

import json
import unittest

from support import client, cloud, eventually, invocations, redeploy

# As in template.yaml.
FILTER = '{"eventName": ["INSERT"]}'


def output(name: str) -> str:
    return cloud()["outputs"][name]


def put(*items: dict[str, str]) -> None:
    rows = [{name: {"S": value} for name, value in item.items()} for item in items]
    client("dynamodb").batch_write_item(RequestItems={output("Changing"): [{"PutRequest": {"Item": row}} for row in rows]})


def changes() -> list[tuple[str, str]]:
    """Name of the event and key of each change that reached the probe, oldest first."""
    records = [record for call in invocations() for record in call["event"].get("Records", []) if "dynamodb" in record]
    return [(record["eventName"], record["dynamodb"]["Keys"]["id"]["S"]) for record in records]


class MappingOfATemplate(unittest.TestCase):
    def test_every_property_arrives(self) -> None:
        mapping = client("lambda").get_event_source_mapping(UUID=output("Mapping"))
        expected = {
            "StartingPosition": "TRIM_HORIZON", "BatchSize": 4, "MaximumBatchingWindowInSeconds": 1, "ParallelizationFactor": 1,
            "FunctionResponseTypes": ["ReportBatchItemFailures"], "BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 0,
            "MaximumRecordAgeInSeconds": 3600, "DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{output('Lake')}"}},
            "FilterCriteria": {"Filters": [{"Pattern": FILTER}]},
        }  # fmt: skip
        self.assertEqual(expected, {name: mapping.get(name) for name in expected})

    def test_the_stream_has_one_label_as_aws_writes_it(self) -> None:
        table = client("dynamodb").describe_table(TableName=output("Changing"))["Table"]
        self.assertRegex(table["LatestStreamLabel"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$")
        mapping = client("lambda").get_event_source_mapping(UUID=output("Mapping"))
        self.assertTrue(mapping["EventSourceArn"].endswith(f"/stream/{table['LatestStreamLabel']}"), mapping["EventSourceArn"])
        self.assertEqual(table["LatestStreamArn"], mapping["EventSourceArn"])

    def test_what_is_given_up_is_whole_in_a_bucket_that_is_versioned_encrypted_and_tls_only(self) -> None:
        put({"id": "a"}, {"id": "b", "note": "poison"}, {"id": "c"})
        (entry,) = eventually(lambda: client("s3").list_objects_v2(Bucket=output("Lake"), Prefix="aws/lambda/").get("Contents"))
        answer = client("s3").get_object(Bucket=output("Lake"), Key=entry["Key"])
        (record,) = json.loads(json.loads(answer["Body"].read())["payload"])["Records"]
        self.assertEqual({"id": {"S": "b"}, "note": {"S": "poison"}}, record["dynamodb"]["NewImage"])
        self.assertTrue(answer["VersionId"])

    def test_a_filter_is_used_and_an_update_without_it_takes_it_back(self) -> None:
        put({"id": "filtered"})
        put({"id": "filtered", "v": "2"}, {"id": "marker"})
        eventually(lambda: ("INSERT", "marker") in changes())
        self.assertNotIn(("MODIFY", "filtered"), changes())
        self.addCleanup(redeploy, f"Filter={FILTER}")
        redeploy("Filter=")
        put({"id": "marker", "v": "2"})
        eventually(lambda: ("MODIFY", "marker") in changes())


class CatalogueOfATemplate(unittest.TestCase):
    def test_a_table_keeps_its_projection_and_a_query_its_text(self) -> None:
        self.assertEqual("selftest_log", output("Database"))
        table = client("glue").get_table(DatabaseName=output("Database"), Name="change_log")["Table"]
        self.assertEqual({"storage.location.template": f"s3://{output('Lake')}/hour=${{hour}}/"}, table["Parameters"])
        athena = client("athena")
        queries = [athena.get_named_query(NamedQueryId=name)["NamedQuery"] for name in athena.list_named_queries()["NamedQueryIds"]]
        self.assertEqual([("selftest_log", "SELECT line FROM change_log")], [(query["Database"], query["QueryString"]) for query in queries])

    def test_an_alarm_has_the_threshold_that_was_put_together(self) -> None:
        alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
        self.assertEqual([60000.0], [alarm["Threshold"] for alarm in alarms if alarm["MetricName"] == "IteratorAge"])


if __name__ == "__main__":
    unittest.main()
