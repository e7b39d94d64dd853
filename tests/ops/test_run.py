"""`manage.py run` as a person meets it: banner, sign-in link, second desk, restart of what dies, Ctrl-C."""

import http.cookiejar
import json
import os
import re
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.desks import START_S, Desk, desk_environment, manage, processes_of, wait_until_gone

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    var = tmp_path_factory.mktemp("desk") / "v"
    running = Desk(desk_environment(var))
    try:
        running.wait_for("Ctrl-C")
        yield running
    finally:
        running.end()


def folder(desk: Desk) -> Path:
    return Path(desk.environment["DESK_VAR"])


def supervisor_pid(desk: Desk) -> int:
    return int((folder(desk) / "supervisord.pid").read_text())


def test_the_page_answers_and_the_link_signs_in_once(desk: Desk) -> None:
    link = re.search(r"(http://127\.0\.0\.1:\d+/sign-in/once/\S+)", desk.said())
    assert link is not None, desk.said()
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = browser.open(link[1]).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    form = {"username": "operator", "password": "a-long-pass-phrase", "again": "a-long-pass-phrase"}
    data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token[1]}).encode()
    browser.open(urllib.request.Request(link[1], data, {"Referer": link[1]}))
    assert "sessionid" in {cookie.name for cookie in jar}
    with pytest.raises(urllib.error.HTTPError) as refused:
        browser.open(link[1])
    assert refused.value.code == 410


def test_a_second_desk_on_the_folder_is_refused_in_one_sentence(desk: Desk) -> None:
    second = manage(desk.environment, "run")
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1, second.stderr
    assert f"a desk already runs on the folder {folder(desk)}" in second.stderr
    assert "DESK_VAR" in second.stderr


def test_doctor_finds_the_running_desk_in_order(desk: Desk) -> None:
    result = manage(desk.environment, "doctor", "--json")
    faults = [row for row in json.loads(result.stdout) if not row["good"]]
    assert faults == [], result.stdout + result.stderr
    assert result.returncode == 0


def test_runtime_folder_is_closed_to_others(desk: Desk) -> None:
    assert folder(desk).stat().st_mode & 0o077 == 0
    assert (folder(desk) / "secret_key").stat().st_mode & 0o077 == 0


def test_a_killed_program_is_started_again(desk: Desk) -> None:
    web = next(pid for pid, command in processes_of(folder(desk)).items() if "daphne" in command)
    os.kill(web, signal.SIGKILL)
    desk.wait_for("web ended and is started again (terminated by SIGKILL)")
    url = f"http://127.0.0.1:{desk.environment['DESK_PORT']}/sign-in/"
    deadline = time.monotonic() + START_S
    status = 0
    while status != 200 and time.monotonic() < deadline:
        try:
            status = urllib.request.urlopen(url, timeout=30).status
        except OSError:
            time.sleep(0.1)
    assert status == 200


def test_ctrl_c_stops_everything(desk: Desk) -> None:
    """Last of this file: ends the desk of the fixture."""
    session = os.getsid(supervisor_pid(desk))
    members = [pid for pid in processes_of(folder(desk)) if os.getsid(pid) == session]
    assert len(members) >= 9, members
    assert desk.interrupt() == 0, desk.said()
    assert "stopped; no process is left" in desk.said()
    assert processes_of(folder(desk)) == {}
    assert [pid for pid in members if Path(f"/proc/{pid}").exists()] == []


def test_nothing_is_left_to_find(desk: Desk) -> None:
    assert wait_until_gone(folder(desk), 1) == {}
    assert "Traceback" not in desk.said()
