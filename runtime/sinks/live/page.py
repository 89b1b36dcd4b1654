"""The page as one HTML document that loads nothing, and the policy that holds a browser to it."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

from tgkt_edge.runtime.sinks.colormaps import INVALID, table

_FOLDER = Path(__file__).parent / "assets"
_PAGES = {
    "page.html": ("scale.js", "stream.js", "picture.js", "evidence.js", "timeline.js", "page.js"),
    "wall.html": ("scale.js", "stream.js", "wall.js"),
}


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@lru_cache
def live_page(name: str = "page.html") -> tuple[str, str]:
    """(HTML, Content-Security-Policy) of the live page of one camera, or of the wall of several (``wall.html``).

    Script and style are inline and named by their hashes, so that whatever text a camera or a class name may smuggle
    in is never run, and the page can speak to nobody but the server it came from.
    """
    colours = ",".join(
        f'"{of}":"{base64.b64encode(table(of).tobytes()).decode()}"' for of in ("viridis", "turbo")
    )
    tables = f"const TABLES = {{{colours}}}, INVALID = {list(INVALID)};\n"
    script = '"use strict";\n' + tables + "".join(map(_read, _PAGES[name]))
    style = _read("page.css")
    page = (
        _read(name)
        .replace("<!--HEAD-->\n", _read("head.html"))
        .replace("<!--HEADER-->\n", _read("header.html"))
    )
    page = page.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    return page, policy


@lru_cache
def login_page() -> tuple[str, str]:
    """(HTML, Content-Security-Policy) of the login form; ``{{hidden}}`` in it hides the words about a wrong token,
    ``{{action}}`` is where it is sent."""
    style = _read("login.css")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return _read("login.html").replace("/*STYLE*/", style), policy
