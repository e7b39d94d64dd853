"""The form of a new paper session: a market, a profile, a scorer.  It makes a Plan; pre-flight and services check it.

It is sent by GET to pre-flight, whose Start button sends the same fields by POST: every start passes pre-flight.
"""

from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.dbn import SCHEMAS
from marketdata.models import DataSet
from marketdata.selectors import data_set_path, market_data_sets
from trading import selectors
from trading.accounts import opening
from trading.models import Account
from trading.preflight.checks import Plan
from trading.run.clock import SPEED_MAX
from trading.run.spec import FeedSpec, ScorerSpec

SIMULATED, REPLAY, BARS, RECORDED = "simulated", "replay", "bars", "recorded"
FEEDS = [
    (SIMULATED, lazy("Simulated market")),
    (REPLAY, lazy("Replay of a tape")),
    (BARS, lazy("Replay of share bars")),
    (RECORDED, lazy("Imported data")),
]
FEED_HELP = {
    SIMULATED: lazy("A seeded order book with trades and 20 levels. Starts inside a session."),
    REPLAY: lazy("A recorded DBN, Parquet or CSV file; an ES tape may be traded as MES."),
    BARS: lazy("Bars without a book, MOEX shares: decided and filled on bars."),
    RECORDED: lazy("A data set of the desk's own store, from the Data page."),
}
SCORERS = [
    ("baseline", lazy("Baseline: imbalance and momentum")),
    ("heuristic", lazy("Heuristic: a book that leans and moves")),
    ("network", lazy("Network")),
    ("none", lazy("None: watch only")),
]
SCHEMA_CHOICES = [("", lazy("as the file says")), *((name, name) for name in SCHEMAS)]
SAMPLES = {REPLAY: "cme_es_mbo/esh4_20231225_to2330.mbo.dbn.zst", BARS: "moex_bars/SBER_5min_2018.csv.gz"}
USUAL: dict[str, dict[str, str]] = {
    SIMULATED: {"profile": "demo-mes", "symbol": "MES", "speed": "1"},
    REPLAY: {"profile": "demo-mes", "symbol": "MES", "speed": "10"},
    BARS: {"profile": "demo-moex", "symbol": "SBER", "speed": "600"},
    RECORDED: {"profile": "demo-mes", "symbol": "MES", "speed": "60"},
}
FIRST_RUN = {**USUAL[SIMULATED], "feed": SIMULATED, "scorer": "baseline", "seed": "7"}


# profile → what it is usually run with on the simulated market; one that hedges brings its future (MOEX-HEDGE-03)
SYMBOLS_OF = {"demo-mes": "MES", "mes-topstep": "MES", "demo-moex": "SBER", "moex-tinvest": "SBER, GAZP, MXI"}


def sample(feed: str) -> str:
    """The recorded file that comes with the sample data; empty when this machine has none."""
    path = Path(settings.SAMPLE_DATA) / SAMPLES[feed] if feed in SAMPLES else None
    return str(path) if path is not None and path.is_file() else ""


def usual() -> dict[str, dict[str, str]]:
    """What each market is usually run with; `profiles`: each profile on the simulated one.  The page fills it in."""
    return {feed: {**values, "path": sample(feed)} for feed, values in USUAL.items()} | {"profiles": SYMBOLS_OF}


