"""The form behind the one-time link: a name for the first user, and a password twice."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class PasswordForm(forms.Form):
    """Checks that both passwords agree; how good they are is the service's question."""

    username = forms.CharField(max_length=150, initial="operator", label="Name")
    password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), label="Password, 10 characters or more"
    )
    again = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), label="The same again")

    def __init__(self, *args: Any, asks_name: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks_name:
            del self.fields["username"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("password") != data.get("again"):
            raise ValidationError("The two passwords differ.")
        return data
