"""The form of an import: which instrument a file is of, and how it is read.  The importer judges every option itself.

It is sent by GET, which shows the estimate; the Start button sends the same fields by POST.
"""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from marketdata.core.instruments import INSTRUMENTS
from marketdata.feeds.options import FORMATS, KNOWN, STAMPS, VOLUME_UNITS
from marketdata.imports import Request
from marketdata.store.report import STORED_SCHEMAS

ALL = "ALL"
AS_IT_SAYS = _("as the file says")
TEXT = 120


def _choice(label: Any, words: tuple[str, ...]) -> forms.ChoiceField:
    choices = [("", AS_IT_SAYS), *((word, word) for word in words)]
    return forms.ChoiceField(required=False, choices=choices, label=label)


def _text(label: Any, name: str) -> forms.CharField:
    return forms.CharField(required=False, max_length=TEXT, label=label, help_text=KNOWN[name])


class ImportForm(forms.Form):
    """Everything but the instrument may stay as it is: the file says it."""

    folder = forms.CharField(max_length=300, widget=forms.HiddenInput)
    file = forms.CharField(max_length=500, widget=forms.HiddenInput)
    symbol = forms.ChoiceField(
        choices=[
            ("", _("choose one")),
            (ALL, _("each that the file holds, a data set each")),
            *((name, name) for name in sorted(INSTRUMENTS)),
        ],
        label=_("Instrument"),
        help_text=_("Whose prices the file holds"),
    )
    schema = _choice(_("Schema"), STORED_SCHEMAS)
    format = _choice(_("Format"), FORMATS)
    zone = _text(_("Time zone"), "zone")
    stamp = _choice(_("Time of a bar"), STAMPS)
    bar_s = _text(_("Seconds of a bar"), "bar_s")
    volume_unit = _choice(_("Volume in"), VOLUME_UNITS)
    contract = _text(_("Contract"), "contract")
    instrument_id = _text(_("Vendor's id"), "instrument_id")
    columns = _text(_("Columns"), "columns")
    delimiter = _text(_("Delimiter"), "delimiter")
    tick = _text(_("Tick of a book"), "tick")
    lot = _text(_("Lot of a book"), "lot")
    sort = forms.ChoiceField(
        required=False,
        choices=[("", _("no: a file out of order is refused")), ("true", _("yes, in memory"))],
        label=_("Sort by time"),
    )
    hours = forms.ChoiceField(
        required=False,
        choices=[("", _("the exchange's sessions")), ("any", _("any"))],
        label=_("Hours that are kept"),
    )

    OPTIONS = (
        "format", "zone", "stamp", "bar_s", "volume_unit", "contract", "instrument_id", "columns", "delimiter", "tick",
        "lot", "sort", "hours",
    )  # fmt: skip

    def reading(self) -> list[forms.BoundField]:
        """The fields that say how the file is read."""
        return [self[name] for name in ("schema", *self.OPTIONS)]

    def changed(self) -> bool:
        """Whether anything of that is said, or wrong: then it is shown."""
        return any(self[name].value() or self[name].errors for name in ("schema", *self.OPTIONS))

    def request(self) -> Request:
        """What was asked for.  The form must be valid."""
        data: dict[str, Any] = self.cleaned_data
        options = {name: data[name] for name in self.OPTIONS if data[name]}
        return Request(data["folder"], data["file"], data["symbol"], data["schema"], options)


def fields_of(asked: Request) -> dict[str, str]:
    """The same as the form's fields."""
    return {
        "folder": asked.folder,
        "file": asked.file,
        "symbol": asked.symbol,
        "schema": asked.schema,
        **asked.options,
    }


def symbol_of(file: str) -> str:
    """The instrument that a file's name speaks of; empty when it names none."""
    name = file.upper()
    for symbol in sorted(INSTRUMENTS, key=len, reverse=True):
        # the end of a word, or a contract's month and year: ESH4, ES_5min, ES-1s
        if re.search(rf"(?<![A-Z0-9]){symbol}(?=[FGHJKMNQUVXZ]\d|[^A-Z]|$)", name):
            return symbol
    return ""
