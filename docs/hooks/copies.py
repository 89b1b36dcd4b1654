"""Pages that lie elsewhere: notebooks, the results of benchmarks, the changelog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

REPOSITORY = Path(__file__).resolve().parents[2]

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs calls it before it builds."""
    from mkdocs.structure.files import File

    pages = {
        "changelog.md": (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    }
    for file in sorted((REPOSITORY / "benchmarks" / "results").glob("*.md")):
        pages[f"results/{file.name}"] = file.read_text(encoding="utf-8")
    for file in sorted((REPOSITORY / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{file.stem}.md"] = notebook(file)
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def notebook(path: Path) -> str:
    """A notebook as a page: text as it is, code as code, what was printed below it, pictures inline."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                picture = "".join(data["image/png"]).replace("\n", "")
                parts.append(f'<img alt="output" src="data:image/png;base64,{picture}">')
            elif text := "".join(output.get("text", data.get("text/plain", []))):
                parts.append(f"```text\n{text.rstrip()}\n```")
    link = (
        f"The notebook itself: `docs/notebooks/{path.name}`. A test runs it from the first cell to the last."
    )
    return "\n\n".join([*parts, link]) + "\n"
