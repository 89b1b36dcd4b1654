"""Cameras as doctor sees them, answered by the V4L2 shim."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tgkt_edge.doctor.machine import cameras


@pytest.mark.slow
def test_a_cameras_formats_and_which_are_raw(shim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("SHIM_FORMATS", "Z16 ,YUYV")
    (finding,) = cameras(["/dev/video42"])
    assert finding.level == "ok"
    assert "offers Z16, YUYV; usable raw: Z16." in finding.text


@pytest.mark.slow
def test_nodes_that_capture_no_pictures_are_no_cameras(shim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("SHIM_METADATA", "1")
    (finding,) = cameras(["/dev/video42", "/dev/null"])
    assert (finding.level, finding.advice) == ("ok", "")
    assert finding.text == "no V4L2 camera is connected (/dev/video42, /dev/null: no capture nodes)."


def test_all_formats_of_a_long_list(shim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("SHIM_FORMATS", ",".join([*(f"{index:02d}xx" for index in range(82)), "Y16 "]))
    (finding,) = cameras(["/dev/video42"])
    assert "81xx, Y16; usable raw: Y16." in finding.text


@pytest.mark.slow
def test_an_input_without_a_signal(shim: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("SHIM_INPUT", "1")
    monkeypatch.setenv("SHIM_NOSIGNAL", str(tmp_path))
    _, finding = cameras(["/dev/video42"])
    assert (finding.level, finding.text) == ("warning", "/dev/video42: input HDMI 0 has no signal.")


@pytest.mark.parametrize(
    ("mode", "group", "advice"),
    [
        ("0660", "44", r"sudo usermod -aG (video|44) \$USER, then log in again"),
        ("0600", "44", r"belongs to root:(video|44) with mode 0600.*udev rule"),
        ("0600", "0", r'belongs to root:root with mode 0600.*SUBSYSTEM=="video4linux", GROUP="video"'),
        ("0660", "0", r"belongs to root:root with mode 0660.*udev rule"),
    ],
)
@pytest.mark.slow
def test_what_helps_who_may_not_open_a_node(
    shim: str, monkeypatch: pytest.MonkeyPatch, mode: str, group: str, advice: str
) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    for name, value in (("OPEN_ERRNO", str(errno.EACCES)), ("MODE", mode), ("GID", group)):
        monkeypatch.setenv(f"SHIM_{name}", value)
    (finding,) = cameras(["/dev/video42"])
    assert (finding.level, finding.text) == ("warning", "/dev/video42: Permission denied.")
    assert re.search(advice, finding.advice)
    assert ("usermod -aG root" in finding.advice) is False


@pytest.mark.slow
def test_a_node_that_is_not_there() -> None:
    (finding,) = cameras(["/dev/video-none"])
    assert "No such file" in finding.text
