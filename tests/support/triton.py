"""Triton's model configuration: protocol buffers' text format, as far as examples/triton uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TOKEN = re.compile(r'\s*(?:#[^\n]*\s*)*("(?:[^"\\]|\\.)*"|[A-Za-z_][\w.]*|-?\d+|[\[\]{}:,])')


def parse(text: str) -> dict[str, Any]:
    """Fields by name: text, a number, a word, a list, or a message as a dict. ValueError: it is no such text."""
    tokens: list[str] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"cannot read {text[at : at + 30]!r}")
        tokens.append(found[1])
        at = found.end()
    return _message(iter(tokens), "")


def _message(tokens: Iterator[str], end: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in tokens:
        if name == end:
            return fields
        if name in fields:
            raise ValueError(f"{name} twice")
        following = next(tokens)
        fields[name] = _value(next(tokens) if following == ":" else following, tokens)
    if end:
        raise ValueError(f"no {end}")
    return fields


def _value(token: str, tokens: Iterator[str]) -> Any:
    if token == "{":
        return _message(tokens, "}")
    if token == "[":
        found: list[Any] = []
        for one in tokens:
            if one == "]":
                return found
            if one != ",":
                found.append(_value(one, tokens))
        raise ValueError("no ]")
    if token.startswith('"'):
        return token[1:-1]
    return int(token) if token.lstrip("-").isdigit() else token
