"""Queries of a large index partition: every item once, in order, whatever the pages, also while items leave."""

from __future__ import annotations

import unittest

from support import client, table

COUNT = 6500


class PendingIndex(unittest.TestCase):
    name: str

    @classmethod
    def setUpClass(cls) -> None:
        keys = [{"AttributeName": "pending", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]
        index = {"IndexName": "pending", "KeySchema": keys, "Projection": {"ProjectionType": "KEYS_ONLY"}}
        cls.name = table(attributes=["id", "pending"], GlobalSecondaryIndexes=[index])["TableName"]
        for begin in range(0, COUNT, 25):
            # Written in an order that is not the order of the keys.
            items = [{"id": {"S": f"{(number * 7919) % COUNT:05}"}, "pending": {"S": "yes"}} for number in range(begin, begin + 25)]
            client("dynamodb").batch_write_item(RequestItems={cls.name: [{"PutRequest": {"Item": item}} for item in items]})

    def pages(self, **request: object) -> list[list[str]]:
        """The ids of every page until the last."""
        found, start = [], {}
        while True:
            page = client("dynamodb").query(
                TableName=self.name, IndexName="pending", KeyConditionExpression="pending = :p", ExpressionAttributeValues={":p": {"S": "yes"}},
                **request, **start,
            )  # fmt: skip
            found.append([item["id"]["S"] for item in page["Items"]])
            if "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def everything(self, pages: list[list[str]]) -> list[str]:
        return [key for page in pages for key in page]

    def test_pages(self) -> None:
        expected = [f"{number:05}" for number in range(COUNT)]
        with self.subTest("without a limit a long partition has more than one page"):
            pages = self.pages()
            self.assertGreater(len(pages), 1)
            self.assertEqual(expected, self.everything(pages))
        with self.subTest("limited pages are full"):
            pages = self.pages(Limit=1000)
            self.assertEqual([1000] * 6 + [500], [len(page) for page in pages])
            self.assertEqual(expected, self.everything(pages))
        with self.subTest("the other direction is the same backwards"):
            self.assertEqual(expected[::-1], self.everything(self.pages(Limit=3000, ScanIndexForward=False)))
        with self.subTest("items leave, come back and come anew"):
            change = [{"DeleteRequest": {"Key": {"id": {"S": f"{number:05}"}}}} for number in range(20)]
            change += [{"PutRequest": {"Item": {"id": {"S": "00030"}}}}, {"PutRequest": {"Item": {"id": {"S": "00040x"}, "pending": {"S": "yes"}}}}]
            client("dynamodb").batch_write_item(RequestItems={self.name: change})
            client("dynamodb").put_item(TableName=self.name, Item={"id": {"S": "00003"}, "pending": {"S": "yes"}})
            left = sorted({*expected[20:], "00003", "00040x"} - {"00030"})
            self.assertEqual(left, self.everything(self.pages(Limit=1000)))


if __name__ == "__main__":
    unittest.main()
