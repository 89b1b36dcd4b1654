"""`compare`: two bundles on the same frames, in numbers, in words and on a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tgkt_edge
from tests.support.bundles import save_bundle, save_near_or_far
from tests.support.images import save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.cli.main import app
from tgkt_edge.errors import DataError, GateError, SourceLostError, UsageError
from tgkt_edge.evaluation.compare import check, describe, wilson
from tgkt_edge.sensor import PRESETS


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Ten frames from 0.8 to 8 m; the bundles tell near from far at 4 m."""
    return save_frames(tmp_path / "f", [np.full((24, 32), 800 * n, np.uint16) for n in range(1, 11)])


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    return save_near_or_far(tmp_path / "old", ("near", "far"))


@pytest.fixture
def swapped(tmp_path: Path) -> Bundle:
    """What is near to the old one is far to this one."""
    return save_near_or_far(tmp_path / "new", ("far", "near"))


def test_a_bundle_agrees_with_itself(old: Bundle, frames: Path) -> None:
    result = tgkt_edge.compare(old.path, old.path, str(frames), min_agreement=1.0)
    assert (result["agreement"], result["frames"], result["differ"], result["changes"]) == (1.0, 10, [], [])
    assert result["passed"]
    check(result)
    assert "they are the same bundle" in describe(result)
    assert result["interval"][1] == pytest.approx(1)


def test_where_they_differ_is_counted_and_named(old: Bundle, swapped: Bundle, frames: Path) -> None:
    result = tgkt_edge.compare(old.path, swapped.path, str(frames))
    near, far = result["old"]["labels"]["near"], result["old"]["labels"]["far"]
    assert near + far == 10
    assert min(near, far) > 2
    assert result["agreement"] == 0
    assert result["classes"] == {
        "near": {"old": near, "new": far, "both": 0},
        "far": {"old": far, "new": near, "both": 0},
    }
    assert sorted((one["from"], one["to"], one["frames"]) for one in result["changes"]) == [
        ("far", "near", far), ("near", "far", near),
    ]  # fmt: skip
    differ = result["differ"]
    assert sorted(one["frame"] for one in differ) == list(range(10))
    sure = [min(one["old"]["probability"], one["new"]["probability"]) for one in differ]
    assert sure == sorted(sure, reverse=True)  # first those of which both are sure
    assert differ[0]["path"].endswith(("frame_0.png", "frame_9.png"))
    text = "\n".join(describe(result))
    assert "agree on 0 of 10 frames: 0.0 % " in text.replace("0.0%", "0.0 %")
    assert f"{near} frames that were near are far now" in text
    assert "... and 2 more" in text


def test_classes_in_another_order_and_of_only_one_bundle(tmp_path: Path, old: Bundle, frames: Path) -> None:
    renamed = save_near_or_far(tmp_path / "renamed", ("near", "wide"))
    result = tgkt_edge.compare(old.path, renamed.path, str(frames))
    assert (result["removed"], result["added"]) == (["far"], ["wide"])
    assert result["agreement"] == result["old"]["labels"]["near"] / 10
    assert "classes that only the new one has: wide" in describe(result)


def test_the_gate_and_its_exit_code(old: Bundle, swapped: Bundle, frames: Path) -> None:
    result = tgkt_edge.compare(old.path, swapped.path, str(frames), min_agreement=0.7)
    with pytest.raises(GateError, match=r"agree on 0\.0% of 10 frames, `min_agreement` asks for 70\.0%"):
        check(result)

    def invoke(*more: str) -> Any:
        words = ["compare", str(old.path), str(swapped.path), "--frames", str(frames), *more]
        return CliRunner().invoke(app, words)

    assert invoke().exit_code == 0  # that they differ is no failure
    failed = invoke("--min-agreement", "0.7", "--json")
    assert failed.exit_code == 3
    assert "--min-agreement asks for 70.0%" in failed.stderr
    assert json.loads(failed.stdout)["passed"] is False
    assert invoke("--min-agreement", "1.5").exit_code == 2


def test_the_page_has_every_frame_that_differs_as_a_picture(
    tmp_path: Path, old: Bundle, swapped: Bundle, frames: Path
) -> None:
    evil = save_frames(tmp_path / "<b>evil", [np.full((24, 32), 900, np.uint16)])
    page = tmp_path / "page.html"
    tgkt_edge.compare(old.path, swapped.path, str(frames), page=page)
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/jpeg;base64,[A-Za-z0-9+/=]{300,}"', text)) == 10
    assert "Old and new agree on 0.0 % of 10 frames" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)  # nothing is loaded
    tgkt_edge.compare(old.path, swapped.path, str(evil), page=page)
    assert "<b>evil" not in page.read_text(encoding="utf-8")
    tgkt_edge.compare(old.path, old.path, str(frames), page=page)
    assert "No frame gets another class" in page.read_text(encoding="utf-8")


def test_a_file_that_is_no_such_page_is_not_replaced(tmp_path: Path, old: Bundle, frames: Path) -> None:
    kept = tmp_path / "keep.html"
    kept.write_text("mine")
    with pytest.raises(UsageError, match=r"keep\.html`: already exists and is no page"):
        tgkt_edge.compare(old.path, old.path, str(frames), page=kept)
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        tgkt_edge.compare(old.path, old.path, str(frames), page=tmp_path)
    assert kept.read_text() == "mine"


def test_pictures_of_a_video_are_those_of_its_frames(
    tmp_path: Path, old: Bundle, swapped: Bundle, frames: Path
) -> None:
    tgkt_edge.record(str(frames), tmp_path / "video", sensor="depth", form="ffv1", live=False)
    pages = []
    for source in (frames, tmp_path / "video"):
        tgkt_edge.compare(old.path, swapped.path, str(source), page=tmp_path / "p.html")
        pages.append(sorted(re.findall(r"base64,([^\"]+)", (tmp_path / "p.html").read_text())))
    assert pages[0] == pages[1]
    assert len(set(pages[0])) > 5


def test_what_is_refused(tmp_path: Path, old: Bundle, frames: Path) -> None:
    nir = save_bundle(tmp_path / "nir", PRESETS["nir"])
    with pytest.raises(UsageError, match="no frame fits both"):
        tgkt_edge.compare(old.path, nir.path, str(frames))
    with pytest.raises(UsageError, match="from 0 to 1"):
        tgkt_edge.compare(old.path, old.path, str(frames), min_agreement=70)
    with pytest.raises(UsageError, match="For a camera: tgkt-edge run"):
        tgkt_edge.compare(old.path, old.path, "/dev/video0")
    with pytest.raises(SourceLostError):
        tgkt_edge.compare(old.path, old.path, str(tmp_path / "none"))
    dark = save_frames(tmp_path / "dark", [np.zeros((24, 32), np.uint16)] * 2)
    with pytest.raises(DataError, match=r"no frame that both bundles can answer.*every pixel is invalid"):
        tgkt_edge.compare(old.path, old.path, str(dark))


def test_wilson() -> None:
    """Values of Newcombe, Statistics in Medicine 1998, table I: 81 of 263 and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
