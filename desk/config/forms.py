"""The form of a draft: one field per value of the schema, made from the schema, with unit, bounds and help.

A form never decides whether a value is good: the whole profile is checked by the schema, all faults together, and each
is shown beside its field.  A new limit in risk's FIELDS table appears here by itself.
"""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from risk.schema import CHOICE, SWITCH
from trading.config import fields
from trading.config.fields import CHOICES, LIST, NUMBER, Row
from trading.config.schema import ConfigError, Profile, parse_profile, profile_hash

REASON_MAX = 500


def form_field(row: Row) -> forms.Field:
    """The field of one value; what it holds is checked by the schema, not here."""
    if row.kind == SWITCH:
        return forms.BooleanField(required=False, label=row.label, initial=row.value)
    if row.kind == CHOICE:
        pairs = [(word, word) for word in row.choices]
        return forms.ChoiceField(choices=pairs, label=row.label, initial=row.value)
    if row.kind == CHOICES:
        pairs = [(word, word) for word in row.choices]
        boxes = forms.CheckboxSelectMultiple
        return forms.MultipleChoiceField(
            choices=pairs, required=False, label=row.label, initial=row.value, widget=boxes
        )
    shown = ", ".join(row.value) if row.kind == LIST else str(row.value)
    return forms.CharField(
        required=False, label=row.label, initial=shown, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )


def from_text(row: Row, given: Any) -> Any:
    """What was typed → what a file would hold; what cannot be turned goes on as it is, and the schema says why."""
    if row.kind == LIST:
        return [word.strip() for word in str(given).split(",") if word.strip()]
    if row.kind == NUMBER:
        text = str(given).strip()
        return int(text) if text.lstrip("-").isdigit() else text
    return given


class DraftForm(forms.Form):
    """All values of one profile and the reason for changing them."""

    def __init__(self, *args: Any, base: Profile, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.base = base
        self.rows = fields.rows(base)
        self.profile: Profile | None = None
        for row in self.rows:
            self.fields[row.path] = form_field(row)
        self.fields["reason"] = forms.CharField(
            max_length=REASON_MAX,
            label=_("Reason for this version"),
            widget=forms.TextInput(attrs={"autocomplete": "off"}),
        )

    def values(self) -> dict[str, Any]:
        """The profile as a file would hold it, from what was typed."""
        found: dict[str, Any] = {name: getattr(self.base, name) for name in fields.FIXED}
        for row in self.rows:
            value = from_text(row, self.cleaned_data.get(row.path, ""))
            section, _dot, key = row.path.rpartition(".")
            (found.setdefault(section, {}) if section else found)[key] = value
        return found

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        try:
            self.profile = parse_profile(self.values())
        except ConfigError as error:
            for fault in error.found:
                place = fault.path if fault.path in self.fields else None
                self.add_error(place, fault.text if place else fault.sentence)
        else:
            if profile_hash(self.profile) == profile_hash(self.base):
                self.add_error(None, _("Nothing differs from the version that this form began with."))
        return data

    def sections(self) -> list[tuple[str, list[tuple[Row, forms.BoundField]]]]:
        """Rows with their fields, by section, for the template."""
        found: dict[str, list[tuple[Row, forms.BoundField]]] = {}
        for row in self.rows:
            found.setdefault(fields.SECTIONS[row.section], []).append((row, self[row.path]))
        return list(found.items())

    def faults(self) -> list[tuple[str, str, str]]:
        """(anchor, label, sentence) of every fault, for the summary."""
        found = []
        for name, texts in self.errors.items():
            bound = self[name] if name in self.fields else None
            for text in texts:
                found.append((bound.id_for_label if bound else "", str(bound.label) if bound else "", str(text)))
        return found


class ImportForm(forms.Form):
    """A profile as YAML, pasted or as a file."""

    text = forms.CharField(
        required=False,
        label=_("YAML"),
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "false", "autocomplete": "off"}),
        max_length=60_000,
    )
    file = forms.FileField(required=False, label=_("or a file"))
    reason = forms.CharField(max_length=REASON_MAX, label=_("Reason"))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if (file := data.get("file")) is not None:
            try:
                data["text"], data["name"] = file.read(60_000).decode(), file.name
            except UnicodeDecodeError:
                self.add_error("file", _("The file is not text."))
        elif not data.get("text"):
            self.add_error("text", _("Paste a profile, or choose a file."))
        return data
