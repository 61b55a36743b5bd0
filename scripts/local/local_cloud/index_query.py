"""Query of a large partition of a global secondary index at a cost that grows with the page, not with the partition.

ministack evaluates and sorts every member of the index partition for each page, so that reading 100,000 pending items takes
hours. Here the keys of such a partition are kept sorted, and ministack's own Query sees only those that can be on the page.
Used for queries by partition key alone, forwards, over tables with string keys, where the index sorts by the table's own keys;
every other query is ministack's.
"""

from __future__ import annotations

import bisect
import re
import threading

from ministack.services import dynamodb

SMALL_PARTITION = 200
# A page without a limit ends here at the latest, with a LastEvaluatedKey; AWS ends it after 1 MB.
LONGEST_PAGE = 6000
SORTED_KEYS = "_local_cloud_sorted_keys"
PARTITION_KEY_ALONE = re.compile(r"\s*#?[\w.]+\s*=\s*(:\w+)\s*")

Key = tuple[str, str]

_lock = threading.RLock()
_view = threading.local()


class SortedPartition:
    """The sorted keys of one index partition; keys that left it are skipped, and dropped when they are many."""

    def __init__(self, members: dict[Key, None]) -> None:
        self.members = members
        self.keys = sorted(members)

    def add(self, key: Key) -> None:
        """Notes a new member."""
        position = bisect.bisect_left(self.keys, key)
        if position == len(self.keys) or self.keys[position] != key:
            self.keys.insert(position, key)

    def after(self, start: Key | None, count: int) -> dict[Key, None]:
        """The first members behind a key, or from the beginning."""
        if len(self.keys) > 2 * len(self.members) + 1000:
            self.keys = sorted(self.members)
        found: dict[Key, None] = {}
        position = bisect.bisect_right(self.keys, start) if start else 0
        while position < len(self.keys) and len(found) < count:
            if self.keys[position] in self.members:
                found[self.keys[position]] = None
            position += 1
        return found


def sortable(table: dict, index: dict) -> bool:
    """Whether the index holds its items in the order of the table's keys, compared as strings."""
    hash_names, range_names = dynamodb._index_key_lists(index)
    keys = [name for name in (table["pk_name"], table["sk_name"]) if name]
    strings = all(dynamodb._get_attr_type(table, name) == "S" for name in keys)
    return strings and len(hash_names) == 1 and range_names in ([], keys[:1])


def page_of(request: dict) -> tuple[dict, str, object, Key | None] | None:
    """Table, index, index partition and start of a query that this module can serve; None for others."""
    condition = PARTITION_KEY_ALONE.fullmatch(request.get("KeyConditionExpression") or "")
    if not condition or not request.get("IndexName") or request.get("ScanIndexForward") is False or request.get("ConsistentRead"):
        return None
    table = dynamodb._tables.get(dynamodb._normalize_table_name(request.get("TableName")))
    index = dynamodb._index_def(table, request["IndexName"]) if table else None
    value = (request.get("ExpressionAttributeValues") or {}).get(condition.group(1))
    if index is None or not sortable(table, index) or not isinstance(value, dict):
        return None
    start = request.get("ExclusiveStartKey")
    names = [name for name in (table["pk_name"], table["sk_name"]) if name]
    if start and not all(name in start for name in names):
        return None
    key = tuple(start[name].get("S") for name in names) if start else None
    if key and len(key) == 1:
        key = (key[0], "__no_sort__")
    return table, request["IndexName"], dynamodb._extract_key_val(value), key


def apply() -> None:
    """Puts the sorted keys in front of ministack's query."""
    original_query = dynamodb._query
    original_members = dynamodb._index_members
    original_index_item = dynamodb._index_item

    def query(request: dict) -> tuple:
        page = page_of(request)
        if page is None:
            return original_query(request)
        table, index, partition, start = page
        with _lock:
            members = original_members(table).get(index, {}).get(partition) or {}
            if len(members) < SMALL_PARTITION:
                return original_query(request)
            cache = table.setdefault(SORTED_KEYS, {})
            known = cache.get((index, partition))
            if known is None or known.members is not members:
                known = cache[index, partition] = SortedPartition(members)
            limit = int(request.get("Limit") or LONGEST_PAGE)
            # One more than the page holds, so that ministack sees where it was cut.
            _view.reduced = (table, {index: {partition: known.after(start, limit + 1)}})
            try:
                return original_query({**request, "Limit": limit})
            finally:
                _view.reduced = None

    def index_members(table: dict) -> dict:
        reduced = getattr(_view, "reduced", None)
        return reduced[1] if reduced and reduced[0] is table else original_members(table)

    def index_item(table: dict, base_pk: str, base_sk: str, item: dict, add: bool) -> None:
        with _lock:
            original_index_item(table, base_pk, base_sk, item, add)
            cache = table.get(SORTED_KEYS) if add else None
            for (index, partition), known in list((cache or {}).items()):
                members = (table.get(dynamodb._INDEX_MEMBERS) or {}).get(index, {}).get(partition)
                if members is not known.members:
                    del cache[index, partition]
                elif (base_pk, base_sk) in members:
                    known.add((base_pk, base_sk))

    dynamodb._query = query
    dynamodb._index_members = index_members
    dynamodb._index_item = index_item
