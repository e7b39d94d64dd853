"""A newly activated version on its way into the sessions that run: one journaled batch each, and one audit row each.

The kernel takes the tighter values at once and the looser ones when the session is flat; what says so is the journal,
not this module.  A session keeps its capital and its mode of bars; market and simulated venue belong to new sessions.
Called by the configuration pages and the command `config`; who may do it was asked there.
"""

from typing import NamedTuple

import numpy as np
from django.utils import timezone

from marketdata.core.records import ACCOUNT_SCOPE, new_events
from risk.core.records import LIMIT_FIELDS, LIMIT_INDEX
from trading import configs
from trading.config.changes import KEPT_BY_SESSION
from trading.control import put_events, session_folder
from trading.core import states
from trading.core.records import CONFIG, CONFIG_COMMIT
from trading.models import ConfigVersion, Session
from trading.run.spec import SessionSpec, SpecError, load_spec, restrictions, version_word
from trading.run.streams import StreamAway, StreamFull
from trading.run.versions import note_name

SENT, NOT_SENT = "sent", "not sent"


class Handover(NamedTuple):
    """One session: was the version put into its inbox?  Whether it holds is in the journal: `CONFIG_ACTIVE`."""

    session_id: int
    key: str
    state: str
    detail: str


class Activation(NamedTuple):
    """An active version and what became of it in the sessions that run."""

    version: ConfigVersion
    handovers: list[Handover]


def activate(version: ConfigVersion, *, by: str, reason: str) -> Activation:
    """Activate for new sessions, then hand over to every running session of the profile.  Raises ConfigError."""
    active = configs.activate(version, by=by, reason=reason)
    return Activation(active, hand_over_all(active, by=by, reason=reason))


def running(profile: str) -> list[Session]:
    """Sessions of this profile that have started and are not over, oldest first."""
    over = (states.CREATED, *states.SESSION_OVER)
    return list(Session.objects.filter(version__profile=profile).exclude(status__in=over).order_by("id"))


def hand_over_all(version: ConfigVersion, *, by: str, reason: str) -> list[Handover]:
    """Hand the version over to every running session of its profile.  Raises ConfigError for one that is not whole."""
    return [hand_over(session, version, by=by, reason=reason) for session in running(version.profile)]


def hand_over(session: Session, version: ConfigVersion, *, by: str, reason: str) -> Handover:
    """Put the version's limits and restrictions into one session's inbox, whole or not at all; audited either way.

    Raises ConfigError when the version is of another profile, is not the active one or is not what its hash says.
    """
    profile = configs.profile_of(version)
    if version.status != states.ACTIVE:
        raise configs.ConfigError([f"{version} is {version.status}: only the active version is handed over"])
    state, detail = SENT, ""
    try:
        spec = load_spec(session_folder(session.id))
        if spec.profile != version.profile:
            raise configs.ConfigError([f"session {session.key} runs {spec.profile}, not {version.profile}"])
        note_name(session_folder(session.id), version.id, str(version))
        put_events(spec, version_events(spec, profile, version))
    except (StreamAway, StreamFull, SpecError, OSError) as error:
        state, detail = NOT_SENT, str(error)[:300]
    if state == SENT:
        ConfigVersion.objects.filter(id=version.id, used_at=None).update(used_at=timezone.now())
    about = {"version": version.id, "hash": version.hash, "reason": reason, "state": state, "detail": detail}
    about["restricted"] = list(profile.market.restricted)
    configs.tell_audit("config", "handed_over", by, f"{session.key} {version}", about)
    return Handover(session.id, session.key, state, detail)


def version_events(spec: SessionSpec, profile: configs.Profile, version: ConfigVersion) -> np.ndarray:
    """(n,) EVENTs: every limit staged, the commit that names the version, then who is restricted (P-25).

    `put_events` stamps them.
    """
    limits = profile.limits()
    limits |= {name: spec.limits[name] for name in KEPT_BY_SESSION if name in spec.limits}
    names = [name for name in LIMIT_FIELDS if name in limits]
    events = new_events(len(names) + 1)
    events["instrument"] = ACCOUNT_SCOPE
    for row, name in zip(events, names, strict=False):
        row["kind"], row["code"], row["value"] = CONFIG, LIMIT_INDEX[name], limits[name]
    commit = events[len(names)]
    commit["kind"], commit["ref"], commit["value"] = CONFIG_COMMIT, version.id, version_word(version.hash)
    return np.concatenate([events, restrictions(spec, profile.market.restricted)])
