"""``adapt`` by translated features: data that is refused, or that a person is told about."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.training import Tiny
from tgkt_edge.config import build_config
from tgkt_edge.errors import ConfigError, DataError, TgktEdgeError, UsageError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.methods.translation.evidence import LEAST
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.run_folder.folder import Run

DEPTH = load_sensor("depth")
TRANSLATE = ("method=translate", "translator=features")
FORCED = ("translator=features", "translation.force=true", "student.epochs=4")


def few_pairs(tiny: Tiny, folder: Path, rows: list[tuple[int, int]]) -> str:
    """A CSV of pairs (number of the RGB, number of the frame) among the ten."""
    rgb, frame = (sorted((tiny.data / "paired" / name).iterdir()) for name in ("rgb", "frame"))
    file = folder / "pairs.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["rgb", "frame"])
        writer.writerows((rgb[i], frame[k]) for i, k in rows)
    return str(file)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 0)], "one pair: a translation needs pairs to learn from and others to be tried on"),
        ([(0, 0)] * 9, "one pair, 8 more are copies of them"),
        ([(i, i) for i in range(5)], "5 pairs, fewer than the 6 classes"),
        ([(i, i) for i in range(5)] * 2, "5 pairs, 5 more are copies of them, fewer than the 6 classes"),
    ],
)
def test_too_few_pairs_are_refused(
    rows: list[tuple[int, int]], message: str, tiny: Tiny, tmp_path: Path
) -> None:
    inputs = replace(tiny.inputs, paired=few_pairs(tiny, tmp_path, rows))
    with pytest.raises(DataError, match=f"`paired.*{message}") as caught:
        adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_copies_among_pairs_count_once(tiny: Tiny, translated: Run, tmp_path: Path) -> None:
    pairs = few_pairs(tiny, tmp_path, [(i, i) for i in [*range(10), 0, 3, 3]])
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source), paired=pairs)
    assert adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))["held_out_pairs"] == 10


def test_no_pairs_are_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`method=translate` is trained on pairs: give `paired=SRC`"):
        adapt(replace(tiny.inputs, paired=None), DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))


def test_pairs_whose_halves_do_not_belong_together_are_not_learnt_from_unless_forced(
    tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    """Every RGB with one and the same frame. The translation is kept, and --resume goes on where it is forced."""
    pairs = few_pairs(tiny, tmp_path, [(i, 0) for i in range(10)])
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source), paired=pairs)
    out = tmp_path / "run"
    with pytest.raises(
        TgktEdgeError, match=r"(?s)`paired`: of 10 pairs left out.*translation\.force=true"
    ) as caught:
        adapt(inputs, DEPTH, out, tiny.config("translator=features", "student.epochs=1"))
    assert caught.value.exit_code == 1
    assert Run(out).translated.is_file()
    assert not Run(out).target.exists()
    report = adapt(inputs, DEPTH, out, tiny.config(*FORCED, "student.epochs=1"), resume=True)
    assert not report["translation"]["belong_together"]
    assert report["translation"]["correlation"] < LEAST


def test_frames_that_show_nothing_are_named_and_frames_all_alike_refused(
    tiny: Tiny, translated: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    shutil.copytree(tiny.data / "target", frames)
    first, second, *others = sorted(frames.iterdir())
    frame = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    assert frame is not None
    cv2.imwrite(str(first), np.full_like(frame, 2000))
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source), target=str(frames))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert sum(report["predicted"]["target"].values()) == 12
    assert f"1 of 12 frames are one value all over and show nothing: {first}" in capsys.readouterr().err
    for other in (second, *others):
        shutil.copy(first, other)
    with pytest.raises(DataError, match="all 12 frames are alike, pixel by pixel"):
        adapt(inputs, DEPTH, tmp_path / "other", tiny.config(*TRANSLATE))
    assert not (tmp_path / "other").exists()


def test_a_bad_prior_is_refused_and_a_changed_one_is_not_resumed(
    tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    prior = tmp_path / "prior.csv"
    prior.write_text("class,share\nbedroom,0.5\n")
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source))
    config = tiny.config(*TRANSLATE, f"translation.prior={prior}")
    with pytest.raises(ConfigError, match=f"`prior={prior}`: missing: 'corridor'"):
        adapt(inputs, DEPTH, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    names = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
    shares = (0.5, 0.1, 0.1, 0.1, 0.1, 0.1)
    prior.write_text("class,share\n" + "".join(f"{n},{s}\n" for n, s in zip(names, shares, strict=True)))
    report = adapt(inputs, DEPTH, tmp_path / "run", config)
    assert report["translation"]["prior"] == pytest.approx(shares)
    labels = load_classifier(Run(tmp_path / "run").target)[1].beside["labels"]
    np.testing.assert_allclose(labels.mean(0), shares, rtol=1e-6)
    prior.write_text(
        prior.read_text().replace("bedroom,0.5", "bedroom,0.1").replace("office,0.1", "office,0.5")
    )
    with pytest.raises(ConfigError, match=r"`prior`: then sha256 .*, now sha256"):
        adapt(inputs, DEPTH, tmp_path / "run", config, resume=True)


def test_translate_has_no_pixels() -> None:
    with pytest.raises(ConfigError, match="method translate is the translation of features"):
        build_config(None, ["method=translate", "translator=pixels"])
