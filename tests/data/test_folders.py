"""Which files a page may name: those inside the desk's folders, and no other by any way of writing it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from desk import settings as desk_settings
from marketdata.feeds.port import FeedError
from marketdata.store import folders
from marketdata.store.folders import find, listing
from tests.bootstrap import ROOT


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    secret = tmp_path / "secret.csv"
    secret.write_text("password")
    return secret


def test_a_file_inside_is_found(inbox: Path) -> None:
    (inbox / "es").mkdir()
    file = inbox / "es" / "bars.csv"
    file.write_text("x")
    assert find([inbox], str(inbox), "es/bars.csv") == file
    (inbox / "again.csv").symlink_to(file)  # a link that stays inside leads where it may
    assert find([inbox], str(inbox), "again.csv") == file


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../secret.csv", "leads out of"),
        ("es/../../secret.csv", "leads out of"),
        ("link.csv", "leads out of"),
        ("way/secret.csv", "leads out of"),
        ("absent.csv", "is not in"),
        ("es/bars.csv\0.png", "no file was named"),
        ("", "no file was named"),
        (".", "no file of a known kind"),
        ("es", "no file of a known kind"),
        ("notes.exe", "no file of a known kind"),
    ],
)
def test_no_name_leads_out_of_the_folder(inbox: Path, outside: Path, name: str, words: str) -> None:
    (inbox / "es").mkdir()
    (inbox / "notes.exe").write_text("x")
    (inbox / "link.csv").symlink_to(outside)
    (inbox / "way").symlink_to(outside.parent)
    with pytest.raises(FeedError, match=words):
        find([inbox], str(inbox), name)


def test_an_absolute_path_and_a_folder_that_is_not_of_the_list_are_refused(inbox: Path, outside: Path) -> None:
    with pytest.raises(FeedError, match="leads out of"):
        find([inbox], str(inbox), str(outside))
    for folder in (str(outside.parent), f"{inbox}/..", "", f"{inbox}/"):
        with pytest.raises(FeedError, match="is not one of the folders"):
            find([inbox], folder, "secret.csv")


def test_the_list_holds_what_can_be_imported_and_says_where_it_ends(
    inbox: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.parquet", "a.csv.gz", "C.DBN.ZST", ".hidden.csv", "notes.md", "deep/er/x.zip", ".git/y.csv"):
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345")
    (inbox / "link.csv").symlink_to(outside)
    found = listing([inbox, inbox / "nowhere"])
    assert [item.file for item in found.files] == ["C.DBN.ZST", "a.csv.gz", "b.parquet", "deep/er/x.zip"]
    assert {item.bytes for item in found.files} == {5} and found.absent == [str(inbox / "nowhere")]
    assert not found.cut
    monkeypatch.setattr(folders, "FILES_MAX", 3)
    found = listing([inbox])
    assert (len(found.files), found.cut) == (3, True)
    monkeypatch.setattr(folders, "DEPTH_MAX", 1)
    assert "deep/er/x.zip" not in [item.file for item in listing([inbox]).files]


def test_the_setting_takes_absolute_folders_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DESK_IMPORT_FOLDERS", f"{tmp_path}/a:{tmp_path}/b")
    assert desk_settings.import_folders() == [tmp_path / "a", tmp_path / "b"]
    monkeypatch.setenv("DESK_IMPORT_FOLDERS", "recordings")
    with pytest.raises(ImproperlyConfigured, match="no absolute path"):
        desk_settings.import_folders()
    monkeypatch.delenv("DESK_IMPORT_FOLDERS")
    usual: list[Any] = desk_settings.import_folders()
    assert usual == [desk_settings.VAR / "imports", desk_settings.SAMPLE_DATA]


def test_a_name_that_is_no_text_is_counted_and_not_offered(inbox: Path) -> None:
    (inbox / "good.csv").write_text("x")
    for name in (b"b\xe9.csv", b"d\xe9/x.csv"):
        path = Path(os.fsdecode(os.fsencode(inbox) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    found = listing([inbox, Path(os.fsdecode(os.fsencode(inbox) + b"/d\xe9"))])
    assert [item.file for item in found.files] == ["good.csv"] and found.odd == 2
    assert found.absent == [f"{inbox}/d?"], "a folder whose name no page can carry"


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_listed() -> None:
    """By somebody without rights, in a process of its own and an open folder: the tests may be root."""
    looks = (
        "import os, sys; from pathlib import Path; from marketdata.store.folders import listing;"
        "os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534));"
        "print(listing(map(Path, sys.argv[1:])))"
    )
    with tempfile.TemporaryDirectory() as place:
        inbox = Path(place)
        inbox.chmod(0o755)
        for name in ("a/x.csv", "listed/x.csv", "shut/x.csv", "z/x.csv"):
            (inbox / name).parent.mkdir()
            (inbox / name).write_text("x")
        (inbox / "listed").chmod(0o444)
        (inbox / "shut").chmod(0o000)
        below, long = inbox / "shut" / "deeper", inbox / ("x" * 300)
        command = [sys.executable, "-c", looks, str(inbox), str(below), str(long)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        for name in ("listed", "shut"):
            (inbox / name).chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "file='a/x.csv'" in done.stdout and "file='z/x.csv'" in done.stdout
    assert "file='listed" not in done.stdout and "file='shut" not in done.stdout
    absent = [str(inbox / "listed"), str(inbox / "shut"), str(below), str(long)]
    assert f"absent={absent}" in done.stdout


def test_the_look_ends_after_so_many_names_of_any_kind(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "NAMES_MAX", 20)
    for k in range(15):
        (inbox / f"note{k}.md").touch()
    (inbox / "deep").mkdir()
    (inbox / "deep" / "a.csv").touch()
    assert (len(listing([inbox]).files), listing([inbox]).cut) == (1, False)
    for k in range(15):
        (inbox / "deep" / f"z{k}.md").touch()
    assert listing([inbox]).cut
    for k in range(15):
        (inbox / f"other{k}.md").touch()
    found = listing([inbox])
    assert found.cut and found.files == []
