"""Tables of the data pages as CSV files: text that a spreadsheet would run is quoted; times are ISO 8601."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.http import HttpResponse


def iso(us: int) -> str:
    """µs UTC → ISO 8601 with its offset, exactly."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)).isoformat()


def csv_file(name: str, rows: Iterable[Iterable[str]]) -> HttpResponse:
    """Rows as a file.  Text that a spreadsheet would run is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell for cell in row])
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)
