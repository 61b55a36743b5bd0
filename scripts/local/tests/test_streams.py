"""Event source mappings of a stream: batches, retries, bisection, partial failure, on-failure destinations."""

from __future__ import annotations

import json
import time
import unittest
import uuid

from support import client, eventually, invocations, probe_function, table


class StreamMappings(unittest.TestCase):
    def setUp(self) -> None:
        self.table = table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
        self.stream = client("dynamodb").describe_table(TableName=self.table["TableName"])["Table"]["LatestStreamArn"]
        self.name = f"reader-{uuid.uuid4().hex[:8]}"

    def map_stream(self, variables: dict | None = None, **settings: object) -> None:
        """Creates a probe function and a mapping that begins at the oldest record; deletes it at the end."""
        self.file = probe_function(self.name, **(variables or {}))
        mapping = client("lambda").create_event_source_mapping(
            EventSourceArn=self.stream, FunctionName=self.name, StartingPosition="TRIM_HORIZON", **settings
        )
        self.mapping = mapping["UUID"]
        self.addCleanup(client("lambda").delete_event_source_mapping, UUID=self.mapping)

    def write(self, count: int, poison: set[int] = frozenset(), begin: int = 0) -> None:
        rows = [{"id": {"S": f"i{i:04}"}, "v": {"S": "poison" if i in poison else "fine"}} for i in range(begin, begin + count)]
        for start in range(0, count, 25):
            batch = [{"PutRequest": {"Item": row}} for row in rows[start : start + 25]]
            client("dynamodb").batch_write_item(RequestItems={self.table["TableName"]: batch})

    def batches(self) -> list[list[int]]:
        """The batches that the function saw, by the numbers of their items."""
        calls = [call["event"]["Records"] for call in invocations(self.file)]
        return [[int(record["dynamodb"]["Keys"]["id"]["S"][1:]) for record in records] for records in calls]

    def seen(self, count: int) -> list[list[int]]:
        """The batches once the function has seen so many records."""
        return eventually(lambda: (batches := self.batches()) and sum(map(len, batches)) >= count and batches)

    def queue(self) -> tuple[str, str]:
        url = client("sqs").create_queue(QueueName=self.name)["QueueUrl"]
        return url, client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def test_batches_in_order(self) -> None:
        self.write(25)
        self.map_stream(BatchSize=10)
        self.assertEqual([list(range(10)), list(range(10, 20)), list(range(20, 25))], self.seen(25))
        self.write(1, begin=25)
        self.assertEqual([25], self.seen(26)[-1])

    def test_batching_window_collects(self) -> None:
        self.map_stream(BatchSize=100, MaximumBatchingWindowInSeconds=2)
        for number in range(3):
            self.write(1, begin=number)
            time.sleep(0.2)
        self.assertEqual([[0, 1, 2]], self.seen(3))

    def test_bisection_isolates_the_poisoned_record_and_s3_gets_it_whole(self) -> None:
        bucket = f"failures-{uuid.uuid4().hex[:8]}"
        client("s3").create_bucket(Bucket=bucket)
        self.write(8, poison={5})
        self.map_stream(
            BatchSize=8, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
        )
        (entry,) = eventually(lambda: client("s3").list_objects_v2(Bucket=bucket).get("Contents"))
        self.assertEqual([[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [5], [6, 7]], eventually(lambda: len(b := self.batches()) == 8 and b))
        self.assertRegex(entry["Key"], rf"^aws/lambda/{self.mapping}/shardId-[-\w]+/\d{{4}}/\d\d/\d\d/\d{{4}}-\d\d-\d\dT\d\d\.\d\d\.\d\d-\w+$")
        notice = json.loads(client("s3").get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
        self.assertEqual(("RetryAttemptsExhausted", 2), (notice["requestContext"]["condition"], notice["requestContext"]["approximateInvokeCount"]))
        (record,) = json.loads(notice["payload"])["Records"]
        self.assertEqual({"S": "i0005"}, record["dynamodb"]["Keys"]["id"])
        self.assertEqual("poison", record["dynamodb"]["NewImage"]["v"]["S"])
        information = notice["DDBStreamBatchInfo"]
        self.assertEqual((1, self.stream), (information["batchSize"], information["streamArn"]))
        self.assertEqual(record["dynamodb"]["SequenceNumber"], information["startSequenceNumber"])

    def test_exhausted_batch_goes_to_the_queue_and_the_stream_moves_on(self) -> None:
        url, arn = self.queue()
        self.write(3, poison={1})
        self.map_stream(BatchSize=3, MaximumRetryAttempts=2, DestinationConfig={"OnFailure": {"Destination": arn}})
        messages = eventually(lambda: client("sqs").receive_message(QueueUrl=url).get("Messages"))
        notice = json.loads(messages[0]["Body"])
        self.assertEqual(3, notice["DDBStreamBatchInfo"]["batchSize"])
        self.assertNotIn("payload", notice)
        self.write(1, begin=3)
        self.assertEqual([[0, 1, 2]] * 3 + [[3]], self.seen(10))

    def test_partial_failure_is_a_checkpoint(self) -> None:
        url, arn = self.queue()
        self.write(6, poison={2})
        self.map_stream(
            {"PROBE_PARTIAL": "1"}, BatchSize=6, MaximumRetryAttempts=1, FunctionResponseTypes=["ReportBatchItemFailures"],
            BisectBatchOnFunctionError=True, DestinationConfig={"OnFailure": {"Destination": arn}},
        )  # fmt: skip
        messages = eventually(lambda: client("sqs").receive_message(QueueUrl=url).get("Messages"))
        self.assertEqual(1, json.loads(messages[0]["Body"])["DDBStreamBatchInfo"]["batchSize"])
        # From record 2 on, then its halves: 2 alone until its retries are used up, with a retry of its own.
        self.assertEqual([[0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [2, 3], [2], [2], [3], [4, 5]], eventually(lambda: len(b := self.batches()) == 7 and b))

    def test_old_records_are_given_up(self) -> None:
        url, arn = self.queue()
        self.write(1, poison={0})
        self.map_stream(BatchSize=1, MaximumRecordAgeInSeconds=1, DestinationConfig={"OnFailure": {"Destination": arn}})
        messages = eventually(lambda: client("sqs").receive_message(QueueUrl=url).get("Messages"))
        self.assertEqual("MaxRecordAgeExceeded", json.loads(messages[0]["Body"])["requestContext"]["condition"])

    def test_lanes_keep_the_order_of_a_key(self) -> None:
        for version in range(3):
            for number in range(8):
                client("dynamodb").put_item(TableName=self.table["TableName"], Item={"id": {"S": f"i{number:04}"}, "v": {"N": str(version)}})
        self.map_stream(BatchSize=4, ParallelizationFactor=3)
        self.seen(24)
        records = [record for call in invocations(self.file) for record in call["event"]["Records"]]
        versions: dict[str, list[str]] = {}
        for record in records:
            versions.setdefault(record["dynamodb"]["Keys"]["id"]["S"], []).append(record["dynamodb"]["NewImage"]["v"]["N"])
        self.assertEqual({f"i{number:04}": ["0", "1", "2"] for number in range(8)}, versions)
        self.assertGreater(len({tuple(batch) for batch in self.batches()}), 3)

    def test_filter(self) -> None:
        self.write(4, poison={1, 3})
        pattern = json.dumps({"dynamodb": {"NewImage": {"v": {"S": ["fine"]}}}})
        self.map_stream(BatchSize=10, FilterCriteria={"Filters": [{"Pattern": pattern}]})
        self.assertEqual([[0, 2]], self.seen(2))


if __name__ == "__main__":
    unittest.main()
