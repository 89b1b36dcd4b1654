"""What the service manager hears: from a real `tgkt-edge run`, through a real datagram socket."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import cli_command, cli_environment, run_cli, split_start
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime.health.systemd import Notifier

LIMIT = 60  # seconds that a busy machine may need


class Manager:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.name = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(LIMIT)

    def hear(self) -> list[str]:
        """The assignments of the next message."""
        return self.socket.recv(4096).decode().split("\n")

    def waiting(self) -> list[list[str]]:
        """All messages that are already there."""
        self.socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.hear())
        except BlockingIOError:
            return found
        finally:
            self.socket.settimeout(LIMIT)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "s") if request.param == "path" else f"@tgkt-edge-test-{os.getpid()}")
    yield made
    made.socket.close()


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.slow
def test_run_is_ready_beats_with_its_frames_and_ends_on_sigterm_with_every_line_whole(
    tmp_path: Path, depth_bundle: Bundle, manager: Manager
) -> None:
    folder = save_frames(tmp_path / "f", make_frames(3))
    env = cli_environment(NOTIFY_SOCKET=manager.name, WATCHDOG_USEC="300000")
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            cli_command("run", depth_bundle.path, "--camera", folder, "--loop"),
            stdout=out, stderr=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        try:
            first = manager.hear()
            assert first[:2] == ["READY=1", "WATCHDOG=1"]
            assert first[2].startswith("STATUS=")
            assert " fps | " in first[2]
            assert "1 frames, 0 bad" in first[2]
            beats = [manager.hear() for _ in range(3)]
            assert all(message[0] == "WATCHDOG=1" for message in beats)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, stderr
    assert manager.waiting()[-1] == ["STOPPING=1", "STATUS=stopping"]
    text = (tmp_path / "out").read_text()
    assert text.endswith("\n")
    start, records = split_start(text)
    assert start is not None
    assert [record["frame"] for record in records] == list(range(len(records)))  # none lost, none torn
    assert f"{len(records)} frames (0 bad" in stderr


@pytest.mark.slow
def test_a_source_that_cannot_be_opened_is_never_ready(
    tmp_path: Path, depth_bundle: Bundle, manager: Manager
) -> None:
    done = run_cli("run", depth_bundle.path, "--camera", tmp_path / "none", NOTIFY_SOCKET=manager.name)
    assert done.code == 5
    assert not [message for message in manager.waiting() if "READY=1" in message]


def test_no_watchdog_message_without_a_frame(manager: Manager) -> None:
    clock = Clock()
    with Notifier({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000"}, clock) as notifier:
        notifier.waiting(lambda: "waiting")
        notifier.answered(lambda: "kitchen")
        for _ in range(20):
            clock.now += 1
            notifier.waiting(lambda: "stalled\nREADY=0")
        heard = manager.waiting()
    assert heard[:2] == [["STATUS=waiting"], ["READY=1", "WATCHDOG=1"]]
    assert heard[2:] == [["STATUS=stalled READY=0"]] * 4  # every five seconds, on one line


def test_beats_come_three_times_a_period_however_many_frames_are_answered(manager: Manager) -> None:
    clock = Clock()
    with Notifier({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000"}, clock) as notifier:
        for _ in range(64):  # 4 s
            notifier.answered(lambda: "kitchen")
            clock.now += 1 / 16
    heard = manager.waiting()
    assert sum("WATCHDOG=1" in message for message in heard) == 4
    assert sum("READY=1" in message for message in heard) == 1
    assert heard[-1][0] == "STOPPING=1"


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "none"}, {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid() + 1)}],
)
def test_a_manager_that_does_not_watch_this_process_gets_no_beat(
    manager: Manager, watchdog: dict[str, str]
) -> None:
    with Notifier({"NOTIFY_SOCKET": manager.name, **watchdog}) as notifier:
        notifier.answered(lambda: "kitchen")
    assert manager.waiting()[0] == ["READY=1", "STATUS=kitchen"]


def test_a_manager_that_is_gone_or_does_not_read_stops_nothing(manager: Manager, tmp_path: Path) -> None:
    with Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}) as notifier:
        notifier.answered(lambda: "kitchen")
    clock = Clock()
    with Notifier({"NOTIFY_SOCKET": manager.name}, clock) as notifier:
        for _ in range(2000):  # far more than a socket's queue holds
            clock.now += 10
            notifier.answered(lambda: "kitchen")
    assert 0 < len(manager.waiting()) < 2000


def test_what_a_busy_manager_did_not_take_is_said_again(manager: Manager) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        address = "\0" + manager.name[1:] if manager.name.startswith("@") else manager.name
        with contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"boot", address)
    clock = Clock()
    with Notifier({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000"}, clock) as notifier:
        notifier.answered(lambda: "kitchen")
        assert all(message == ["boot"] for message in manager.waiting())
        notifier.answered(lambda: "kitchen")  # in the same moment: neither waits for its next turn
        assert manager.waiting()[0][:2] == ["READY=1", "WATCHDOG=1"]
        notifier.answered(lambda: "kitchen")
        assert manager.waiting() == []


def test_without_a_manager_no_socket_is_made_and_no_status_written() -> None:
    with Notifier({}) as notifier:
        notifier.answered(lambda: pytest.fail("nobody asked for a status"))
