"""The style sheet of report.html and audit.html: light and dark, from a phone to a wide screen, nothing loaded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_CSS = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2330; --soft: #5b6676; --rule: #dfe3e9; --track: #edf0f4;
  --s0: #7a8699; --s1: #d98324; --s2: #1f6fd6; --s3: #2e9960; --s4: #b0479c; --s5: #6b5bd0;
  --good: #1d8a4e; --bad: #c7392f; --unsure: #6f7b8c; --good-wash: #e6f5ec; --bad-wash: #fcebe9; --unsure-wash: #eceff3;
  --c0: #1f6fd6; --c1: #e07b1a; --c2: #2a9d57; --c3: #d23c3c; --c4: #8a5cd1; --c5: #8b5a3c; --c6: #d455a4;
  --c7: #5f6b7a; --c8: #a3a019; --c9: #16a3b8; }
@media (prefers-color-scheme: dark) { :root {
  --page: #12161c; --card: #1b2129; --ink: #e6eaf0; --soft: #9aa6b6; --rule: #2e3641; --track: #262d37;
  --s0: #93a0b3; --s1: #f0a04b; --s2: #5ea1f7; --s3: #55c68a; --s4: #d877c5; --s5: #9d90f2;
  --good: #55c68a; --bad: #f0786f; --unsure: #9aa6b6; --good-wash: #16301f; --bad-wash: #3a1d1b; --unsure-wash: #262d37;
  --c0: #5ea1f7; --c1: #f0a04b; --c2: #55c68a; --c3: #f0786f; --c4: #b593f0; --c5: #c08a68; --c6: #f08cc9;
  --c7: #a5b0bf; --c8: #d3d04a; --c9: #4fcbe0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.12rem; margin: 36px 0 4px; }
h3 { font-size: .92rem; margin: 0 0 6px; font-weight: 600; }
p { margin: 0 0 12px; max-width: 72ch; }
.soft { color: var(--soft); font-size: .9rem; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px; min-width: 0; }
.grid { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 290px), 1fr)); }
.verdict { border-left: 6px solid; border-radius: 10px; padding: 16px 18px; margin: 18px 0 8px; }
.verdict b { display: block; font-size: 1.35rem; line-height: 1.25; margin-bottom: 4px; }
.verdict.helped { border-color: var(--good); background: var(--good-wash); } .verdict.helped b { color: var(--good); }
.verdict.hurt { border-color: var(--bad); background: var(--bad-wash); } .verdict.hurt b { color: var(--bad); }
.verdict.unsure { border-color: var(--unsure); background: var(--unsure-wash); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: .82rem; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.why { display: grid; grid-template-columns: minmax(0, 1fr) 240px; gap: 14px 20px; align-items: center; }
.why svg { max-width: 240px; } .figures { font-variant-numeric: tabular-nums; font-size: .88rem; text-align: center; }
@media (max-width: 640px) { .why { grid-template-columns: 1fr; gap: 4px; }
  .why > div:nth-child(even) { margin-bottom: 14px; } }
.meter { display: flex; align-items: center; gap: 8px; min-width: 110px; }
.meter i { display: block; height: 12px; border-radius: 3px; flex: none; }
.meter span { font-variant-numeric: tabular-nums; font-size: .85rem; }
.none { color: var(--bad); font-weight: 600; }
.strip { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 236px), 1fr)); }
.strip.three { grid-template-columns: repeat(auto-fill, minmax(min(100%, 310px), 1fr)); }
figure { margin: 0; }
.shots { display: flex; gap: 4px; } .shots > div { flex: 1; min-width: 0; }
.shots img { width: 100%; display: block; border-radius: 6px; } .shots small { color: var(--soft); font-size: .74rem; }
figcaption { font-size: .82rem; margin-top: 4px; overflow-wrap: anywhere; }
svg.chart { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; }
svg .grid { stroke: var(--rule); } svg .zero { stroke: var(--soft); stroke-dasharray: 2 2; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .bar { stroke-width: 4; stroke-linecap: round; } svg .mark { fill-opacity: .8; }
svg.swatch { width: 12px; height: 12px; vertical-align: -1px; margin-right: 5px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: .84rem; margin: 2px 0 10px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; vertical-align: -1px;
  margin-right: 5px; }
details summary { cursor: pointer; color: var(--soft); } pre { font-size: .8rem; overflow-x: auto; margin: 8px 0 0; }
code { font-size: .9em; overflow-wrap: anywhere; }
.label-grid { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.chip { display: inline-block; margin: 4px 4px 0 0; padding: 3px 10px; border: 1px solid var(--rule);
  border-radius: 99px; font-size: .88rem; cursor: pointer; } .chip input { margin: 0 6px 0 0; }
.chip:has(:checked) { border-color: var(--s2); background: var(--track); font-weight: 600; }
.save { position: sticky; top: 0; padding: 10px 0; background: var(--page); z-index: 1; }
button { font: inherit; padding: 7px 16px; border: 0; border-radius: 8px; background: var(--s2); color: var(--page);
  cursor: pointer; }
.label-grid img { width: 100%; border-radius: 6px; display: block; }
@media (max-width: 520px) { body { font-size: 15px; }
  .meter { min-width: 0; } .meter i { display: none; } th, td { padding: 5px 5px 5px 0; } th { font-size: .76rem; }
  td:first-child { overflow-wrap: anywhere; }
  main { padding: 16px 12px 48px; } }
@media print { .card { break-inside: avoid; } }
"""


def _colours() -> str:
    lines = [f"svg .line.s{i}, svg .dot.s{i} {{ stroke: var(--s{i}); }}" for i in range(6)]
    lines += [f"svg .dot.s{i}, i.s{i} {{ fill: var(--s{i}); background: var(--s{i}); }}" for i in range(6)]
    lines += [f"svg .mark.c{i} {{ fill: var(--c{i}); }}" for i in range(10)]
    lines += [
        f"svg .bar.{t} {{ stroke: var(--{t}); }} svg .knob.{t} {{ fill: var(--{t}); }}"
        for t in ("good", "bad", "unsure")
    ]
    return "\n".join(lines)


def page(title: str, body: str) -> str:
    """A whole HTML document around ``body``."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}{_colours()}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def section(title: str, about: str, inside: str) -> str:
    """A titled part of the page; empty text if there is nothing inside."""
    return f'<h2>{escape(title)}</h2>\n<p class="soft">{about}</p>\n{inside}' if inside else ""


def card(inside: str, title: str = "") -> str:
    """A framed box."""
    return f'<div class="card">{f"<h3>{escape(title)}</h3>" if title else ""}{inside}</div>'


def legend(names: Sequence[str]) -> str:
    """Names beside the colours that charts give to their lines, in order."""
    items = (f'<span><i class="s{i}"></i>{escape(name)}</span>' for i, name in enumerate(names))
    return f'<div class="legend">{"".join(items)}</div>'
