"""Pages of configuration versions, inside the admin: look, edit into a draft, compare, activate, roll back, import.

Nothing here changes a version: saving makes the next draft through `trading.configs`.  A change that only tightens is
one press; one that may raise risk is two steps with a reason and the password (`accounts.stepup`), and an admin's.
"""

from typing import Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from desk.accounts import stepup
from desk.accounts.forms import StepUpForm, filled
from desk.accounts.roles import may
from desk.config import previews, selectors
from desk.config.forms import DraftForm, ImportForm
from desk.dashboard.rights import require
from trading import configs
from trading.config import fields, running
from trading.config.changes import Line, raises_risk
from trading.core import states
from trading.models import ConfigVersion, Session
from trading.reports.impact import preview as impact


def find(version_id: int) -> ConfigVersion:
    """The version, or a 404."""
    found = ConfigVersion.objects.filter(id=version_id).first()
    if found is None:
        raise Http404("no such version")
    return found


def show(request: HttpRequest, template: str, title: str, status: int = 200, **context: Any) -> HttpResponse:
    """A page in the admin's frame."""
    context = {**admin.site.each_context(request), "title": title, **context}
    return render(request, f"config/{template}.html", context, status=status)


def address(version: ConfigVersion, name: str = "trading_configversion_change") -> str:
    return reverse(f"admin:{name}", args=[version.id])


def raising(active: ConfigVersion | None, lines: list[Line]) -> bool:
    """Whether activation may raise risk; the first version of a profile always may."""
    return active is None or raises_risk(lines)


def right_for(active: ConfigVersion | None, lines: list[Line]) -> str:
    """Which right activating these lines asks for."""
    return "loosen" if raising(active, lines) else "tighten"


# looking


@require_GET
def version(request: HttpRequest, version_id: int) -> HttpResponse:
    """One version: every value with unit, bounds and help; what it changes; who obeys it."""
    row = find(version_id)
    active = selectors.active_of(row.profile)
    context: dict[str, Any] = {"version": row, "active": active, "fault": selectors.fault_of(row)}
    if not context["fault"]:
        lines = selectors.lines(active, row)
        known = fields.rows(configs.profile_of(row))
        sections = {name: [item for item in known if item.section == key] for key, name in fields.SECTIONS.items()}
        context |= {"sections": sections, "lines": lines, "raises": raising(active, lines)}
        context["changed"] = {line.path for line in lines}
        context["may_activate"] = may(request.user, right_for(active, lines))
    if row == active:
        back = selectors.before_active(row.profile)
        context |= {"running": selectors.running_rows(row), "back": back}
        if back is not None and not selectors.fault_of(back):
            context["back_lines"] = selectors.lines(row, back)
            context["may_roll_back"] = may(request.user, right_for(row, context["back_lines"]))
        context["waiting"] = any(item.tone != selectors.GOOD for item in context["running"])
    context |= {"usage": selectors.usage(row), "may_draft": may(request.user, "draft")}
    return show(request, "version", _("Version %(version)s") % {"version": row}, **context)


@require_GET
def diff(request: HttpRequest) -> HttpResponse:
    """Any two versions, line by line: tightens, loosens, neutral."""
    versions = list(ConfigVersion.objects.order_by("profile", "-number"))
    chosen = [_chosen(request, "a"), _chosen(request, "b")]
    context: dict[str, Any] = {"versions": versions, "old": chosen[0], "new": chosen[1]}
    if chosen[0] is not None and chosen[1] is not None:
        try:
            context["lines"] = selectors.lines(chosen[0], chosen[1])
        except configs.ConfigError as error:
            context["fault"] = str(error)
    return show(request, "diff", _("Compare versions"), **context)


def _chosen(request: HttpRequest, name: str) -> ConfigVersion | None:
    text = request.GET.get(name, "")
    return ConfigVersion.objects.filter(id=int(text)).first() if text.isascii() and text.isdigit() else None


@require_GET
def export(request: HttpRequest, version_id: int) -> HttpResponse:
    """The version as YAML with exactly the schema's keys."""
    row = find(version_id)
    try:
        text = configs.to_yaml(configs.profile_of(row))
    except configs.ConfigError as error:
        raise Http404(str(error)) from None
    answer = HttpResponse(text, content_type="application/yaml; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{row.profile}-v{row.number}.yaml"'
    return answer


# drafts


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, version_id: int) -> HttpResponse:
    """A form that begins with this version and ends in the next draft; this version stays as it is."""
    require(request, "draft")
    row = find(version_id)
    if fault := selectors.fault_of(row):
        messages.error(request, fault)
        return redirect(address(row))
    form = DraftForm(filled(request), base=configs.profile_of(row))
    if request.method == "POST" and form.is_valid() and form.profile is not None:
        return _stored(request, form.profile, form.cleaned_data["reason"])
    title = _("Edit %(version)s into a draft") % {"version": row}
    return show(request, "edit", title, 422 if form.errors else 200, version=row, form=form)


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """YAML → a draft; every fault is shown at once, an unknown key with the nearest one that exists."""
    require(request, "draft")
    form = ImportForm(filled(request), request.FILES or None)
    faults: list[str] = []
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data.get("name", _("the text"))
        try:
            profile = configs.parse_yaml(form.cleaned_data["text"], name)
            return _stored(request, profile, form.cleaned_data["reason"])
        except configs.ConfigError as error:
            faults = error.faults
    bad = bool(faults or form.errors)
    return show(request, "import", _("Import YAML"), 422 if bad else 200, form=form, faults=faults)


