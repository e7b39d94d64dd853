"""The form of a backtest: data, dates, configuration, strategy.  The backtest itself judges every value once more.

It is sent by GET, which shows the estimate; the Start button sends the same fields by POST.
"""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from desk.backtests import strategies
from desk.backtests.runs import Request
from marketdata.core.instruments import INSTRUMENTS
from marketdata.models import DataSet
from marketdata.selectors import schema_words
from trading.models import ConfigVersion

VENUE = "cme"  # bars are traded back for futures alone
CHANGES_MAX = 20
CHANGE = re.compile(r"[a-z_]+\.[A-Za-z_][A-Za-z_0-9]*=\S.*")


def data_choices() -> list[tuple[str, str]]:
    """Stored bars of the venue, the newest first."""
    rows = DataSet.objects.filter(bar_ns__gt=0).order_by("-id")
    return [
        (str(row.pk), f"{row.pk}: {', '.join(row.symbols)} {schema_words(row)}, {row.rows:,} rows, {row.source}")
        for row in rows
        if row.symbols and row.symbols[0] in INSTRUMENTS and INSTRUMENTS[row.symbols[0]].venue == VENUE
    ]


def config_choices() -> list[tuple[str, str]]:
    """Versions that trade at the venue, the active ones first."""
    rows = [row for row in ConfigVersion.objects.all() if row.values.get("market", {}).get("venue") == VENUE]
    rows.sort(key=lambda row: (row.status != "active", row.profile, -row.number))
    return [(f"{row.profile}@{row.number}", f"{row.profile}@{row.number}, {row.status}") for row in rows]


class BacktestForm(forms.Form):
    """Choices are made anew for every request."""

    data = forms.ChoiceField(label=_("Data set"))
    config = forms.ChoiceField(label=_("Configuration"))
    symbol = forms.ChoiceField(label=_("Traded as"), help_text=_("must be one of the configuration's instruments"))
    strategy = forms.ChoiceField(label=_("Strategy"), help_text=_("examples, and the files of the desk's folder"))
    first = forms.DateField(required=False, label=_("First trading day"), widget=forms.DateInput({"type": "date"}))
    last = forms.DateField(required=False, label=_("Last, included"), widget=forms.DateInput({"type": "date"}))
    changes = forms.CharField(
        required=False,
        max_length=2000,
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
        label=_("Changed values, one a line"),
        help_text=_("risk.stop_ticks=10, paper.slip_ticks=2 for dearer trading, strategy.depth=4"),
    )
    seed = forms.IntegerField(min_value=0, max_value=2**31, label=_("Seed of the criticism"), initial=1)
    elsewhere = forms.IntegerField(
        min_value=0,
        max_value=10**9,
        initial=0,
        label=_("Trials elsewhere"),
        help_text=_("configurations ever tried on these data that this desk does not know of"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        symbols = sorted(name for name, item in INSTRUMENTS.items() if item.venue == VENUE)
        lists = {
            "data": data_choices(),
            "config": config_choices(),
            "symbol": [(name, name) for name in symbols],
            "strategy": [(offer.words, offer.words) for offer in strategies.offered().values()],
        }
        for name, choices in lists.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def clean_changes(self) -> list[str]:
        """Lines → words of `--set`."""
        lines = [line.strip() for line in self.cleaned_data["changes"].splitlines() if line.strip()]
        if len(lines) > CHANGES_MAX:
            raise forms.ValidationError(gettext("More than %(count)s lines.") % {"count": CHANGES_MAX})
        for line in lines:
            if not CHANGE.fullmatch(line):
                raise forms.ValidationError(gettext("%(line)s is not PATH=VALUE.") % {"line": line})
        return lines

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        if found.get("first") and found.get("last") and found["first"] > found["last"]:
            self.add_error("last", gettext("before the first day"))
        return found

    def request(self) -> Request:
        """What was asked for.  The form must be valid."""
        data = self.cleaned_data
        days = [data[name].isoformat() if data[name] else "" for name in ("first", "last")]
        words = [data["config"], data["symbol"], data["strategy"], data["changes"], *days]
        return Request(*words, data["seed"], data["elsewhere"])

    def data_set(self) -> DataSet:
        return DataSet.objects.get(pk=int(self.cleaned_data["data"]))
