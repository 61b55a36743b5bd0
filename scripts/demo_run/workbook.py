"""Writes an .xlsx file with what ids suffer from: texts of digits, and numbers that only their format shows with leading zeros."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from xml.sax.saxutils import escape, quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
# The same file in every run: a zip has the times of its members.
TIME = (2026, 1, 14, 0, 0, 0)
# Formats of cells by their place in the list of formats: as the program likes, and with leading zeros up to five digits.
PADDED_DIGITS = 5
STYLES = f"""<styleSheet xmlns="{MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="{'0' * PADDED_DIGITS}"/></numFmts>\
<fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders>\
<cellStyleXfs count="1"><xf/></cellStyleXfs>\
<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="164" applyNumberFormat="1"/></cellXfs></styleSheet>"""

Cell = str | int
"""A text, or a number that is shown with PADDED_DIGITS digits."""


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook."""

    name: str
    rows: Sequence[Sequence[Cell]]


def write(path: Path, sheets: Iterable[Sheet]) -> None:
    """Writes a workbook of these sheets."""
    sheets = list(sheets)
    numbers = range(1, len(sheets) + 1)
    part = lambda number: f"worksheets/sheet{number}.xml"
    relations = "".join(f'<Relationship Id="r{number}" Type="{OFFICE}/worksheet" Target="{part(number)}"/>' for number in numbers)
    relations += f'<Relationship Id="styles" Type="{OFFICE}/styles" Target="styles.xml"/>'
    listed = "".join(f'<sheet name={quoteattr(sheet.name)} sheetId="{number}" r:id="r{number}"/>' for number, sheet in zip(numbers, sheets, strict=True))
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    overrides = "".join(f'<Override PartName="/xl/{part(number)}" ContentType="{kind}.worksheet+xml"/>' for number in numbers)
    members = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kind}.styles+xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}</Relationships>',
        "xl/styles.xml": STYLES,
    }
    members |= {f"xl/{part(number)}": _sheet_xml(sheet) for number, sheet in zip(numbers, sheets, strict=True)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            member = zipfile.ZipInfo(name, TIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{text}')


def _sheet_xml(sheet: Sheet) -> str:
    rows = []
    for number, row in enumerate(sheet.rows, 1):
        written = "".join(_cell_xml(f"{letter}{number}", cell) for letter, cell in zip(ascii_uppercase, row))
        rows.append(f'<row r="{number}">{written}</row>')
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(rows)}</sheetData></worksheet>'


def _cell_xml(place: str, cell: Cell) -> str:
    if isinstance(cell, int):
        return f'<c r="{place}" s="1"><v>{cell}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(cell)}</t></is></c>'
