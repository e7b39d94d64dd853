"""Pages of signing in: the password form and the one-time link.  Each view makes one call of the services.

Opening a link changes nothing (browsers fetch links ahead); pressing its button uses it up.
"""

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from desk.accounts import services
from desk.accounts.forms import PasswordForm


class SignIn(LoginView):
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True


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
    return redirect("welcome")
