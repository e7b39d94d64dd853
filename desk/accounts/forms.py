"""Forms about people: the one-time link's password, a new password, step-up, roles.  How good a password is, and who
may do it, are the services' questions.
"""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from desk.accounts.roles import ROLES, SENTENCES, VIEWER
from desk.accounts.stepup import REASON_MAX, Confirmation

NEW = forms.PasswordInput(attrs={"autocomplete": "new-password"})
CURRENT = forms.PasswordInput(attrs={"autocomplete": "current-password"})


def filled(request: HttpRequest) -> Any:
    """What a form was sent with; None before it was sent.  A POST without any field was sent, too."""
    return request.POST if request.method == "POST" else None


class PasswordForm(forms.Form):
    """Checks that both passwords agree; how good they are is the service's question."""

    username = forms.CharField(max_length=150, initial="operator", label=_("Name"))
    password = forms.CharField(widget=NEW, label=_("Password, 10 characters or more"))
    again = forms.CharField(widget=NEW, label=_("The same again"))

    def __init__(self, *args: Any, asks_name: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks_name:
            del self.fields["username"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("password") != data.get("again"):
            raise ValidationError(_("The two passwords differ."))
        return data


class ConfirmForm(forms.Form):
    """The password once more, and nothing else."""

    password = forms.CharField(widget=CURRENT, label=_("Password"))


class StepUpForm(forms.Form):
    """Reason, password where it is not fresh, and the ticket of the page that showed the effect."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_MAX,
        label=_("Reason, 10 characters or more"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "minlength": "10"}),
    )
    password = forms.CharField(
        required=False, widget=CURRENT, label=_("Your password"), help_text=_("Good for five minutes.")
    )
    ticket = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, fresh: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if fresh:
            del self.fields["password"]

    def given(self) -> Confirmation:
        """What was filled in; the service checks it."""
        data = self.cleaned_data
        return Confirmation(data.get("reason", ""), data.get("password", ""), data.get("ticket", ""))


class RoleForm(StepUpForm):
    """A role for a person."""

    role = forms.ChoiceField(
        choices=[(name, f"{name}: {SENTENCES[name]}") for name in ROLES], widget=forms.RadioSelect, label=_("Role")
    )
    field_order = ["role"]


class PersonForm(RoleForm):
    """A new person."""

    username = forms.CharField(max_length=150, label=_("Name"))
    first_password = forms.CharField(
        widget=NEW,
        label=_("First password, 10 characters or more"),
        help_text=_("They change it on their account page."),
    )
    field_order = ["username", "first_password", "role"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].initial = VIEWER
