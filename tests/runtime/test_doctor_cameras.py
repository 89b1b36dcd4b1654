"""Cameras as doctor sees them, answered by the V4L2 shim."""

from __future__ import annotations

import pytest

from tgkt_edge.doctor.machine import cameras


def test_a_cameras_formats_and_which_are_raw(shim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("SHIM_FORMATS", "Z16 ,YUYV")
    (finding,) = cameras(["/dev/video42"])
    assert finding.level == "ok"
    assert "offers Z16, YUYV; usable raw: Z16." in finding.text


def test_a_node_that_is_not_there() -> None:
    (finding,) = cameras(["/dev/video-none"])
    assert "No such file" in finding.text
