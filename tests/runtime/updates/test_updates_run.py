"""``run --watch``: another bundle takes over between two frames, or is refused with the reason."""

from __future__ import annotations

import http.client
import io
import json
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.cli import cli_command, cli_environment
from tests.support.images import make_frames, save_frames
from tests.support.updates import BROKEN, change_weights, good_bundle, heavy_bundle, point
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime import pipeline
from tgkt_edge.runtime.updates import candidate
from tgkt_edge.runtime.updates.updater import Requests

CLASSES = ("bedroom", "kitchen", "office")


class Lines(io.StringIO):
    """Takes JSON lines until ``gone``, like a pipe whose reader ends.

    Attributes:
        lines: all of them. updates: the events of updates among them.
    """

    gone = False

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.updates: list[dict[str, Any]] = []

    def write(self, text: str) -> int:
        if self.gone:
            raise BrokenPipeError
        self.lines.append(text)
        if '"update"' in text:
            self.updates.append(json.loads(text))
        return len(text)


class Watching:
    """A run in a thread over frames without end, and the link that it watches. A context manager."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.folder, self.link = folder, folder / "link"
        save_frames(folder / "frames", make_frames(4))
        for favorite, name in enumerate(CLASSES):
            good_bundle(folder / name, favorite)
        point(self.link, folder / "bedroom")
        self.out, self.log = Lines(), io.StringIO()
        self.how = {"camera": str(folder / "frames"), "update_frames": 4, "update_poll": 0.02, **how}
        self.summary: Any = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.summary = pipeline.run(
            self.link, watch=True, loop=True, out=self.out, log=self.log, live=False, **self.how
        )

    def __enter__(self) -> Watching:
        self.thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *error: object) -> None:
        self.out.gone = True
        self.thread.join(20)
        assert not self.thread.is_alive()

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(map(json.loads, self.out.lines))

    @property
    def updates(self) -> list[dict[str, Any]]:
        return self.out.updates

    def wait_for_label(self, label: str) -> None:
        wait_until(lambda: json.loads(self.out.lines[-1]).get("label") == label, f"decisions for {label}")

    def wait_for_more(self) -> None:
        count = len(self.out.lines)
        wait_until(lambda: len(self.out.lines) > count + 5, "decisions")

    def offer(self, name: str) -> dict[str, Any]:
        """Point the link to a bundle; the event that follows."""
        count = len(self.updates)
        point(self.link, self.folder / name)
        return self.next_update(count, f"what becomes of {name}")

    def next_update(self, count: int, what: str) -> dict[str, Any]:
        """The update event after the first ``count``."""
        wait_until(lambda: len(self.updates) > count, what)
        return self.updates[count]

    def check_order(self) -> None:
        """No frame is lost or answered twice, and each is answered by the bundle that the events say."""
        digests = {Bundle.open(self.folder / name).digest: name for name in CLASSES}
        start, *records = self.records
        current = digests[start["bundle"]]
        frames = []
        for record in records:
            if record.get("event") == "update":
                assert record["before"] == next(d for d, name in digests.items() if name == current)
                current = digests[record["bundle"]] if record["state"] == "accepted" else current
            elif "frame" in record:
                frames.append(record["frame"])
                assert record["label"] == current, record
        assert frames == list(range(len(frames)))


def test_a_good_bundle_takes_over_between_two_frames_and_a_broken_one_does_not(tmp_path: Path) -> None:
    schema = json.loads(files("tgkt_edge.runtime").joinpath("records.schema.json").read_text("utf-8"))
    with Watching(tmp_path) as run:
        accepted = run.offer("kitchen")
        assert accepted["state"] == "accepted", accepted
        assert accepted["comparison"]["frames"] == 4
        assert accepted["comparison"]["agreement"] == 0
        for number, (name, (spoil, words)) in enumerate(BROKEN.items()):
            good_bundle(tmp_path / f"b{number}", 2)
            spoil(tmp_path / f"b{number}")
            event = run.offer(f"b{number}")
            assert event["state"] == "refused", name
            assert words in event["detail"], (name, event)
        run.wait_for_more()
    run.check_order()
    for event in run.updates:
        jsonschema.Draft202012Validator(schema).validate(event)
    assert run.summary.updates == (1, len(BROKEN))
    assert f"bundle replaced 1 times, {len(BROKEN)} refused" in run.log.getvalue()
    assert "update refused: " in run.log.getvalue()


def swap(folder: Path, times: int) -> None:
    """So many swaps under load, every tenth to a bundle that is broken in the next way."""
    ways, threads = list(BROKEN.values()), threading.active_count()
    with Watching(folder, update_frames=2, update_poll=0.002) as run:
        for number in range(1, times + 1):
            if number % 10:
                assert run.offer(CLASSES[number % 3])["state"] == "accepted"
                continue
            spoil, words = ways[number // 10 % len(ways)]
            name = f"broken{number}"
            good_bundle(folder / name, number % 3)
            spoil(folder / name)
            event = run.offer(name)
            assert event["state"] == "refused"
            assert words in event["detail"]
    run.check_order()
    assert run.summary.updates == (times - times // 10, times // 10)
    assert threading.active_count() < threads + 10  # what other tests left behind is not the swaps'


def test_sixty_swaps_under_load_lose_no_frame_and_answer_none_twice(tmp_path: Path) -> None:
    swap(tmp_path, 60)


@pytest.mark.slow
def test_a_thousand_swaps_under_load_lose_no_frame_and_answer_none_twice(tmp_path: Path) -> None:
    swap(tmp_path, 1000)


def test_a_gate_that_is_not_passed_keeps_the_old_bundle(tmp_path: Path) -> None:
    with Watching(tmp_path, update_gates=["agreement>=0.7"]) as run:
        event = run.offer("kitchen")
        assert event["state"] == "refused"
        assert event["detail"] == "agreement 0 on the newest 4 frames, expected >= 0.7"
        good_bundle(tmp_path / "same", 0)
        change_weights(tmp_path / "same", "bias", [21, 0, 0])
        Bundle.open(tmp_path / "same").write()
        event = run.offer("same")
        assert (event["state"], event["comparison"]["agreement"]) == ("accepted", 1)
    assert {one["label"] for one in run.records if "label" in one} == {"bedroom"}


def test_drift_of_a_bundle_without_statistics_passes_no_gate(tmp_path: Path) -> None:
    with Watching(tmp_path, update_gates=["drift<=1"]) as run:
        event = run.offer("kitchen")
    assert event["state"] == "refused"
    assert "holds no statistics" in event["detail"]


def test_with_too_little_memory_nothing_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Watching(tmp_path) as run:
        monkeypatch.setattr(candidate, "available_memory", lambda: 10_000_000)
        event = run.offer("kitchen")
    assert event["state"] == "refused"
    assert "too little memory to load it beside the old one: 10 MB are free" in event["detail"]


def test_of_two_swaps_at_once_the_last_answers_in_the_end(tmp_path: Path) -> None:
    with Watching(tmp_path, update_poll=0.2) as run:
        for _ in range(3):
            point(run.link, tmp_path / "kitchen")
            time.sleep(0.25)
            point(run.link, tmp_path / "office")
            run.wait_for_label("office")
            point(run.link, tmp_path / "bedroom")
            run.wait_for_label("bedroom")
    run.check_order()


def test_the_bundle_before_is_called_back_with_the_token_only(tmp_path: Path) -> None:
    token = "correct-horse-battery"
    sinks = ["jsonl:-", "http://127.0.0.1:0"]
    with Watching(tmp_path, sinks=sinks, token=token) as run:
        port = int(re.findall(r"page: http://127.0.0.1:(\d+)", run.log.getvalue())[0])

        def post(query: str, **headers: str) -> int:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("POST", f"/api/reload{query}", headers=headers)
                return connection.getresponse().status

        bearer = {"Authorization": f"Bearer {token}"}
        assert post("?to=previous") == 401
        assert post("?to=yesterday", **bearer) == 400
        assert run.updates == []
        assert post("?to=previous", **bearer) == 202
        assert run.next_update(0, "no bundle before")["detail"] == "there is no bundle before this one"
        assert run.offer("kitchen")["state"] == "accepted"
        assert post("?to=previous", **bearer) == 202
        back = run.next_update(2, "the bundle before")
        assert (back["state"], back["bundle"]) == ("accepted", Bundle.open(tmp_path / "bedroom").digest)
        assert post("", **bearer) == 202  # look at the link now: it still leads to the other
        again = run.next_update(3, "the link's bundle")
        assert (again["state"], again["bundle"]) == ("accepted", Bundle.open(tmp_path / "kitchen").digest)

        def shown() -> str:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("GET", "/api/info", headers=bearer)
                return str(json.loads(connection.getresponse().read())["bundle"])

        wait_until(lambda: shown() == again["bundle"], "the page, which has a thread of its own")
    run.check_order()


def test_a_folder_that_is_replaced_is_noticed_and_what_lay_there_cannot_be_called_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests()
    monkeypatch.setattr(pipeline, "Requests", lambda: requests)
    with Watching(tmp_path) as run:
        good_bundle(tmp_path / "new", 1)
        (tmp_path / "bedroom").rename(tmp_path / "old")
        (tmp_path / "new").rename(tmp_path / "bedroom")
        wait_until(lambda: run.updates and run.updates[-1]["state"] == "accepted", "the new bundle")
        count = len(run.updates)
        requests.ask(back=True)
        event = run.next_update(count, "the answer")
        assert event["state"] == "refused"
        assert "is no longer there. Keep each bundle in a folder of its own" in event["detail"]
        run.wait_for_label("kitchen")


@pytest.mark.parametrize("cameras", [("",), ("a", "b")])
def test_a_network_with_another_input_size_takes_over_and_back(
    tmp_path: Path, cameras: tuple[str, ...]
) -> None:
    frames = str(tmp_path / "frames")
    with Watching(tmp_path, camera=frames if cameras == ("",) else dict.fromkeys(cameras, frames)) as run:
        good_bundle(tmp_path / "large", 2, size=64)
        for name, label in (("large", "office"), ("kitchen", "kitchen"), ("large", "office")):
            assert run.offer(name)["state"] == "accepted"
            run.wait_for_label(label)
    assert not [record for record in run.records if "error" in record]
    for camera in cameras:
        own = [one["frame"] for one in run.records if "label" in one and one.get("camera", "") == camera]
        assert own == list(range(len(own)))


def test_all_cameras_go_over_to_the_new_bundle(tmp_path: Path) -> None:
    cameras = {name: str(tmp_path / "frames") for name in ("a", "b")}
    with Watching(tmp_path, camera=cameras) as run:
        assert run.offer("office")["state"] == "accepted"
        run.wait_for_label("office")
    for name in cameras:
        frames = [one["frame"] for one in run.records if one.get("camera") == name and "label" in one]
        assert frames == list(range(len(frames)))
    after = False
    for record in run.records[1:]:
        after = after or record.get("event") == "update"
        if "label" in record:
            assert record["label"] == ("office" if after else "bedroom")


@pytest.mark.slow
@pytest.mark.parametrize("watch", [True, False])
def test_sighup_looks_at_the_bundle_where_it_is_watched_and_ends_the_run_where_not(
    tmp_path: Path, watch: bool
) -> None:
    run = Watching(tmp_path)
    out = tmp_path / "out.jsonl"
    given = ["--watch"] if watch else []
    command = cli_command("run", run.link, "--camera", tmp_path / "frames", "--loop", "--no-live", *given)
    with out.open("wb") as file, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=file, stderr=log, env=cli_environment())
        try:
            wait_until(lambda: out.read_bytes().count(b"label") > 3, "decisions")
            process.send_signal(signal.SIGHUP)
            if watch:
                wait_until(lambda: b'"unchanged"' in out.read_bytes(), "an event")
                point(run.link, tmp_path / "nowhere")
                wait_until(lambda: b'"refused"' in out.read_bytes(), "a refusal")
                assert process.poll() is None
                process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    text = (tmp_path / "log").read_text()
    assert "ended by: terminated" in text
    assert ("does not exist" in text) == watch


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_ends_while_a_bundle_is_loaded_ends_in_time_and_without_a_crash(
    tmp_path: Path, stop: signal.Signals
) -> None:
    run = Watching(tmp_path)
    heavy_bundle(tmp_path / "heavy")
    out = tmp_path / "out.jsonl"
    for delay in (0.7, 0.85, 1.0):  # it is looked for twice a second, and is loaded for about as long
        point(run.link, tmp_path / "bedroom")
        camera = ("--camera", tmp_path / "frames", "--loop", "--no-live", "--watch")
        with out.open("wb") as file, (tmp_path / "log").open("wb") as log:
            command = cli_command("run", run.link, *camera)
            process = subprocess.Popen(command, stdout=file, stderr=log, env=cli_environment())
            try:
                wait_until(lambda: out.read_bytes().count(b"label") > 3, "decisions")
                point(run.link, tmp_path / "heavy")
                time.sleep(delay)
                process.send_signal(stop)
                begin = time.monotonic()
                assert process.wait(20) == (0 if stop == signal.SIGTERM else 130), delay
                assert time.monotonic() - begin < 2 + 2  # a busy machine
            finally:
                process.kill()
        lines = out.read_text()
        assert lines.endswith("\n")
        assert json.loads(lines.splitlines()[-1])
        assert "ended by: " in (tmp_path / "log").read_text()
    shutil.rmtree(tmp_path / "heavy")


def test_gates_need_a_bundle_that_is_watched(depth_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`update_gates=agreement>=0.7` is for bundles that come while"):
        pipeline.run(depth_bundle.path, str(tmp_path), update_gates=["agreement>=0.7"])
    with pytest.raises(UsageError, match=r"`update_frames=0`: expected 1 to 1000"):
        pipeline.run(depth_bundle.path, str(tmp_path), watch=True, update_frames=0)


def test_with_a_trusted_key_only_a_signed_update_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from tgkt_edge.bundle.keys import generate_key
    from tgkt_edge.bundle.signature import sign_bundle

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for key in (ours, theirs):
        generate_key(key)
    run = Watching(tmp_path / "w", trust=[tmp_path / "ours.pub"])
    sign_bundle(run.folder / "bedroom", ours)
    sign_bundle(run.folder / "office", theirs)
    with run:
        for name, words in (("kitchen", "is not signed"), ("office", "none of the trusted keys")):
            event = run.offer(name)
            assert event["state"] == "refused"
            assert words in event["detail"]
        run.wait_for_label("bedroom")
        count = len(run.updates)
        sign_bundle(run.folder / "office", ours)  # the link still leads there
        assert run.next_update(count, "the signature")["state"] == "accepted"
        run.wait_for_label("office")
