"""The change log of a table whose functions fail on purpose, read by DuckDB: what it says is what the table holds."""

from __future__ import annotations

import json
import unittest
from collections import Counter

from change_log_support import ChangingTable, held

CHANGES = 1_500


class ChangeLog(ChangingTable):
    def test_promise_6_each_change_is_seen_once_and_the_state_is_the_table_though_the_function_is_killed(self) -> None:
        self.assertGreater(self.change_while_all_fails(CHANGES), 5)
        seen = self.arrived()
        self.assertEqual(self.made, Counter(key for key, _name, _line in seen))
        self.assertGreaterEqual(self.log.lines(), len(seen))
        self.assertEqual(held(self.account), self.log.state())

    def test_promise_10_every_type_comes_out_of_the_log_as_it_was_put_in(self) -> None:
        self.change(200)
        for _key, name, line in self.arrived():
            record = json.loads(line)
            self.assertEqual("NEW_AND_OLD_IMAGES", record["dynamodb"]["StreamViewType"])
            self.assertEqual(name == "REMOVE", "NewImage" not in record["dynamodb"])
            self.assertEqual(name == "INSERT", "OldImage" not in record["dynamodb"])
        self.assertEqual(held(self.account), self.log.state())


if __name__ == "__main__":
    unittest.main()
