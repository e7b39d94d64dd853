"""The journal: crash at every byte of the tail, fenced writers, damage found wherever it is, readers beside writers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.simulation.kit import numbered
from trading.run.context import Fenced
from trading.run.journal.reader import JournalReader
from trading.run.journal.segment import FRAME_BYTES, JournalBroken, segment_path
from trading.run.journal.writer import JournalFull, JournalWriter

ROOT = Path(__file__).resolve().parents[2]


def write(writer: JournalWriter, count: int, durable: bool = False) -> None:
    zeros = np.zeros((count, 2), np.int64)
    writer.append(numbered(count, writer.next_seq), zeros, np.full(count, 5, np.int64), durable)


def values(folder: Path, after: int = 0) -> list[int]:
    return JournalReader(folder).read(after, 10**6)["event"]["value"].tolist()


def test_what_was_appended_is_read_back(tmp_path):
    writer = JournalWriter(tmp_path, 1, 1, "code")
    ids = np.array([[9, 1], [0, 0], [9, 2]], np.int64)
    writer.append(numbered(3), ids, np.array([4, 5, 6], np.int64), durable=True)
    frames = JournalReader(tmp_path).read(0, 10)
    assert frames["event"].tobytes() == numbered(3).tobytes()
    assert frames["stream_ms"].tolist() == [9, 0, 9]
    assert frames["stream_n"].tolist() == [1, 0, 2]
    assert frames["boot_ns"].tolist() == [4, 5, 6]
    assert JournalReader(tmp_path).last_seq() == 3
    assert values(tmp_path, after=2) == [21]
    assert values(tmp_path, after=3) == []


def test_a_new_owner_goes_on_gapless_and_seals_what_was(tmp_path):
    for fence, count in ((1, 3), (4, 2), (5, 1)):
        writer = JournalWriter(tmp_path, 1, fence, "code")
        write(writer, count)
        writer.close()
    assert values(tmp_path) == [7, 14, 21, 28, 35, 42]
    assert values(tmp_path, after=3) == [28, 35, 42]
    report = JournalReader(tmp_path).verify()
    assert (report.ok, report.frames, report.segments, report.void_bytes) == (True, 6, 3, 0)


def test_a_crash_at_every_byte_of_the_tail_loses_only_the_torn_frame(tmp_path):
    writer = JournalWriter(tmp_path / "0", 1, 1, "code")
    write(writer, 3)
    writer.close()
    data = segment_path(tmp_path / "0", 1).read_bytes()
    for length in range(FRAME_BYTES, len(data) + 1, 5):
        folder = tmp_path / str(length)
        folder.mkdir()
        segment_path(folder, 1).write_bytes(data[:length])
        whole = length // FRAME_BYTES - 1
        assert values(folder) == [7, 14, 21][:whole]
        report = JournalReader(folder).verify()
        assert (report.ok, report.frames, report.torn_bytes) == (True, whole, length % FRAME_BYTES)
        taken = JournalWriter(folder, 1, 2, "code")
        assert taken.next_seq == whole + 1
        write(taken, 1)
        taken.close()
        assert values(folder) == [7 * (i + 1) for i in range(whole + 1)]
        assert JournalReader(folder).verify().ok


def test_a_tail_torn_within_a_group_is_cut_at_the_first_bad_frame(tmp_path):
    """After a power cut the last group may hold zeros or rubbish: none of it counts."""
    writer = JournalWriter(tmp_path, 1, 1, "code")
    write(writer, 5)
    writer.close()
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[4 * FRAME_BYTES :] = bytes(len(data) - 4 * FRAME_BYTES)
    path.write_bytes(data)
    taken = JournalWriter(tmp_path, 1, 2, "code")
    assert taken.next_seq == 4
    assert values(tmp_path) == [7, 14, 21]


def test_any_flipped_byte_is_found(tmp_path):
    for fence in (1, 2):
        writer = JournalWriter(tmp_path, 1, fence, "code")
        write(writer, 3)
        writer.close()
    for fence in (1, 2):
        path = segment_path(tmp_path, fence)
        good = path.read_bytes()
        for at in range(0, len(good), 3):
            bad = bytearray(good)
            bad[at] ^= 0x10
            path.write_bytes(bad)
            assert not JournalReader(tmp_path).verify().ok, f"byte {at} of segment {fence}"
        path.write_bytes(good)
    assert JournalReader(tmp_path).verify().ok


def test_a_damaged_frame_before_good_ones_is_never_cut_away(tmp_path):
    """A flipped byte is no torn write: an owner that cut there would lose orders that were sent."""
    writer = JournalWriter(tmp_path, 1, 1, "code")
    write(writer, 6)
    writer.close()
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[3 * FRAME_BYTES + 17] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalBroken, match="frame 3 is damaged"):
        JournalWriter(tmp_path, 1, 2, "code")


def test_a_missing_segment_or_a_swapped_one_is_found(tmp_path):
    for fence in (1, 2, 3):
        writer = JournalWriter(tmp_path, 1, fence, "code")
        write(writer, 2)
        writer.close()
    segment_path(tmp_path, 2).rename(tmp_path / "away")
    assert "missing" in JournalReader(tmp_path).verify().fault
    segment_path(tmp_path, 2).write_bytes(segment_path(tmp_path, 1).read_bytes())
    assert "carries the header of fence 1" in JournalReader(tmp_path).verify().fault


def test_a_lower_or_equal_fence_cannot_write(tmp_path):
    old = JournalWriter(tmp_path, 1, 5, "code")
    for fence in (4, 5):
        with pytest.raises(Fenced):
            JournalWriter(tmp_path, 1, fence, "code")
    write(old, 1)
    new = JournalWriter(tmp_path, 1, 6, "code")
    write(new, 1)
    with pytest.raises(Fenced, match="lost the journal to 6"):
        write(old, 1)
    assert values(tmp_path) == [7, 14]


def test_what_a_fenced_writer_got_onto_the_disk_is_void(tmp_path, monkeypatch):
    """The writer was between its check and its write when it lost the fence."""
    old = JournalWriter(tmp_path, 1, 1, "code")
    write(old, 2)
    reader = JournalReader(tmp_path)
    assert len(reader.read(0, 10)) == 2
    new = JournalWriter(tmp_path, 1, 2, "code")
    checks = [old.check_fence, lambda: None]  # the first check was passed before; the one after the write is real

    def check() -> None:
        checks.pop()()

    monkeypatch.setattr(old, "check_fence", check)
    with pytest.raises(Fenced):
        write(old, 1)
    assert os.path.getsize(segment_path(tmp_path, 1)) == 4 * FRAME_BYTES
    assert len(reader.read(2, 10)) == 0, "a reader must not show a void frame"
    write(new, 1)
    assert reader.read(2, 10)["event"]["seq"].tolist() == [3]
    report = JournalReader(tmp_path).verify()
    assert (report.ok, report.frames, report.void_bytes) == (True, 3, FRAME_BYTES)


def test_a_claim_without_a_header_hides_nothing_once_its_owner_is_dead(tmp_path):
    old = JournalWriter(tmp_path, 1, 1, "code")
    write(old, 2)
    segment_path(tmp_path, 2).touch()  # claimed, then killed
    assert values(tmp_path) == [7, 14]
    with pytest.raises(Fenced):
        write(old, 1)
    new = JournalWriter(tmp_path, 1, 3, "code")
    write(new, 1)
    assert values(tmp_path) == [7, 14, 21]
    assert JournalReader(tmp_path).verify().ok


CHILD = """
import sys, numpy as np
from pathlib import Path
from tests.simulation.kit import numbered
from trading.run.context import Fenced
from trading.run.journal.writer import JournalWriter
folder = Path(sys.argv[1])
writer = JournalWriter(folder, 1, 1, "code")
sent = open(folder / "sent", "a", buffering=1)
print("ready", flush=True)
while True:
    seq = writer.next_seq
    try:
        writer.append(numbered(1, seq), np.zeros((1, 2), np.int64), np.zeros(1, np.int64), durable=True)
    except Fenced:
        print("fenced", flush=True)
        break
    sent.write(f"{seq}\\n")
