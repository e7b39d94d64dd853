"""Forms of what only a person can tell a session: figures, a transfer, giving it up, an hour; and of the event list.

What a value may be is the services' question; a form makes integers of what was typed.
"""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from desk.accounts.forms import StepUpForm
from marketdata.core.units import NANOS, micros_from_text
from trading.news.csvfile import BYTES_MAX, TITLE_MAX
from trading.news.services import VENUE_NAMES

WHEN = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"})
TEXT = 40


class MoneyField(forms.CharField):
    """Decimal money → micros."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(max_length=TEXT, widget=widget, **kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return micros_from_text(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class StateForm(StepUpForm):
    """What nobody could read, as a person knows it."""

    balance = MoneyField(label=_("Balance now"))
    peak = MoneyField(
        label=_("Highest balance"), help_text=_("Since the account was opened, or since its last re-basing.")
    )
    reference = MoneyField(label=_("Balance that the total loss is counted from"))
    day_net = MoneyField(label=_("Booked net of this trading day"), help_text=_("Negative for a loss."))
    field_order = ["balance", "peak", "reference", "day_net"]


class TransferForm(StepUpForm):
    """Money in or out."""

    amount = MoneyField(label=_("Amount"), help_text=_("Negative when money leaves the account."))
    key = forms.UUIDField(widget=forms.HiddenInput)  # of this page: what is sent from it is booked once
    field_order = ["amount"]


class LockForm(forms.Form):
    """An hour of the session's clock.  It reduces: neither a reason nor a password is asked."""

    until = forms.CharField(max_length=TEXT, widget=WHEN, label=_("Locked until, UTC of the session's clock"))

    def clean_until(self) -> int:
        """ns UTC."""
        try:
            at = datetime.fromisoformat(self.cleaned_data["until"])
        except ValueError:
            raise ValidationError(_("This is not a time like 2026-03-04T18:00.")) from None
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return int(at.timestamp()) * NANOS


class PauseForm(LockForm):
    """The end of a pause; it reduces as well."""

    until = forms.CharField(max_length=TEXT, widget=WHEN, label=_("Paused until, UTC of the session's clock"))


class NewsForm(forms.Form):
    """One window of the event list, as a person writes it."""

    starts = forms.CharField(max_length=TEXT, widget=WHEN, label=_("Starts"))
    ends = forms.CharField(max_length=TEXT, widget=WHEN, label=_("Ends"))
    zone = forms.CharField(
        max_length=TEXT, initial="UTC", label=_("Time zone"), help_text=_("Like America/New_York or Europe/Moscow.")
    )
    venue = forms.ChoiceField(choices=[(name, name.upper()) for name in VENUE_NAMES], label=_("Venue"))
    title = forms.CharField(max_length=TITLE_MAX, label=_("What it is"))


class NewsFileForm(forms.Form):
    """A CSV file of windows."""

    file = forms.FileField(
        label=_("CSV file"),
        help_text=_("Columns: starts, ends, venue, title; zone where a time carries no offset."),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )

    def clean_file(self) -> Any:
        found = self.cleaned_data["file"]
        if found.size > BYTES_MAX:
            raise ValidationError(_("The file is larger than 1 MB."))
        return found
