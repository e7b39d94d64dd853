"""The form of a new paper session: a market, a profile, a scorer.  It makes a FeedSpec; the services check the rest."""

from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings

from marketdata.core.instruments import INSTRUMENTS
from trading import selectors
from trading.run.clock import SPEED_MAX
from trading.run.spec import FeedSpec, ScorerSpec

SIMULATED, REPLAY, BARS = "simulated", "replay", "bars"
FEEDS = [(SIMULATED, "Simulated market"), (REPLAY, "Replay of a tape"), (BARS, "Replay of share bars")]
FEED_HELP = {
    SIMULATED: "A seeded order book with trades and 20 levels. Starts inside a session.",
    REPLAY: "A recorded DBN, parquet or CSV file; an ES tape may be traded as MES.",
    BARS: "Bars without a book, MOEX shares: decided and filled on bars.",
}
SCORERS = [("baseline", "Baseline: imbalance and momentum"), ("network", "Network"), ("none", "None: watch only")]
SAMPLES = {REPLAY: "cme_es_mbo/esh4_20231225_to2330.mbo.dbn.zst", BARS: "moex_bars/SBER_5min_2018.csv.gz"}
USUAL: dict[str, dict[str, str]] = {
    SIMULATED: {"profile": "demo-mes", "symbol": "MES", "speed": "1"},
    REPLAY: {"profile": "demo-mes", "symbol": "MES", "speed": "10"},
    BARS: {"profile": "demo-moex", "symbol": "SBER", "speed": "600"},
}


def sample(feed: str) -> str:
    """The recorded file that comes with the sample data; empty when this machine has none."""
    path = Path(settings.SAMPLE_DATA) / SAMPLES[feed] if feed in SAMPLES else None
    return str(path) if path is not None and path.is_file() else ""


def usual() -> dict[str, dict[str, str]]:
    """What each market is usually run with; the page fills it in."""
    return {feed: {**values, "path": sample(feed)} for feed, values in USUAL.items()}


class SessionForm(forms.Form):
    """Everything has a default: pressing Start at once runs the demonstration."""

    feed = forms.ChoiceField(choices=FEEDS, initial=SIMULATED, widget=forms.RadioSelect, label="Market")
    profile = forms.ChoiceField(label="Profile", help_text="Rulebook and limits")
    symbol = forms.ChoiceField(choices=[(name, name) for name in INSTRUMENTS], initial="MES", label="Instrument")
    scorer = forms.ChoiceField(choices=SCORERS, initial="baseline", label="Scorer")
    artifact = forms.CharField(required=False, label="Artifact folder", help_text="What train has saved")
    speed = forms.FloatField(
        min_value=0, max_value=SPEED_MAX, initial=1, label="Speed", help_text="1 = real time; 0 = as fast as it goes"
    )
    seed = forms.IntegerField(
        min_value=0, max_value=2**31 - 1, initial=7, label="Seed", help_text="For the simulated market"
    )
    path = forms.CharField(required=False, label="File", help_text="For a replay: a file on the desk's machine")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = selectors.active_versions()
        choices = [(row["profile"], f"{row['profile']} v{row['number']}") for row in rows]
        self.fields["profile"].choices = choices  # type: ignore[attr-defined]
        self.fields["profile"].initial = "demo-mes"

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("feed") in (REPLAY, BARS) and not data.get("path"):
            self.add_error("path", "Name the recorded file to replay.")
        if data.get("scorer") == "network" and not data.get("artifact"):
            self.add_error("artifact", "Name the folder that train has saved the network to.")
        return data

    def feed_spec(self) -> FeedSpec:
        """The feed that was asked for."""
        data = self.cleaned_data
        simulated = data["feed"] == SIMULATED
        tape_as = {"as_symbol": data["symbol"]} if data["feed"] == REPLAY else {}
        return FeedSpec(
            name=SIMULATED if simulated else REPLAY,
            symbols=[data["symbol"]],
            seed=data["seed"],
            speed=data["speed"],
            path="" if simulated else data["path"],
            options=tape_as,
        )

    def scorer_spec(self) -> ScorerSpec:
        """The scorer that was asked for."""
        network = self.cleaned_data["scorer"] == "network"
        return ScorerSpec(name=self.cleaned_data["scorer"], artifact=self.cleaned_data["artifact"] if network else "")
