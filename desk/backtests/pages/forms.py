"""The forms of backtests, over bars and over books, of a search and of a walk-forward: data, configuration, strategy,
parameters.  The command itself judges every value once more.

They are sent by GET, which shows the estimate; the Start button sends the same fields by POST.
"""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from desk.backtests import searches, strategies
from desk.backtests.models import WALK
from desk.backtests.runs import Request
from desk.backtests.searches import NAME, OWN_ADDRESSES
from marketdata.core.instruments import INSTRUMENTS
from marketdata.models import DataSet
from marketdata.selectors import schema_words
from trading.models import ConfigVersion
from trading.research.records import ResearchError
from trading.research.search.methods import METHODS
from trading.research.search.objective import OBJECTIVES, TRADES_MIN
from trading.studies.folding import ANCHORED, CHOOSE, DAY, DAYS, EMBARGO, FOLD_TRADES, MONTH, MONTHS, ROLLING, sizes_of
from trading.studies.spaces import shipped_spaces

VENUE = "cme"  # bars are traded back for futures alone
TAPES = ("books", "mbo", "mbp-10")  # kinds of data sets that are tapes of books
LINES_MAX = 20
TRIALS_MAX = 10**6
DAY_S = 86_400
CHANGE = re.compile(r"[a-z_]+\.[A-Za-z_][A-Za-z_0-9]*=\S.*")
LATENCY = re.compile(r"\d{1,11} ?(ns|us|ms|s)|session:\d{1,9}")
LENGTHS = ("train", "validation", "test", "step", "holdout")


def venue_of(row: DataSet) -> str:
    """Where the first instrument of a data set trades; empty for one that the desk does not know."""
    return INSTRUMENTS[row.symbols[0]].venue if row.symbols and row.symbols[0] in INSTRUMENTS else ""


def data_choices(*, books: bool) -> list[tuple[str, str]]:
    """Stored bars of the venue, or tapes of books of any, the newest first."""
    found = DataSet.objects.filter(kind__in=TAPES) if books else DataSet.objects.filter(bar_ns__gt=0)
    rows = [row for row in found.order_by("-id") if (venue_of(row) != "" if books else venue_of(row) == VENUE)]
    return [
        (str(row.pk), f"{row.pk}: {', '.join(row.symbols)} {schema_words(row)}, {row.rows:,} rows, {row.source}")
        for row in rows
    ]


def config_choices(venue: str = "") -> list[tuple[str, str]]:
    """Versions that trade at the venue, at any without one; the active ones first."""
    rows = [row for row in ConfigVersion.objects.all() if venue in ("", row.values.get("market", {}).get("venue"))]
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


class RunForm(forms.Form):
    """What every run names: data, configuration, strategy.  Choices are made anew for every request."""

    data = forms.ChoiceField(label=_("Data set"))  # type: ignore[assignment]  # the form takes it as a field
    config = forms.ChoiceField(label=_("Configuration"))
    symbol = forms.ChoiceField(label=_("Traded as"), help_text=_("must be one of the configuration's instruments"))
    strategy = forms.ChoiceField(label=_("Strategy"), help_text=_("examples, and the files of the desk's folder"))
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
        for name, choices in self.choices().items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        """Of every list, by the field's name."""
        symbols = sorted(name for name, item in INSTRUMENTS.items() if item.venue == VENUE)
        return {
            "data": data_choices(books=False),
            "config": config_choices(VENUE),
            "symbol": [(name, name) for name in symbols],
            "strategy": [(offer.words, offer.words) for offer in strategies.offered().values()],
        }

    def clean_changes(self) -> list[str]:
        """Lines → words of `--set`."""
        return lines_of(self.cleaned_data["changes"], "PATH=VALUE")

    def words(self) -> dict[str, Any]:
        """The fields of every request.  The form must be valid."""
        data = self.cleaned_data
        return {name: data[name] for name in ("config", "symbol", "strategy", "changes", "seed")}

    def data_set(self) -> DataSet:
        return DataSet.objects.get(pk=int(self.cleaned_data["data"]))


class HistoryForm(RunForm):
    """A run over bars: whole trading days."""

    first = forms.DateField(required=False, label=_("First trading day"), widget=forms.DateInput({"type": "date"}))
    last = forms.DateField(required=False, label=_("Last, included"), widget=forms.DateInput({"type": "date"}))
    field_order: tuple[str, ...] = ("data", "config", "symbol", "strategy", "first", "last", "changes", "seed")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        if found.get("first") and found.get("last") and found["first"] > found["last"]:
            self.add_error("last", gettext("before the first day"))
        return found

    def words(self) -> dict[str, Any]:
        data = self.cleaned_data
        days = {name: data[name].isoformat() if data[name] else "" for name in ("first", "last")}
        return super().words() | days


def _elsewhere() -> forms.IntegerField:
    return forms.IntegerField(
        min_value=0,
        max_value=10**9,
        initial=0,
        label=_("Trials elsewhere"),
        help_text=_("configurations ever tried on these data that this desk does not know of"),
    )


