"""What a person sees while the report is made: steps, time that is left, lines of 80 columns."""

from __future__ import annotations

from tgkt_edge.train.logger import fit
from tgkt_edge.train.report.progress import ReportProgress


def test_a_line_a_step_and_one_every_ten_seconds_with_what_is_left() -> None:
    now, lines = [0.0], list[str]()
    progress = ReportProgress(200, lines.append, lambda: now[0])
    progress.begin("source-only answers", 100)
    for _ in range(10):
        now[0] += 4
        progress.advance(10)  # 0.4 s a frame
    progress.begin("comparing the networks")
    now[0] += 40
    progress.advance(100)
    progress.end()
    assert lines == [
        "report: source-only answers, 100 frames",
        "report: source-only answers, 30/100 frames, ETA 68 s",
        "report: source-only answers, 60/100 frames, ETA 56 s",
        "report: source-only answers, 90/100 frames, ETA 44 s",
        "report: comparing the networks, ETA 40 s",
        "report: done in 80 s",
    ]


def test_lines_fit_80_columns() -> None:
    lines = list[str]()
    ReportProgress(1, lines.append).begin(
        "a network with a very long name indeed, longer than any " * 3, 123456
    )
    assert len(lines[0]) < 80
    assert lines[0].endswith(", 123456 frames")
    terms = [f"term{n} 0.123" for n in range(20)]
    assert len(fit("tgkt: epoch 1/12 step 1/96 ETA 300 s ", terms)) < 80
    assert fit("tgkt: ETA 3 s ", terms[:2]) == "tgkt: ETA 3 s  term0 0.123 term1 0.123"
