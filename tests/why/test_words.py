"""The words of an answer: every rule has its phrase, times as people write them, tables and commands."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from risk.core.gate import RULES
from risk.margins import Form
from risk.schema import FIELDS
from tests.kernel.desk import Desk
from tests.why.recorded import record, shown_session
from trading.core import records as r
from trading.reports.why import table as why_table
from trading.reports.why.answer import why
from trading.reports.why.times import moment_us
from trading.reports.why.words import PHRASES, About, amount

DAY_US = 86_400_000_000
NINE = 20_000 * DAY_US + 9 * 3_600_000_000  # 2024-10-04 09:00 UTC


def test_every_rule_has_a_phrase_and_every_limit_an_amount() -> None:
    """Also for a form that knows nothing at all: a phrase never fails where a rule refuses."""
    assert set(PHRASES) == {rule.function.__name__ for rule in RULES}
    about = About("MES", 250_000_000, "USD")
    desk = Desk(ready=False)
    for form in (Form(desk.kernel.params.asking, desk.kernel.params.limits), _refused()):
        assert all(phrase(form, about) for phrase in PHRASES.values())
    assert all(amount(row, row.high, "USD") for row in FIELDS)
    unknown = desk.kernel.params.asking.copy()
    unknown.view("<i8")[:] = np.iinfo(np.int64).min
    for name in ("phase", "status"):
        unknown[name] = 0
    assert all(phrase(Form(unknown, desk.kernel.params.limits), about) for phrase in PHRASES.values())


def _refused() -> Form:
    desk = Desk()
    desk.quote(20_000, 20_009)
    desk.score()
    return Form(desk.kernel.params.asking, desk.kernel.params.limits)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        (str(NINE + 5), "UTC", NINE + 5),
        ("09:30", "UTC", NINE + 1_800_000_000),
        ("09:30:01.25", "UTC", NINE + 1_801_250_000),
        ("04:30", "America/Chicago", NINE + 1_800_000_000),
        ("12:30", "Europe/Moscow", NINE + 1_800_000_000),
        ("2024-10-04T09:30:00", "UTC", NINE + 1_800_000_000),
        ("2024-10-04 12:30:00+03:00", "UTC", NINE + 1_800_000_000),
        ("00:10", "UTC", NINE + 15 * 3_600_000_000 + 600_000_000),  # the session runs into the next day
    ],
)
def test_times_as_people_write_them(text: str, zone: str, expected: int) -> None:
    assert moment_us(text, zone, NINE, NINE + 16 * 3_600_000_000) == expected


def test_a_time_of_day_outside_the_session_is_the_nearest_one() -> None:
    assert moment_us("08:59:59", "UTC", NINE, NINE + 3_600_000_000) == NINE - 1_000_000
    assert moment_us("10:00:01", "UTC", NINE, NINE + 3_600_000_000) == NINE + 3_601_000_000


@pytest.mark.parametrize("text", ["", "noon", "25:00", "12:61", "12:00:99", "2024-13-01T00:00", "12345", "٣:٣٠"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        moment_us(text, "UTC", NINE, NINE + DAY_US)


def test_an_hour_that_happens_twice_is_refused_never_guessed() -> None:
    with pytest.raises(ValueError, match="twice or never"):
        moment_us("2024-11-03T01:30:00", "America/Chicago", NINE, NINE + 60 * DAY_US)


def test_the_command_prints_the_answer_in_every_form(tmp_path: Path) -> None:
    frames = record(tmp_path / "7", shown_session())
    rows = frames[frames["kind"] == r.DECISION]
    refused = int(rows["seq"][-1])
    out = io.StringIO()
    call_command("why", str(tmp_path / "7"), str(refused), stdout=out)
    text = out.getvalue()
    assert "refused: BUY 1 MES: OPERATOR_PAUSE (P-02)" in text and "■ held" in text
    assert "not reached, refuses" in text and "previous decision: journal" in text
    out = io.StringIO()
    call_command("why", str(tmp_path / "7"), str(refused), "--json", stdout=out)
    values = json.loads(out.getvalue())["decided"]
    assert values["verdict"] == "OPERATOR_PAUSE" and len(values["rows"]) == len(RULES)
    assert len(values["inputs_sha256"]) == 64
    out = io.StringIO()
    call_command("why", str(tmp_path / "7"), str(refused), "--csv", stdout=out)
    table = list(csv.DictReader(io.StringIO(out.getvalue())))
    spread = next(row for row in table if row["limit"] == "spread_ticks_max")
    assert (spread["limit_value"], spread["used_value"], spread["left_value"], spread["verdict"]) == (
        "4", "9", "-5", "refuses",
    )  # fmt: skip
    assert {row["rule"] for row in table} == {rule.function.__name__ for rule in RULES}
    out = io.StringIO()
    call_command("why", str(tmp_path / "7"), "2026-03-04T05:00:00", stdout=out)
    assert "no decision within a minute" in out.getvalue()
    for wrong in ("99999999", "soon"):
        with pytest.raises(CommandError):
            call_command("why", str(tmp_path / "7"), wrong)
    with pytest.raises(CommandError, match="no journal"):
        call_command("why", str(tmp_path / "none"))


def test_the_table_of_a_silence_holds_its_causes(tmp_path: Path) -> None:
    frames = record(tmp_path / "7", shown_session())
    found = why(tmp_path / "7", at_us=int(frames["ts_ns"][-1]) // 1000)
    table = why_table.table(found)
    assert table[0] == ["cause", "text"] and table[1][0] == "FEED_SILENT"
    assert json.dumps(why_table.values(found))
