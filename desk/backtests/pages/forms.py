"""The forms of a backtest and of a search: data, dates, configuration, strategy, parameters.  The command itself judges
every value once more.

They are sent by GET, which shows the estimate; the Start button sends the same fields by POST.
"""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from desk.backtests import searches, strategies
from desk.backtests.runs import Request
from desk.backtests.searches import NAME, OWN_ADDRESSES
from marketdata.core.instruments import INSTRUMENTS
from marketdata.models import DataSet
from marketdata.selectors import schema_words
from trading.models import ConfigVersion
from trading.research.search.methods import METHODS
from trading.research.search.objective import OBJECTIVES, TRADES_MIN
from trading.studies.spaces import shipped_spaces

VENUE = "cme"  # bars are traded back for futures alone
LINES_MAX = 20
TRIALS_MAX = 10**6
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


def lines_of(text: str, form: str) -> list[str]:
    """Lines that are PATH=SOMETHING, without empty ones.  Raises ValidationError."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > LINES_MAX:
        raise forms.ValidationError(gettext("More than %(count)s lines.") % {"count": LINES_MAX})
    for line in lines:
        if not CHANGE.fullmatch(line):
            raise forms.ValidationError(gettext("%(line)s is not %(form)s.") % {"line": line, "form": form})
    return lines


class HistoryForm(forms.Form):
    """What every run over bars names: data, configuration, strategy.  Choices are made anew for every request."""

    data = forms.ChoiceField(label=_("Data set"))  # type: ignore[assignment]  # the form takes it as a field
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
    seed = forms.IntegerField(min_value=0, max_value=2**31, label=_("Seed of all that is drawn"), initial=1)

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
        return lines_of(self.cleaned_data["changes"], "PATH=VALUE")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        if found.get("first") and found.get("last") and found["first"] > found["last"]:
            self.add_error("last", gettext("before the first day"))
        return found

    def history(self) -> dict[str, Any]:
        """The fields of every request.  The form must be valid."""
        data = self.cleaned_data
        days = {name: data[name].isoformat() if data[name] else "" for name in ("first", "last")}
        return {name: data[name] for name in ("config", "symbol", "strategy", "changes", "seed")} | days

    def data_set(self) -> DataSet:
        return DataSet.objects.get(pk=int(self.cleaned_data["data"]))


class BacktestForm(HistoryForm):
    """One backtest."""

    elsewhere = forms.IntegerField(
        min_value=0,
        max_value=10**9,
        initial=0,
        label=_("Trials elsewhere"),
        help_text=_("configurations ever tried on these data that this desk does not know of"),
    )

    def request(self) -> Request:
        """What was asked for.  The form must be valid."""
        return Request(**self.history(), elsewhere=self.cleaned_data["elsewhere"])


class SearchForm(HistoryForm):
    """A search of parameters.  `name` is the study's: the same once more goes on with it."""

    name = forms.CharField(
        max_length=60,
        label=_("Name of the study"),
        widget=forms.TextInput({"autocapitalize": "off", "spellcheck": "false"}),
        help_text=_("small letters, digits, . _ -; the same name with the same words goes on where it was"),
    )
    space = forms.ChoiceField(required=False, label=_("Shipped space"))
    params = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea({"rows": 4, "spellcheck": "false"}),
        label=_("Parameters, one a line"),
        help_text=_("risk.stop_ticks=4..16/2, strategy.depth=2..6/1, risk.stop_method=fixed,atr"),
    )
    method = forms.ChoiceField(label=_("Method"), choices=[(name, name) for name in METHODS])
    trials = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=TRIALS_MAX,
        label=_("Trials, at most"),
        help_text=_("empty: 10,000 of a grid, 100 of another method"),
    )
    objective = forms.ChoiceField(label=_("To be highest"), choices=[(name, text) for name, text in OBJECTIVES.items()])
    min_trades = forms.IntegerField(
        min_value=0, max_value=10**6, initial=TRADES_MIN, label=_("Trades, at least"), help_text=_("fewer: infeasible")
    )
    field_order = (
        "name", "data", "config", "symbol", "strategy", "space", "params", "method", "trials", "objective",
        "min_trades", "first", "last", "changes", "seed",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [("", gettext("none, only those below")), *((name, name) for name in shipped_spaces())]
        self.fields["space"].choices = names  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        if not found.get("space") and found.get("params") == []:
            self.add_error("params", gettext("Name a parameter to search, or choose a shipped space."))
        return found

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if not NAME.fullmatch(name) or name in OWN_ADDRESSES:
            raise forms.ValidationError(gettext("This is no name of a study."))
        return name

    def clean_params(self) -> list[str]:
        """Lines → words of `--param`."""
        return lines_of(self.cleaned_data["params"], "PATH=VALUES")

    def request(self) -> searches.Request:
        """What was asked for.  The form must be valid."""
        names = ("space", "params", "method", "objective", "min_trades")
        own = {name: self.cleaned_data[name] for name in names}
        return searches.Request(**self.history(), **own, trials=self.cleaned_data["trials"] or 0)
