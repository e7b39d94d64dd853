"""The health of a network on its session's page: verdict, figures with their sample sizes and age.  T-06."""

from pathlib import Path

import msgspec
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from desk.accounts.roles import VIEWER, make_roles
from tests.shell.frames import make_session
from trading.control import session_folder
from trading.learning.health.drift import Pair
from trading.learning.health.evaluation import NO_HOURS, Report
from trading.learning.health.outcomes import Figures, judge_hits
from trading.models import Session
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.health.files import write_report
from trading.run.spec import SPEC_FILE, ScorerSpec, load_spec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
AT = 1_700_000_000_000_000_000
HITS = judge_hits(Figures(400, 140, 0.6, 0.0), Figures(400, 240, 0.6, 0.0))
PAIR = Pair(0, 1, 500, 100, 0.9, 1e-9, 1e-8, 4.5, 1.5, 3.25, 2)
REPORT = Report(AT, 2, True, "ab" * 32, "", 3, [PAIR], None, 0.123, HITS)


@pytest.fixture
def scored() -> Session:
    """A running session on a network."""
    session = make_session()
    folder = session_folder(session.id)
    spec = msgspec.structs.replace(load_spec(folder), scorer=ScorerSpec("network", "/nets/1"))
    (folder / SPEC_FILE).write_bytes(msgspec.json.encode(spec))
    save_clock(folder, SessionClock(AT + 95 * 10**9, boot_ns(), 1.0))
    return session


def page(client: Client, session: Session) -> str:
    make_roles()
    user, _ = User.objects.get_or_create(username="vera")
    user.groups.add(Group.objects.get(name=VIEWER))
    client.force_login(user)
    text = client.get(f"/sessions/{session.id}/").content.decode()
    begin = text.find('id="health"')
    return " ".join(text[begin : text.index("</section>", begin)].split()) if begin >= 0 else ""


def write(session: Session, **changes: object) -> Path:
    folder = session_folder(session.id)
    write_report(folder, msgspec.structs.replace(REPORT, **changes), ["MES"], ("spread", "imbalance_5"))
    return folder


def test_a_session_without_a_network_has_no_such_panel_and_one_not_seen_yet_says_so_t_06(
    client: Client, scored: Session
) -> None:
    assert page(client, make_session()) == ""
    assert "Not looked at yet: the first look is 1800 s of market time" in page(client, scored)


def test_what_is_confirmed_stands_with_its_sizes_and_its_age_t_06(client: Client, scored: Session) -> None:
    write(scored)
    text = page(client, scored)
    assert "critical, twice in a row: no entry" in text and "2023-11-14 22:13:20 UTC" in text
    assert "95 s old" in text or "96 s old" in text or "97 s old" in text
    assert "1: 1 out of band, 3 passed over for want of values" in text
    assert "35.0 %" in text and "400 scores; at training 60.0 % of 400; band" in text
    assert "imbalance_5" in text and "100 / 500" in text and "0.123" in text and "ab" * 8 in text


def test_what_could_not_be_compared_is_a_warning_with_its_reason_t_06(client: Client, scored: Session) -> None:
    few = judge_hits(Figures(4, 1, 0.6, 0.0), Figures(400, 240, 0.6, 0.0))
    write(scored, verdict=1, confirmed=False, why=NO_HOURS, pairs=[], hits=few)
    text = page(client, scored)
    assert NO_HOURS in text and "warning: sizes step down" in text
    assert "not judged: 4 scores and 400 at training, 30 of each are needed" in text


def test_a_report_that_is_damaged_is_none(client: Client, scored: Session) -> None:
    folder = write(scored)
    (folder / "health.json").write_bytes(b"{")
    assert "Not looked at yet" in page(client, scored)
