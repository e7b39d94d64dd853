"""Forms of a purchase: which series and days, and the amount that a person types to agree."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from desk.accounts.forms import StepUpForm
from marketdata.databento.request import (
    CAP_DOLLARS,
    SCHEMAS,
    DatabentoError,
    Series,
    cap_micros_of,
    day_ns,
    series,
)
from marketdata.store.report import STORED_SCHEMAS

DATE = forms.DateInput(attrs={"type": "date"})


def _schemas() -> list[tuple[Any, list[tuple[str, str]]]]:
    """Those that the store takes first."""
    held = [name for name in SCHEMAS if name not in STORED_SCHEMAS]
    taken = [name for name in SCHEMAS if name in STORED_SCHEMAS]
    return [
        (_("into the store"), [(name, name) for name in taken]),
        (_("held as files"), [(name, name) for name in held]),
    ]


class PriceForm(forms.Form):
    """What to ask the price of.  The vendor's names and days are checked by `databento.request`."""

    symbol = forms.CharField(
        max_length=24,
        initial="MES.v.0",
        label=_("Symbol"),
        help_text=_("MES.v.0 the front month by volume, MES.FUT every contract, MESH6 one contract"),
    )
    schema = forms.ChoiceField(label=_("Schema"), initial="ohlcv-1s", choices=_schemas)
    start = forms.CharField(
        required=False,
        widget=DATE,
        max_length=10,
        label=_("First day, UTC"),
        help_text=_("Three years back without one"),
    )
    end = forms.CharField(
        required=False,
        widget=DATE,
        max_length=10,
        label=_("Day after the last, UTC"),
        help_text=_("All there is without one"),
    )
    cap = forms.CharField(
        max_length=12,
        initial=CAP_DOLLARS,
        label=_("Most it may cost, US dollars"),
        help_text=_("Above it nothing can be bought"),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        checks: dict[str, Callable[[], object]] = {
            "symbol": lambda: series(data["symbol"], data.get("schema") or "trades"),
            "start": lambda: data["start"] and day_ns(data["start"]),
            "end": lambda: data["end"] and day_ns(data["end"]),
            "cap": lambda: cap_micros_of(data["cap"]),
        }
        for name, check in checks.items():
            if name in data:
                try:
                    check()
                except DatabentoError as error:
                    self.add_error(name, str(error))
        return data

    def asked(self) -> tuple[Series, str, str, int]:
        """Series, first day, day after the last, cap in micros.  The form must be valid."""
        data = self.cleaned_data
        return series(data["symbol"], data["schema"]), data["start"], data["end"], cap_micros_of(data["cap"])


class BuyForm(StepUpForm):
    """The amount as it stands on the page, typed; then what every deed of weight asks for."""

    amount = forms.CharField(
        max_length=20,
        label=_("Amount in US dollars, as it stands above"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "decimal"}),
    )
    field_order = ["amount"]
