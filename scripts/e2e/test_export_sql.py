"""SQL about exports that runs nowhere here: it is parsed as Athena would. Needs no local cloud."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import sqlglot
import yaml
from command_line import program
from sqlglot import exp

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = {
    "version": 1, "entities": {"item": {"columns": [
        {"name": "id", "type": "string"}, {"name": "price", "type": "decimal(38,2)"}, {"name": "at", "type": "integer"}, {"name": "ratio", "type": "double"},
        {"name": "on", "type": "boolean"}, {"name": "raw", "type": "binary"}, {"name": "any", "type": "json"}, {"name": "tags", "type": {"set": "string"}},
        {"name": "lines", "type": {"list": {"struct": [{"name": "sku", "type": "string"}, {"name": "count", "type": "integer"}]}}},
        {"name": "by_day", "type": {"map": {"list": "decimal(5,1)"}}},
    ]}},
}  # fmt: skip


class Loader(yaml.SafeLoader):
    """Reads a template; what its short functions stand for does not matter here."""


Loader.add_multi_constructor("!", lambda loader, _suffix, node: getattr(loader, f"construct_{node.id}")(node))


def statements(text: str) -> list[exp.Expression]:
    """The statements of a text in Athena's dialect; none of them may be an unparsed command."""
    found = [one for one in sqlglot.parse(text, read="athena") if one is not None]
    if not found or any(isinstance(one, exp.Command) for one in found):
        raise AssertionError(f"not understood: {text}")
    return found


class Athena(unittest.TestCase):
    def columns(self, statement: exp.Expression) -> dict[str, str]:
        """Names and types of the columns that a statement makes."""
        self.assertIsInstance(statement, exp.Create)
        return {column.name: column.args["kind"].sql("hive").lower() for column in statement.this.expressions if isinstance(column, exp.ColumnDef)}

    def test_the_statements_of_the_guide_are_parsed(self) -> None:
        text = (ROOT / "docs/SCHEMAS.md").read_text()
        (made,) = re.findall(r"^```sql athena\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        (statement,) = statements(made)
        self.assertEqual({"id", "price", "tags", "lines", "any", "_extra", "tl_export", "tl_type"}, {*self.columns(statement), "tl_export", "tl_type"})
        for query in re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            statements(query)

    def test_the_saved_query_of_the_template_is_parsed(self) -> None:
        template = yaml.load((ROOT / "infra/template.yaml").read_text(), Loader)
        (select,) = statements(template["Resources"]["ExportedLinesQuery"]["Properties"]["QueryString"])
        self.assertEqual({"line", "tl_export", "tl_type"}, {column.name for column in select.find_all(exp.Column)})
        self.assertEqual(["exported_lines"], [table.name for table in select.find_all(exp.Table)])

    def test_the_statement_of_the_command_line_is_parsed_with_every_type(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "schema.json").write_text(json.dumps(SCHEMA))
            command = [str(program()), "schema", "show", "schema.json", "--athena", "--location", "s3://lake/tables/offers/", "--table", "offers"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        (statement,) = statements(done.stdout)
        wanted = {
            "id": "string", "price": "decimal(38, 2)", "at": "bigint", "ratio": "double", "on": "boolean", "raw": "binary", "any": "string",
            "tags": "array<string>", "lines": "array<struct<sku: string, count: bigint>>", "by_day": "map<string, array<decimal(5, 1)>>", "_extra": "string",
        }  # fmt: skip
        found = self.columns(statement)
        self.assertEqual(wanted, {name: found.get(name) for name in wanted})


if __name__ == "__main__":
    unittest.main()
