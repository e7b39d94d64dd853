"""Tables of the data pages as CSV files: text that a spreadsheet would run is quoted; times are ISO 8601."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.http import HttpResponse

from desk.csvanswer import csv_answer

NUMBER = re.compile(r"-?\d+(\.\d+)?")


def iso(us: int) -> str:
    """µs UTC → ISO 8601 with its offset, exactly."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)).isoformat()


def csv_file(name: str, rows: Iterable[Iterable[str]]) -> HttpResponse:
    """Rows as a file.  Text that a spreadsheet would run is quoted, a number is not: a price may be below zero."""
    return csv_answer(name, ([_quoted(cell) for cell in row] for row in rows))


def _quoted(cell: str) -> str:
    runs = cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not NUMBER.fullmatch(cell)
    return f"'{cell}" if runs else cell
