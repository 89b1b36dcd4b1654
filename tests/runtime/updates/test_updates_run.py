"""``run --watch``: another bundle takes over between two frames, or is refused with the reason."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from tests.support.counts import LONG
from tests.support.updates import BROKEN, good_bundle, point
from tests.support.waiting import wait_until
from tests.support.watching import CLASSES, Watching
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import pipeline
from tgkt_edge.runtime.updates.updater import Requests


@pytest.mark.slow
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


@pytest.mark.slow
def test_sixty_swaps_under_load_lose_no_frame_and_answer_none_twice(tmp_path: Path) -> None:
    swap(tmp_path, 60)


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="the same a thousand times: TGKT_EDGE_LONG=1")
def test_a_thousand_swaps_under_load_lose_no_frame_and_answer_none_twice(tmp_path: Path) -> None:
    swap(tmp_path, 1000)


@pytest.mark.slow
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