def _stored(request: HttpRequest, profile: configs.Profile, reason: str) -> HttpResponse:
    before = ConfigVersion.objects.filter(profile=profile.profile, hash=configs.profile_hash(profile)).exists()
    row = configs.store(profile, author=request.user.get_username(), reason=reason)
    if before:
        messages.warning(request, _("These are the values of %(version)s: no new version was made.") % {"version": row})
    else:
        messages.success(request, _("%(version)s is stored as a draft. It is not active.") % {"version": row})
    return redirect(address(row))


# activating


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def activate(request: HttpRequest, version_id: int) -> HttpResponse:
    """Step one shows what changes and for whom; the press makes it so, under the right and the step-up it needs."""
    row = find(version_id)
    active = selectors.active_of(row.profile)
    if row == active:
        messages.info(request, _("%(version)s is active already.") % {"version": row})
        return redirect(address(row))
    try:
        lines = selectors.lines(active, row)
    except configs.ConfigError as error:
        messages.error(request, str(error))
        return redirect(address(row))
    require(request, right_for(active, lines))
    raises = raising(active, lines)
    about = f"activate {row.hash} over {active.hash if active else 'nothing'}"
    form = StepUpForm(filled(request), fresh=not raises or stepup.is_fresh(request))
    if request.method == "POST" and form.is_valid():
        try:
            reason = stepup.require(request, about, form.given()) if raises else _plain_reason(form, row)
            return _activated(request, row, reason)
        except stepup.StepUpRefused as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, str(refusal))
        except configs.ConfigError as error:
            form.add_error(None, str(error))
    return _ask(request, row, active, lines, form, about)


def _plain_reason(form: StepUpForm, row: ConfigVersion) -> str:
    """Tightening is one press: the version's own reason serves where none was typed."""
    return form.cleaned_data.get("reason", "").strip() or row.reason


def _ask(
    request: HttpRequest,
    row: ConfigVersion,
    active: ConfigVersion | None,
    lines: list[Line],
    form: StepUpForm,
    about: str,
) -> HttpResponse:
    """The first step's page, with a new ticket and without the password."""
    raises = raising(active, lines)
    shown = StepUpForm(
        initial={"reason": form.data.get("reason", ""), "ticket": stepup.make_ticket(request, about)},
        fresh=not raises or stepup.is_fresh(request),
    )
    context = {
        "version": row,
        "active": active,
        "lines": lines,
        "raises": raises,
        "form": shown,
        "faults": form.errors,
        "sessions": running.running(row.profile),
        "ticket_s": stepup.TICKET_S,
        "impact": previews.latest_done(row),
        "impact_run": previews.latest(row),
        "may_ask": may(request.user, "draft"),
        "usual": impact.SESSIONS_USUAL,
    }
    title = _("Activate %(version)s") % {"version": row}
    return show(request, "activate", title, 422 if form.errors else 200, **context)


def _activated(request: HttpRequest, row: ConfigVersion, reason: str) -> HttpResponse:
    done = running.activate(row, by=request.user.get_username(), reason=reason)
    messages.success(request, _("%(version)s is active.") % {"version": row})
    for handover in done.handovers:
        if handover.state != running.SENT:
            words = _("Session %(key)s did not get it: %(detail)s. Hand it over again.")
            messages.error(request, words % {"key": handover.key, "detail": handover.detail})
    return redirect(address(row))


@require_POST
def roll_back(request: HttpRequest, version_id: int) -> HttpResponse:
    """One press back to the version that was active before.  What it would loosen needs a fresh step-up."""
    row = find(version_id)
    active = selectors.active_of(row.profile)
    if row.status != states.RETIRED or active is None:
        messages.error(request, _("Only a version that was active before can be rolled back to."))
        return redirect(address(row))
    try:
        lines = selectors.lines(active, row)
        require(request, right_for(active, lines))
        reason = f"roll back from {active} to {row}"
        if raises_risk(lines):
            stepup.require(request, reason, stepup.Confirmation(reason))
        return _activated(request, row, reason)
    except stepup.StepUpRefused:
        messages.warning(request, _("Going back loosens: give a reason and your password."))
        return redirect(address(row, "config_activate"))
    except configs.ConfigError as error:
        messages.error(request, str(error))
        return redirect(address(row))


@require_POST
def hand_over(request: HttpRequest, version_id: int, session_id: int) -> HttpResponse:
    """Once more to one running session that did not get the active version."""
    row, session = find(version_id), Session.objects.select_related("version").filter(id=session_id).first()
    if session is None:
        raise Http404("no such session")
    name = request.user.get_username()
    try:
        lines = selectors.lines(session.version, row)
        require(request, right_for(session.version, lines))
        reason = f"{row} once more to session {session.key}"
        if raises_risk(lines):
            stepup.require(request, reason, stepup.Confirmation(reason))
        done = running.hand_over(session, row, by=name, reason=reason)
        say = messages.success if done.state == running.SENT else messages.error
        say(request, f"{session.key}: {done.state}{f': {done.detail}' if done.detail else ''}")
    except stepup.StepUpRefused:
        messages.warning(request, _("This loosens what the session obeys: confirm your password, then press again."))
        return redirect(f"{reverse('accounts:confirm')}?next={address(row)}")
    except configs.ConfigError as error:
        messages.error(request, str(error))
    return redirect(address(row))