class BacktestForm(HistoryForm):
    """One backtest over bars."""

    elsewhere = _elsewhere()

    def request(self) -> Request:
        """What was asked for.  The form must be valid."""
        return Request(**self.words(), elsewhere=self.cleaned_data["elsewhere"])


class BooksForm(RunForm):
    """One backtest over a tape of books."""

    latency = forms.CharField(
        required=False,
        max_length=24,
        label=_("Latency of requests"),
        help_text=_("20 ms, or session:12 for what session 12 has measured; empty: the profile's"),
    )
    seconds = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=31 * DAY_S,
        initial=0,
        label=_("Seconds of the tape"),
        help_text=_("0: all of it; 31 days at most"),
    )
    elsewhere = _elsewhere()
    field_order = ("data", "config", "symbol", "strategy", "latency", "seconds", "changes", "seed", "elsewhere")

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        scorers = [(strategies.BASELINE, strategies.BASELINE)]
        policies = [(offer.words, offer.words) for offer in strategies.policies().values()]
        return {
            "data": data_choices(books=True),
            "config": config_choices(),
            "symbol": [(name, name) for name in sorted(INSTRUMENTS)],
            "strategy": scorers + policies,
        }

    def clean_latency(self) -> str:
        found = str(self.cleaned_data["latency"]).strip()
        if found and not LATENCY.fullmatch(found):
            raise forms.ValidationError(gettext("This is no time with its unit, and no session:N."))
        return found

    def request(self) -> Request:
        """What was asked for.  The form must be valid."""
        data = self.cleaned_data
        own = {"latency": data["latency"], "seconds": data["seconds"] or 0, "elsewhere": data["elsewhere"]}
        return Request(**self.words(), first="", last="", **own, books=True)


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
        help_text=_("empty: as many as the method takes by itself"),
    )
    objective = forms.ChoiceField(label=_("Maximise"), choices=[(name, text) for name, text in OBJECTIVES.items()])
    min_trades = forms.IntegerField(
        min_value=0, max_value=10**6, initial=TRADES_MIN, label=_("Trades, at least"), help_text=_("fewer: infeasible")
    )
    field_order: tuple[str, ...] = (
        "name", "data", "config", "symbol", "strategy", "space", "params", "method", "trials", "objective",
        "min_trades", "first", "last", "changes", "seed",
    )  # fmt: skip

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        names = [("", gettext("none, only those below")), *((name, name) for name in shipped_spaces())]
        return super().choices() | {"space": names}

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
        return searches.Request(**self.words(), **own, trials=self.cleaned_data["trials"] or 0)


def _length(name: str, label: Any) -> forms.IntegerField:
    months = _("1 month") if MONTHS[name] == 1 else _("%s months") % MONTHS[name]
    usual = _("empty: %(months)s, or %(days)s days") % {"months": months, "days": DAYS[name]}
    return forms.IntegerField(required=False, min_value=0, max_value=1_000, label=label, help_text=usual)


class WalkForm(SearchForm):
    """A walk-forward: a search in every fold's past, traded once on what came after."""

    mode = forms.ChoiceField(
        label=_("Training"), choices=[(ROLLING, _("a window that rolls")), (ANCHORED, _("all of the past"))]
    )
    unit = forms.ChoiceField(label=_("Lengths are"), choices=[(MONTH, _("months")), (DAY, _("days"))])
    train = _length("train", _("Training is long"))
    validation = _length("validation", _("Validation is long"))
    test = _length("test", _("A test is long"))
    step = _length("step", _("From fold to fold"))
    holdout = _length("holdout", _("Kept back at the end"))
    embargo = forms.IntegerField(
        min_value=1, max_value=100, initial=EMBARGO, label=_("Embargo"), help_text=_("sessions left out at each border")
    )
    choose = forms.IntegerField(
        min_value=1, max_value=1_000, initial=CHOOSE, label=_("Choose from"), help_text=_("best of training")
    )
    fold_trades = forms.IntegerField(
        min_value=1,
        max_value=10**6,
        initial=FOLD_TRADES,
        label=_("Trades of a test, at least"),
        help_text=_("fewer prove nothing"),
    )
    field_order = (
        *SearchForm.field_order[:11], "mode", "unit", *LENGTHS, "embargo", "choose", "fold_trades",
        *SearchForm.field_order[11:],
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        if not self.errors:
            try:
                sizes_of(self.walk())
            except ResearchError as error:
                self.add_error("step" if "--step" in str(error) else "holdout", str(error))
        return found

    def walk(self) -> dict[str, Any]:
        """The words of the walk; None where the unit's own length is meant."""
        names = ("mode", "unit", *LENGTHS, "embargo", "choose", "fold_trades")
        return {name: self.cleaned_data.get(name) for name in names}

    def request(self) -> searches.Request:
        return super().request()._replace(purpose=WALK, walk=self.walk())