class SessionForm(forms.Form):
    """Everything has a default: pressing on at once runs the demonstration."""

    feed = forms.ChoiceField(choices=FEEDS, initial=SIMULATED, widget=forms.RadioSelect, label=lazy("Market"))
    profile = forms.ChoiceField(label=lazy("Profile"), help_text=lazy("Rulebook and limits"))
    symbol = forms.CharField(
        initial="MES", max_length=400, label=lazy("Instruments"), help_text=lazy("One, or several with commas")
    )
    scorer = forms.ChoiceField(choices=SCORERS, initial="baseline", label=lazy("Scorer"))
    artifact = forms.CharField(required=False, label=lazy("Artifact folder"), help_text=lazy("What train has saved"))
    speed = forms.FloatField(
        min_value=0,
        max_value=SPEED_MAX,
        initial=1,
        label=lazy("Speed"),
        help_text=lazy("1 = real time; 0 = as fast as it goes"),
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        initial=7,
        required=False,
        label=lazy("Seed"),
        help_text=lazy("For the simulated market"),
    )
    path = forms.CharField(required=False, label=lazy("File"), help_text=lazy("A file on the desk's machine"))
    schema = forms.ChoiceField(required=False, choices=SCHEMA_CHOICES, label=lazy("Schema"))
    stored = forms.ChoiceField(required=False, label=lazy("Data set"))
    record = forms.BooleanField(
        required=False,
        label=lazy("Record the market"),
        help_text=lazy("Every book and trade as received, to replay and to import"),
    )
    account = forms.ChoiceField(
        required=False, label=lazy("Paper account"), help_text=lazy("Its money and its day go on")
    )
    new_account = forms.CharField(
        required=False,
        max_length=60,
        label=lazy("Or a new account"),
        help_text=lazy("Opened with the profile's capital when the session starts"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = selectors.active_versions()
        choices = [(row["profile"], f"{row['profile']} v{row['number']}") for row in rows]
        self.fields["profile"].choices = choices  # type: ignore[attr-defined]
        self.fields["profile"].initial = "demo-mes"
        names = [(row["name"], f"{row['name']}, {row['currency']}") for row in selectors.accounts()]
        self.fields["account"].choices = [("", _("the profile's own")), *names]  # type: ignore[attr-defined]
        kept = [(str(item.pk), str(item)) for item in market_data_sets()]
        self.fields["stored"].choices = kept or [("", _("nothing was imported yet"))]  # type: ignore[attr-defined]

    def clean_symbol(self) -> list[str]:
        """Known symbols, each once."""
        names = [name.strip().upper() for name in self.cleaned_data["symbol"].split(",") if name.strip()]
        unknown = [name for name in names if name not in INSTRUMENTS]
        if unknown or not names:
            known = ", ".join(sorted(INSTRUMENTS))
            raise forms.ValidationError(_("%(name)s is unknown; known: %(known)s") % {"name": unknown, "known": known})
        return list(dict.fromkeys(names))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("feed") in (REPLAY, BARS) and not data.get("path"):
            self.add_error("path", _("Name the recorded file to replay."))
        if data.get("feed") == RECORDED and not data.get("stored"):
            self.add_error("stored", _("Import history first, on the Data page."))
        if data.get("scorer") == "network" and not data.get("artifact"):
            self.add_error("artifact", _("Name the folder that train has saved the network to."))
        if data.get("account") and data.get("new_account"):
            self.add_error("new_account", _("Choose an account or name a new one, not both."))
        return data

    def clean_new_account(self) -> str:
        """A name that no account has."""
        name: str = self.cleaned_data["new_account"].strip()
        if name and any(row["name"] == name for row in selectors.accounts()):
            raise forms.ValidationError(_("An account has this name: choose it above."))
        if name.casefold().startswith("paper "):
            raise forms.ValidationError(_("Names that begin with “paper ” are those of the profiles' own accounts."))
        return name

    def plan(self) -> Plan:
        """What was asked for.  The form must be valid."""
        return Plan(self.cleaned_data["profile"], self.feed_spec(), self.scorer_spec(), account=self._account())

    def _account(self) -> Account | None:
        """The chosen account, or a new one that is not stored before the start; None: the profile's own."""
        data = self.cleaned_data
        if data["account"]:
            return Account.objects.filter(name=data["account"]).first()
        return opening.named(data["profile"], data["new_account"]) if data["new_account"] else None

    def feed_spec(self) -> FeedSpec:
        """The feed that was asked for."""
        data = self.cleaned_data
        symbols, speed = data["symbol"], data["speed"]
        if data["feed"] == SIMULATED:
            return FeedSpec(name=SIMULATED, symbols=symbols, seed=data["seed"] or 0, speed=speed, record=data["record"])
        if data["feed"] == RECORDED:
            return self._stored(symbols, speed)
        tape_as = {"as_symbol": ",".join(symbols)} if data["feed"] == REPLAY else {}
        return FeedSpec(
            name=REPLAY,
            symbols=symbols,
            speed=speed,
            path=data["path"],
            schema=data["schema"],
            options=tape_as,
            record=data["record"],
        )

    def _stored(self, symbols: list[str], speed: float) -> FeedSpec:
        """A data set of the store; a file that is gone is told by pre-flight."""
        item = DataSet.objects.get(pk=self.cleaned_data["stored"])
        try:
            path = str(data_set_path(item))
        except OSError:
            path = item.path
        held = item.symbols
        other = {"as_symbol": f"{held[0]}:{symbols[0]}"} if held and symbols[0] not in held else {}
        return FeedSpec(
            name=REPLAY,
            symbols=symbols,
            speed=speed,
            path=path,
            options=other,
            record=self.cleaned_data["record"],
        )

    def scorer_spec(self) -> ScorerSpec:
        """The scorer that was asked for."""
        network = self.cleaned_data["scorer"] == "network"
        return ScorerSpec(name=self.cleaned_data["scorer"], artifact=self.cleaned_data["artifact"] if network else "")
