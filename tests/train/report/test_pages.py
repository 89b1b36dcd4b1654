"""Pages from templates: names that a user gives are text, whatever they hold; a value that is missing is an error."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from tgkt_edge.train.report.figures import line_chart, swatch
from tgkt_edge.train.report.pages import TEMPLATES, render_page

HOSTILE = """</script><script>alert('x')</script> & "quoted" <b>"""


class Opened(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str | None] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def sheet(**other: Any) -> str:
    values: dict[str, Any] = {
        "title": HOSTILE,
        "table": HOSTILE,
        "chips": [(HOSTILE, HOSTILE)],
        "pictures": [{"frame": HOSTILE, "name": HOSTILE, "uri": "data:,"}],
    }
    return render_page("audit.html", **{**values, **other})


def test_names_are_text_and_never_markup() -> None:
    page = Opened(sheet())
    assert page.tags.count("script") == 1  # the page's own
    assert "b" not in page.tags
    assert page.attributes.count(HOSTILE) == 2  # the frame of the figure and the value of the choice
    assert page.text.count(HOSTILE) >= 5


def test_drawings_stay_drawings_and_the_names_in_them_text() -> None:
    drawing = line_chart({HOSTILE: [(0, 0.0), (1, 1.0)]}, HOSTILE)
    for inside in (drawing, swatch(0, HOSTILE)):
        page = Opened(f"{inside}")
        assert page.tags[0] == "svg"
        assert not {"script", "b"} & set(page.tags)
        assert HOSTILE in page.text or HOSTILE in page.attributes


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'uri'"):
        sheet(pictures=[{"frame": "a", "name": "a"}])
    with pytest.raises(TemplateNotFound):
        render_page("nothing.html")


def test_nothing_is_loaded_from_anywhere() -> None:
    for file in TEMPLATES.iterdir():
        text = file.read_text(encoding="utf-8")
        for loading in ("http:", "https:", "@import", "url(", "<link"):
            assert loading not in text, f"{file.name}: {loading}"
