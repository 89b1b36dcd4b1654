"""The reference of the configuration, made from its dataclasses and the comments beside their fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
import typing
from typing import TYPE_CHECKING, Any

from tgkt_edge import config as config_module
from tgkt_edge.config_removed import REMOVED, REMOVED_VALUES, RENAMED

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

INTRODUCTION = (
    "Options of `tgkt-edge adapt`, for `--config FILE.yaml` and `--set section.key=value`. Unknown keys "
    "and values of the wrong type are refused by name. A run's `config.yaml` holds all of them as they "
    "were used."
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs calls it before it builds."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference/config.md", content=configuration()))
    return files


def configuration() -> str:
    """Every option of ``--config`` and ``--set``: its default, the values it takes, and the paper's value."""
    parts = [f"# Configuration\n\n{INTRODUCTION}\n"]
    paper = config_module.NAMED["paper"]
    for section, cls in config_sections().items():
        parts.append(f"## {section or 'Top level'}\n")
        parts.append(inspect.cleandoc(cls.__doc__ or "") + "\n")
        own = paper.get(section, {}) if section else paper
        rows = []
        for name, comment in field_comments(cls).items():
            field = next(one for one in dataclasses.fields(cls) if one.name == name)
            if dataclasses.is_dataclass(_default_of(field)):
                continue
            key = f"{section}.{name}" if section else name
            printed = own.get(name, "") if not isinstance(own.get(name), dict) else ""
            differs = f"`{printed}`" if name in own and printed != _default_of(field) else ""
            kind = _kind(typing.get_type_hints(cls)[name])
            rows.append(f"| `{key}` | `{_default_of(field)}` | {differs} | {kind} | {_cell(comment)} |")
        parts.append(
            "| option | default | `--config paper` | type | meaning |\n|---|---|---|---|---|\n"
            + "\n".join(rows)
        )
        parts.append("")
    return "\n".join([*parts, removed_options()])


def removed_options() -> str:
    """The options of earlier versions, and what became of each."""
    rows = [f"| `{old}` | is called `{new}` |" for old, new in RENAMED.items()]
    rows += [f"| `{key}` | {_cell(why)} |" for key, (_, why) in REMOVED.items()]
    rows += [f"| `{key}={value}` | {_cell(why)} |" for (key, value), why in REMOVED_VALUES.items()]
    return (
        "## Options of earlier versions\n\nThey are refused by name. `--resume` goes on with a run that had them "
        "switched off, and a finished run that used one can be evaluated and exported.\n\n"
        "| option | why it is gone |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


def _kind(hint: Any) -> str:
    """``Literal["a", "b"]`` as `a`, `b`; a type as its name."""
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(hint))
    return {int: "whole number", float: "number", str: "text", bool: "yes or no"}.get(hint, _cell(str(hint)))


def config_sections() -> dict[str, type]:
    """Section of ``--set`` -> dataclass; "" is the top level."""
    top = config_module.AdaptConfig
    nested = {
        field.name: type(_default_of(field))
        for field in dataclasses.fields(top)
        if dataclasses.is_dataclass(_default_of(field))
    }
    return {"": top, **nested}


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def field_comments(cls: type) -> dict[str, str]:
    """Field -> the comment beside it in the source; of a field without one, that of the class it repeats or extends."""
    found: dict[str, str] = {}
    for one in (*config_sections().values(), *reversed(cls.__mro__)):
        if dataclasses.is_dataclass(one):
            for name, text in _own_comments(one).items():
                if text or name not in found:
                    found[name] = text
    return {field.name: found.get(field.name, "") for field in dataclasses.fields(cls)}


def _own_comments(cls: type) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(cls))
    comments: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ").rstrip()
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    return {
        node.target.id: " ".join(
            comments[line] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments
        )
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
