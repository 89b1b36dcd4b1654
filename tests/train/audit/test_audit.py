"""The audit: which frames a person gets, what the page hands back, and the statistics, by hand."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.training import Tiny
from tgkt_edge.cli.main import app
from tgkt_edge.errors import DataError, IncompatibleError, UsageError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.train.audit.audit import describe, paired, pick, score, share
from tgkt_edge.train.run_folder.folder import Run


def rows(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        return [(row["frame"], row["label"]) for row in csv.DictReader(file)]


def fill(path: Path, labels: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("frame", "label"), *labels])
    return path


def truth(tiny: Tiny) -> dict[str, str]:
    return {
        str((tiny.data / frame).resolve()): label for frame, label in rows(tiny.data / "target_labels.csv")
    }


# Statistics by hand


def test_wilson_interval_of_eight_out_of_ten() -> None:
    # z = 1.95996: centre (0.8 + z^2/20) / (1 + z^2/10) = 0.71674,
    # half width z sqrt(0.016 + z^2/400) / (1 + z^2/10) = 0.22658.
    found = share(8, 10)
    assert (found["right"], found["accuracy"]) == (8, 0.8)
    assert found["low"] == pytest.approx(0.49016, abs=1e-4)
    assert found["high"] == pytest.approx(0.94332, abs=1e-4)


def test_wilson_interval_does_not_vanish_at_the_ends() -> None:
    # All of 20 right: the lower end is 1 / (1 + z^2/20) = 20 / 23.8415.
    assert share(20, 20)["high"] == pytest.approx(1)
    assert share(20, 20)["low"] == pytest.approx(20 / 23.8415, abs=1e-4)
    assert share(0, 20)["low"] == pytest.approx(0)


def test_exact_mcnemar_by_hand() -> None:
    # Nine frames only the target gets right, two only the source, twelve both, seven neither:
    # p = 2 (1 + 11 + 55) / 2^11
    target = np.array([True] * 9 + [False] * 2 + [True] * 12 + [False] * 7)
    source = np.array([False] * 9 + [True] * 2 + [True] * 12 + [False] * 7)
    found = paired(target, source)
    assert (found["only_target"], found["only_source"]) == (9, 2)
    assert found["difference"] == pytest.approx(7 / 30)
    assert found["p"] == pytest.approx(134 / 2048)
    swapped = paired(source, target)
    assert swapped["p"] == pytest.approx(found["p"])
    assert swapped["difference"] == -found["difference"]


def test_models_that_never_differ_cannot_be_told_apart() -> None:
    same = np.array([True, False, True])
    assert paired(same, same) == {"only_target": 0, "only_source": 0, "difference": 0.0, "p": 1.0}


# Picking


def test_a_pick_is_a_random_sample_in_random_order(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    found = pick(finished.path, 5, tmp_path / "a.csv")
    assert (found.frames, found.of, found.unreadable) == (5, 12, ())
    picked = [frame for frame, label in rows(found.table) if label == ""]
    assert len(set(picked)) == 5
    assert set(picked) <= set(truth(tiny))
    again, other = (pick(finished.path, 5, tmp_path / f"{seed}.csv", seed=seed) for seed in (0, 1))
    assert rows(again.table) == rows(found.table)
    assert rows(other.table) != rows(found.table)
    # The order is random, too: whoever stops early has labelled a sample. A larger pick goes on from a smaller one.
    assert rows(pick(finished.path, 12, tmp_path / "all.csv").table)[:5] == rows(found.table)
    assert picked != sorted(picked)


def test_the_page_shows_every_frame_and_sways_nobody(finished: Run, tmp_path: Path) -> None:
    found = pick(finished.path, 4, tmp_path / "a.csv")
    page = found.sheet.read_text()
    assert found.sheet == tmp_path / "a.html"
    assert page.count("data:image/jpeg;base64,") == 4
    assert all(frame in page for frame, _ in rows(found.table))
    assert "http" not in page
    # One choice a class and frame, none of them made.
    assert page.count('type="radio"') == 4 * 7
    assert " checked>" not in page


def test_labels_are_not_overwritten(finished: Run, tmp_path: Path) -> None:
    fill(tmp_path / "a.csv", [("frame.png", "kitchen")])
    with pytest.raises(UsageError, match="may hold labels"):
        pick(finished.path, 4, tmp_path / "a.csv")
    assert rows(tmp_path / "a.csv") == [("frame.png", "kitchen")]
    assert pick(finished.path, 4, tmp_path / "a.csv", overwrite=True).frames == 4


@pytest.mark.parametrize("frames", [0, 13])
def test_no_more_frames_than_there_are(frames: int, finished: Run, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=f"`frames={frames}`: expected 1 to 12, the target frames of the run"
    ):
        pick(finished.path, frames, tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_cannot_be_audited(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    Run(tmp_path / "run").target.unlink()
    with pytest.raises(IncompatibleError, match="not finished"):
        pick(tmp_path / "run", 3)


@pytest.mark.slow
def test_what_is_clicked_on_the_page_is_what_it_saves(finished: Run, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here to click in")
    found = pick(finished.path, 3, tmp_path / "a.csv")
    clicks = """<script>
    figures[0].querySelector('input[value="office"]').click();
    figures[2].querySelector('input[value="?"]').click();
    document.title = document.getElementById("count").textContent;
    document.body.innerHTML = "<pre id=saved></pre>";
    document.getElementById("saved").textContent = table();
    </script></body>"""
    found.sheet.write_text(found.sheet.read_text().replace("</body>", clicks))
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--dump-dom", found.sheet.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "<title>2 of 3 labelled</title>" in done.stdout
    saved = tmp_path / "saved.csv"
    saved.write_text(done.stdout.partition('<pre id="saved">')[2].partition("</pre>")[0])
    frames = [frame for frame, _ in rows(found.table)]
    assert rows(saved) == list(zip(frames, ["office", "", "?"], strict=True))


# Scoring


def test_with_every_frame_labelled_it_is_the_accuracy_of_evaluate(
    finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    answers = fill(tmp_path / "a.csv", list(truth(tiny).items()))
    found = score(finished.path, answers, "cpu")
    expected = evaluate(finished.path, tiny.data / "target_labels.csv", device="cpu")["models"]
    assert {name: m["accuracy"] for name, m in found["models"].items()} == {
        name: m["accuracy"] for name, m in expected.items()
    }
    assert (found["labelled"], found["unlabelled"], found["cannot_tell"]) == (12, [], [])
    difference = expected["target"]["accuracy"] - expected["source-only"]["accuracy"]
    assert found["comparison"]["difference"] == pytest.approx(difference)


def test_rows_without_a_label_are_named_and_left_out(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    labels = list(truth(tiny).items())
    filled = [(labels[0][0], ""), (labels[1][0], "?"), (labels[2][0], f" {labels[2][1].upper()} "), labels[3]]
    found = score(finished.path, fill(tmp_path / "a.csv", filled), "cpu")
    assert (found["frames"], found["labelled"]) == (4, 2)
    assert (found["unlabelled"], found["cannot_tell"]) == ([labels[0][0]], [labels[1][0]])
    text = "\n".join(describe(found))
    assert f"not labelled yet: {labels[0][0]}" in text
    assert "too few frames to show a difference" in text


def test_a_label_counts_for_its_class(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    """Whatever the target network answers, given as the label, is right; anything else is wrong."""
    from tgkt_edge.data.loading import load_frames
    from tgkt_edge.train.report.model_outputs import run_answers

    classes, _, sensor, ask = run_answers(finished.path, "cpu")
    frames, _ = load_frames(tiny.data / "target", sensor, 37)
    named = ask["target"](frames).argmax(1)
    right = [(name, classes[k]) for name, k in zip(frames.names, named, strict=True)]
    wrong = [(name, classes[(k + 1) % 6]) for name, k in zip(frames.names, named, strict=True)]
    for n in (0, 7, 12):
        labels = right[:n] + wrong[n:]
        found = score(finished.path, fill(tmp_path / f"{n}.csv", labels), "cpu")
        assert found["models"]["target"]["right"] == n


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("", "kitchn"), r"line 2: label 'kitchn' \(did you mean 'kitchen'\?\)"),
        (("/elsewhere.png", "kitchen"), r"line 2: '/elsewhere\.png' is not one of the run's target frames"),
        (("", ""), "no row has a label yet"),
    ],
)
def test_answers_that_cannot_be_used(
    change: tuple[str, str], message: str, finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    frame = next(iter(truth(tiny)))
    answers = fill(tmp_path / "a.csv", [(change[0] or frame, change[1])])
    with pytest.raises(DataError, match=message) as caught:
        score(finished.path, answers, "cpu")
    assert caught.value.exit_code == 2


def test_a_frame_counts_once(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    frame = next(iter(truth(tiny)))
    answers = fill(tmp_path / "a.csv", [(frame, "kitchen"), (frame, "office")])
    with pytest.raises(DataError, match=r"line 3: .* is listed twice"):
        score(finished.path, answers, "cpu")


# The command


def test_the_command_picks_then_scores(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    run = CliRunner().invoke(app, ["audit", str(finished.path), "--frames", "6", "-o", str(table)])
    assert run.exit_code == 0, run.output
    assert f"audit {finished.path} --answers {table}" in run.stderr
    known = truth(tiny)
    fill(table, [(frame, known[frame]) for frame, _ in rows(table)])
    words = ["audit", str(finished.path), "--answers", str(table), "--device", "cpu", "--json"]
    scored = CliRunner().invoke(app, words)
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["labelled"] == 6


def test_the_command_wants_one_of_two_things(finished: Run) -> None:
    run = CliRunner().invoke(app, ["audit", str(finished.path)])
    assert run.exit_code == 2
    assert "either --frames N" in run.stderr
