"""``run --watch``: what a bundle must pass before it takes over: gates, memory, a trusted signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.updates import change_weights, good_bundle
from tests.support.watching import Watching
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime import pipeline
from tgkt_edge.runtime.updates import candidate


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


def test_gates_need_a_bundle_that_is_watched(depth_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"`update_gates=agreement>=0.7` is for bundles that come during a run"
    ):
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
        # A look between the manifest's and the signature's last byte may refuse it once more before.
        run.wait_for_label("office")
        assert run.updates[-1]["state"] == "accepted"
        assert {one["state"] for one in run.updates[count:-1]} <= {"refused"}
