"""Pages of signing in, and of one's own account: role, devices, password, step-up.  One call of a service each.

Opening a link changes nothing (browsers fetch links ahead); pressing its button uses it up.
"""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from desk.accounts import devices, services, stepup
from desk.accounts.forms import ConfirmForm, PasswordForm, filled
from desk.accounts.roles import SENTENCES, may, role_of
from desk.audit import services as audit
from trading.selectors import running_sessions


class SignIn(LoginView):
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        devices.note(self.request)
        return answer


class SignOut(LogoutView):
    pass


def refused(request: HttpRequest, reason: str, status: int) -> HttpResponse:
    return render(request, "accounts/link_refused.html", {"reason": reason}, status=status)


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def link(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link will do; on POST sign in, with a new password where one is wanted."""
    if not services.is_this_machine(request.META):
        return refused(request, "This link works only in a browser on the machine where the desk runs.", 403)
    now = timezone.now()
    try:
        found = services.find_link(token, now=now)
        person = services.owner()
        form = None
        if services.asks_password(found):
            form = PasswordForm(request.POST or None, asks_name=person is None)
        if request.method == "POST" and (form is None or form.is_valid()):
            return use(request, token, form)
    except services.LinkRefused as refusal:
        return refused(request, str(refusal), 410)
    return render(request, "accounts/link.html", {"form": form, "person": person})


def use(request: HttpRequest, token: str, form: PasswordForm | None) -> HttpResponse:
    """Redeem the link; a password that is not good enough comes back with the form and the link stays good."""
    data = form.cleaned_data if form is not None else {}
    try:
        person = services.redeem(
            token, now=timezone.now(), username=data.get("username", ""), password=data.get("password", "")
        )
    except ValidationError as error:
        assert form is not None, "only a form can bring a bad name or password"
        form.add_error(None, error)
        return render(request, "accounts/link.html", {"form": form, "person": services.owner()})
    login(request, person, backend="django.contrib.auth.backends.ModelBackend")
    devices.note(request)
    return redirect("welcome")


# one's own account


def _page(request: HttpRequest, form: Any, status: int = 200) -> HttpResponse:
    role, age = role_of(request.user), stepup.age_s(request)
    context = {
        "page": "account",
        "role": role,
        "may": SENTENCES[role],
        "devices": devices.devices(request),
        "running": running_sessions() if may(request.user, "reduce") else [],
        "form": form,
        "fresh_min": None if age is None or age > stepup.FRESH_S else int((stepup.FRESH_S - age) // 60) + 1,
        "now": timezone.now(),
    }
    return render(request, "accounts/account.html", context, status=status)


def _form(request: HttpRequest, data: Any = None) -> Any:
    form = PasswordChangeForm(request.user, data)  # type: ignore[arg-type]
    form.fields["old_password"].widget.attrs.pop("autofocus", None)  # the page does not begin with it
    return form


@never_cache
@require_GET
def account(request: HttpRequest) -> HttpResponse:
    """My role, where I am signed in, my password."""
    return _page(request, _form(request))


@never_cache
@sensitive_post_parameters()
@require_POST
def password(request: HttpRequest) -> HttpResponse:
    """A new password, after the old one.  Every other sign-in of this person ends with it."""
    form = _form(request, request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    person = form.save()
    update_session_auth_hash(request, person)
    ended = devices.end(person.pk, person.get_username(), keep=request.session.session_key)
    audit.append(category="security", action="password_changed", actor=person.get_username(), detail={"ended": ended})
    messages.success(request, _("The password is changed. Other devices are signed out."))
    return redirect("accounts:account")


@require_POST
def sign_out_others(request: HttpRequest) -> HttpResponse:
    """End my other sign-ins; the tokens that their pages carry for the guard are void at once."""
    name = request.user.get_username()
    ended = devices.end(request.user.pk, name, keep=request.session.session_key)
    audit.append(category="security", action="others_signed_out", actor=name, detail={"ended": ended})
    words = ngettext("%(n)d other device is signed out.", "%(n)d other devices are signed out.", ended)
    messages.success(request, words % {"n": ended})
    return redirect("accounts:account")


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """The password again: what raises risk may be done within five minutes.  `next`: an address of this desk."""
    target = request.POST.get("next") or request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = "/account/"
    form = ConfirmForm(filled(request))
    if request.method == "POST" and form.is_valid():
        try:
            stepup.confirm(request, form.cleaned_data["password"])
            return redirect(target)
        except stepup.StepUpRefused as refusal:
            form.add_error("password", str(refusal))
    context = {"page": "account", "form": form, "next": target, "minutes": stepup.FRESH_S // 60}
    return render(request, "accounts/confirm.html", context, status=422 if form.errors else 200)
