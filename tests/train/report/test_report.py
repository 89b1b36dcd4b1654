"""``report.json`` and ``report.html`` of a finished run."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from tests.support.training import Tiny
from tgkt_edge.data.loading import load_frames, load_pairs
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import describe
from tgkt_edge.train.holdout import split_pairs
from tgkt_edge.train.nn.checkpoint import load_classifier, load_into, load_tensors
from tgkt_edge.train.nn.model import Translator
from tgkt_edge.train.report.material import Material, Model
from tgkt_edge.train.report.model_outputs import run_answers
from tgkt_edge.train.report.summary import entropies, gather, summarise, write_report
from tgkt_edge.train.report.words import HEADLINES
from tgkt_edge.train.run_folder.folder import Run

DEPTH = load_sensor("depth")


def read(run: Run) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((run.path / "report.json").read_text())
    return report


def material(run: Run, tiny: Tiny, models: dict[str, Model] | None = None) -> Material:
    config, side = tiny.config(), resize_side(32)
    target, sensor = load_frames(tiny.data / "target", DEPTH, side)
    pairs = load_pairs(tiny.data / "paired", DEPTH, side)
    _, held, runs = split_pairs(pairs, config.holdout, config.seed)
    source, header = load_classifier(run.source)
    translator = Translator().eval()
    load_into(translator, load_tensors(run.translator)[0], run.translator)
    whole = {
        "source-only": Model(source),
        "tgmb": Model(source, translator),
        "target": Model(load_classifier(run.target)[0]),
    }
    return Material(
        run,
        config,
        sensor,
        header.classes,
        target,
        len(pairs),
        held,
        runs,
        models or whole,
        torch.device("cpu"),
    )


# report.json


def test_the_report_is_about_what_evaluate_and_export_see(finished: Run, tiny: Tiny) -> None:
    report = read(finished)
    frames, _ = load_frames(tiny.data / "target", DEPTH, resize_side(32))
    answers = {name: ask(frames) for name, ask in run_answers(finished.path, "cpu")[3].items()}
    named = {name: p.argmax(1) for name, p in answers.items()}
    for name, p in answers.items():
        assert list(report["predicted"][name].values()) == np.bincount(named[name], minlength=6).tolist()
        assert report["entropy"][name] == pytest.approx(entropies(p), abs=1e-5)
        dead = [c for c, n in report["predicted"][name].items() if n == 0]
        assert report["dead_classes"][name] == dead
    agreement = report["agreement"]
    assert agreement["target_with_tgmb"] == pytest.approx(np.mean(named["target"] == named["tgmb"]))
    assert agreement["target_with_source_only"] == pytest.approx(
        np.mean(named["target"] == named["source-only"])
    )


def test_the_report_tells_the_story_of_the_epochs(finished: Run) -> None:
    report = read(finished)
    kept = [
        load_tensors(finished.path / "epochs" / f"tgkt-{n}.safetensors")[0]["probabilities"].numpy().argmax(1)
        for n in (0, 1)
    ]
    story = report["epochs"]
    assert [(step["stage"], step["epochs"]) for step in story] == [("tgkt", 0), ("tgkt", 1), ("tgkt", 2)]
    assert story[0]["changed"] is None
    assert story[1]["changed"] == pytest.approx(np.mean(kept[0] != kept[1]))
    assert [line["epoch"] for line in report["pseudo_labels"]] == [1, 2]
    assert (report["pairs"], report["held_out_pairs"]) == (10, 3)
    assert set(report["held_out"]) == {"source-only", "tgmb", "target"}
    assert report["verdict"]["verdict"] in ("helped", "no evidence", "hurt")


def test_entropies_by_hand() -> None:
    # Two sure answers of different classes: the mean is even, log 2; each is sure, 0.
    found = entropies(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
    assert found == pytest.approx({"marginal": np.log(2), "conditional": 0.0, "information": np.log(2)})


def test_a_network_that_is_the_source_model_is_asked_once_and_judged_so(
    finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    """What method source-only leaves: no T, no training, no held-out comparison that could differ."""
    shutil.copytree(finished.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "epochs")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    model = Model(load_classifier(finished.source)[0])
    made = material(Run(tmp_path / "run"), tiny, {"source-only": model, "target": model})
    passes: list[int] = []
    model.network.backbone.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    report = write_report(made)
    assert sum(passes) == 12 + 3 + 3  # target frames, held-out frames, held-out RGB
    assert report["verdict"]["verdict"] == "no evidence"
    assert "as source-only does" in report["verdict"]["sentence"]
    assert set(report["predicted"]) == {"source-only", "target"}
    assert (report["epochs"], report["stages"]) == ([], {})
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<small>translated</small>" not in page
    assert "Losses" not in page


def test_without_held_out_pairs_the_report_says_so(finished: Run, tiny: Tiny) -> None:
    made = material(finished, tiny)
    _, none, _ = split_pairs(load_pairs(tiny.data / "paired", DEPTH, 37), 0, 0)
    made = dataclasses.replace(made, held=none, held_runs=[])
    report = summarise(made, gather(made))
    assert (report["held_out"], report["held_out_pairs"]) == ({}, 0)
    assert any("holdout = 0" in text for text in report["verdict"]["warnings"])


def test_the_last_lines_of_adapt_hold_the_verdict(finished: Run) -> None:
    report = read(finished)
    lines = describe(report, finished.path)
    assert any(report["verdict"]["sentence"] in line for line in lines)
    assert any("report.html" in line for line in lines)
    for word, export in (
        ("helped", True),
        ("no evidence", True),
        ("hurt", False),
    ):  # nobody ships what is worse
        last = describe({**report, "verdict": {**report["verdict"], "verdict": word}}, finished.path)[-1]
        assert last.startswith("next: ")
        assert ("tgkt-edge export" in last) == export
        assert "tgkt-edge audit" in last
    frames = report["target_frames"]
    for learnt, words in (
        (frames - 3, "--frames 3"),
        (frames, "evaluate"),
    ):  # those that were learnt prove nothing
        taught = {"labelled": learnt, "pairs": 10, "correlation": 0.5}
        assert words in describe({**report, "translation": taught}, finished.path)[-1]


# report.html


class Page(HTMLParser):
    """Tags opened, and every address and picture in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_is_self_contained(finished: Run) -> None:
    text = (finished.path / "report.html").read_text()
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_page_shows_everything_it_should(finished: Run) -> None:
    text = (finished.path / "report.html").read_text()
    report = read(finished)
    assert report["verdict"]["sentence"] in unescape(text)
    assert (
        "standard deviations from those of its RGB" not in text
    )  # of this source model nobody knows where RGB lies
    for heading in ("Classes given to the target frames", "Held-out pairs", "Target frames", "Epoch by epoch",
                    "Losses", "Features", "Costs", "Configuration"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in text
    for term in ("source: loss", "tgmb: rec", "tgmb: d1", "tgmb: im", "tgkt: kd", "tgkt: f", "tgkt: self"):
        assert f"<h3>{term}</h3>" in text
    headline, meaning = HEADLINES[report["verdict"]["verdict"]]
    plain = unescape(text)
    assert plain.index(headline) < plain.index(meaning) < plain.index("<h2>Why")  # the finding comes first
    for jargon in ("nats", "T(frame)", "T's path", "KL on", "(biased)", ">Structure<"):
        assert jargon not in plain
    # Held-out pairs: RGB, frame, translation of three; target frames: frame, translation and evidence of eight.
    assert Page(text).tags.count("img") == 3 * 3 + 8 * 3
    for chart in re.findall(r"<svg.*?</svg>", text, flags=re.S):
        ElementTree.fromstring(chart)  # well-formed
