"""The reference of the public Python names, made from their signatures and docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import tgkt_edge

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


BUILDING_BLOCKS = {
    "tgkt_edge.preprocess": ["preprocess", "encode", "center_crop", "to_unit", "resize_side"],
    "tgkt_edge.bundle": ["Bundle"],
    "tgkt_edge.data": ["load_frames", "load_images", "load_labelled_frames", "load_pairs"],
    "tgkt_edge.images": ["read_frame", "read_rgb"],
    "tgkt_edge.config": ["build_config"],
}
"""What else a program may use, by module: names that stay, beside the public API itself."""

INTRODUCTION = (
    "Everything here is typed (`py.typed`) and stays as it is within one major version. Arrays name their "
    "shape, dtype and range; errors are those of [Exit codes](exit-codes.md). Importing `tgkt_edge` loads "
    "neither PyTorch nor OpenCV; what needs them loads them when it is called, or raises "
    "`MissingDependency`, which names the extra."
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs calls it before it builds."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference/python.md", content=python_api()))
    return files


def public_names() -> dict[str, list[str]]:
    """Module -> names that a program may rely on."""
    own = [name for name in getattr(tgkt_edge, "__all__", []) if name != "__version__"]
    return {**({"tgkt_edge": own} if own else {}), **BUILDING_BLOCKS}


def python_api() -> str:
    """The public functions and classes with their signatures and docstrings."""
    parts = [f"# Python\n\n{INTRODUCTION}\n"]
    for module_name, names in public_names().items():
        module = importlib.import_module(module_name)
        parts.append(f"## {module_name}\n")
        text = inspect.cleandoc(module.__doc__ or "")
        if text:
            parts.append(markdown(text) + "\n")
        for name in names:
            parts.append(_object(module, name))
    return "\n".join(parts)


def _object(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if inspect.ismodule(value):  # a package that can be called: its function
        value = getattr(importlib.import_module(f"tgkt_edge.api.{name}"), name)
    parts = [f"### {name}\n"]
    if inspect.isclass(value) or callable(value):
        parts.append(f"```python\n{_signature(name, value)}\n```\n")
    parts.append(markdown(inspect.getdoc(value) or "", _names(value)) + "\n")
    if inspect.isclass(value) and not issubclass(value, BaseException):
        for method, found in sorted(vars(value).items()):
            function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
            documented = not method.startswith("_") or method == "__call__"
            if documented and inspect.isfunction(function):
                parts.append(f"#### `{name}.{method}`\n")
                parts.append(f"```python\n{_signature(method, function)}\n```\n")
                parts.append(markdown(inspect.getdoc(function) or "", _names(function)) + "\n")
            elif isinstance(found, property) and not method.startswith("_"):
                parts.append(f"#### `{name}.{method}`\n")
                parts.append(markdown(inspect.getdoc(found) or "") + "\n")
    return "\n".join(parts)


def _signature(name: str, value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parts = [_argument(one) for one in signature.parameters.values() if one.name not in ("self", "cls")]
    star = next(
        (i for i, one in enumerate(signature.parameters.values()) if one.kind is one.KEYWORD_ONLY), None
    )
    if star is not None and not any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values()):
        parts.insert(star - (len(signature.parameters) - len(parts)), "*")
    result = signature.return_annotation
    given = (
        "" if inspect.isclass(value) or result is inspect.Signature.empty else f" -> {_annotation(result)}"
    )
    line = f"{name}({', '.join(parts)}){given}"
    return (
        line if len(line) <= 88 else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){given}"
    )


def _argument(parameter: inspect.Parameter) -> str:
    stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    text = ("**" if parameter.kind is parameter.VAR_KEYWORD else stars) + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = getattr(parameter.default, "__name__", None) or repr(parameter.default)
    return f"{text} = {'...' if default == '<factory>' else default}"


def _names(value: Any) -> list[str]:
    """Parameters of a function or class, and attributes of a class."""
    try:
        found = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        found = []
    return found + [name for name in getattr(value, "__annotations__", {}) if name not in found]


def _annotation(hint: Any) -> str:
    return hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))


_SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Yields", "Options")


def markdown(docstring: str, names: Iterable[str] = ()) -> str:
    """A Google-style docstring as Markdown: sections become headings with lists, ``code`` becomes `code`.

    Args:
        names: of parameters or attributes; several that share a line ("a: one. b: two.") become an item each.
    """
    text = re.sub(r":(?:func|meth|class|mod|data|attr):`~?\.?([^`]+)`", r"`\1`", docstring).replace("``", "`")
    # An indented block after :: is code in Markdown, too; a table of reStructuredText is shown as it is.
    text = re.sub(r"::$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?ms)^(=+ [= ]+\n.*^=+ [= ]+$)", r"```text\n\1\n```", text)
    out: list[str] = []
    items: list[str] = []
    section, margin = "", 0
    for line in [*text.splitlines(), "end"]:
        bare, indent = line.strip(), len(line) - len(line.lstrip())
        if section and bare and indent:
            margin = margin or indent
            if section == "Returns":
                out.append(bare)
            elif indent == margin and re.match(_NAMED, bare):
                items.append(bare)
            else:
                items[-1:] = [f"{items[-1]} {bare}" if items else bare]
            continue
        if items and (bare or not section):
            out += [line for item in items for line in _entries(item, names)]
            items = []
        if not indent and bare.removesuffix(":") in _SECTIONS and bare.endswith(":"):
            section, margin = bare.removesuffix(":"), 0
            out += ["", f"**{section}**", ""]
        else:
            section = section if not bare else ""
            out.append(line)
    return "\n".join(out[:-1]).strip()


_NAMED = r"([\w*,. ]+?)( \([^)]*\))?: (.*)"


def _entries(item: str, names: Iterable[str]) -> list[str]:
    """The list items that one entry of a docstring becomes: one for each of ``names``, or errors, that it explains."""
    one = "|".join([*map(re.escape, names), r"[A-Z]\w*(?:Error|Dependency)"])
    parts = re.split(rf"(?<=[.;]) (?=(?:{one})(?:, (?:{one}))*(?: \([^)]*\))?: )", item)
    found = [re.match(_NAMED, part) for part in parts]
    return [
        f"- `{named[1]}`{named[2] or ''}: {named[3]}" if named else f"- {part}"
        for named, part in zip(found, parts, strict=True)
    ]
