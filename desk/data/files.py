"""Tables of the data pages as CSV files: text that a spreadsheet would run is quoted; times are ISO 8601."""

import csv
import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.http import HttpResponse

NUMBER = re.compile(r"-?\d+(\.\d+)?")


def iso(us: int) -> str:
    """µs UTC → ISO 8601 with its offset, exactly."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)).isoformat()


def csv_file(name: str, rows: Iterable[Iterable[str]]) -> HttpResponse:
    """Rows as a file.  Text that a spreadsheet would run is quoted, a number is not: a price may be below zero."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_quoted(cell) for cell in row])
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def _quoted(cell: str) -> str:
    runs = cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not NUMBER.fullmatch(cell)
    return f"'{cell}" if runs else cell
