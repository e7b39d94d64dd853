"""A table as a CSV file to be kept: the one way in which pages answer with one."""

import csv
import io
from collections.abc import Iterable

from django.http import HttpResponse


def csv_answer(name: str, rows: Iterable[Iterable[object]]) -> HttpResponse:
    """Rows, the heads first, as the file `name`.  What a spreadsheet would run is the caller's to quote."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)