"""


@pytest.mark.parametrize("pause_s", [0.05, 0.11])
def test_a_writer_that_was_stopped_and_continued_gets_nothing_accepted_nor_sent(tmp_path, pause_s):
    """A real process in SIGSTOP somewhere in its loop; a new owner takes over; SIGCONT."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 120
        while not (tmp_path / "sent").exists() or (tmp_path / "sent").stat().st_size == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(pause_s)  # the process runs on the real clock: stop it wherever it is
        process.send_signal(signal.SIGSTOP)
        new = JournalWriter(tmp_path, 1, 2, "code")
        sealed = new.next_seq - 1
        write(new, 3, durable=True)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "fenced\n"
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    assert sealed > 0
    sent = [int(line) for line in (tmp_path / "sent").read_text().split()]
    assert sent == list(range(1, len(sent) + 1))
    assert len(sent) <= sealed, "sent something that the journal does not hold"
    assert values(tmp_path) == [7 * (i + 1) for i in range(sealed + 3)]
    assert JournalReader(tmp_path).verify().ok


def test_a_full_disk_stops_sending_and_leaves_whole_frames_only(tmp_path):
    """RLIMIT_FSIZE stands in for the disk: the write fails in the middle of a group."""
    child = (
        CHILD.replace(
            'print("ready"',
            "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 5 + 100,) * 2)\nprint('ready'",
        )
        .replace("except Fenced:", "except Exception as error:")
        .replace('"fenced"', "type(error).__name__")
    )
    command = [sys.executable, "-c", child, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "ready\nJournalFull\n", done.stderr
    assert (tmp_path / "sent").read_text().split() == ["1", "2", "3", "4"]
    assert values(tmp_path) == [7, 14, 21, 28]
    report = JournalReader(tmp_path).verify()
    assert (report.ok, report.torn_bytes) == (True, 0)


def test_a_writer_that_failed_once_refuses_for_good(tmp_path):
    writer = JournalWriter(tmp_path, 1, 1, "code")
    os.close(writer._fd)
    writer._fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalFull, match="No space left"):
        write(writer, 1)
    with pytest.raises(JournalFull, match="nothing may be sent"):
        write(writer, 1)


def test_a_reader_follows_across_takeovers(tmp_path):
    reader = JournalReader(tmp_path)
    seen: list[int] = []
    for fence in range(1, 6):
        writer = JournalWriter(tmp_path, 1, fence, "code")
        for _ in range(3):
            write(writer, 2)
            frames = reader.read(len(seen), 100)
            seen += frames["event"]["seq"].tolist()
    assert seen == list(range(1, 31))


def test_frames_in_bulk(tmp_path):
    """1e5 frames in groups; the figure is in `make bench`, here only that they are whole."""
    writer = JournalWriter(tmp_path, 1, 1, "code")
    for _ in range(100):
        write(writer, 1000)
    report = JournalReader(tmp_path).verify()
    assert (report.ok, report.frames, report.last_seq) == (True, 100_000, 100_000)
