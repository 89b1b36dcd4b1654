"""Keys, and a bundle to sign."""

from __future__ import annotations

from pathlib import Path

import pytest

import tgkt_edge
from tests.support.bundles import save_bundle, save_model
from tgkt_edge.bundle.bundle import Bundle


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Two private keys; the public ones lie beside them."""
    for name in ("one", "two"):
        tgkt_edge.generate_key(tmp_path / "keys" / name)
    return tmp_path / "keys" / "one", tmp_path / "keys" / "two"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """With two precisions, statistics and a file in a folder."""
    made = save_bundle(tmp_path / "bundle")
    save_model(made.path / "model.fp16.onnx")
    (made.path / "statistics.json").write_text('{"not": "read here"}')
    (made.path / "engines").mkdir()
    (made.path / "engines" / "fp32.plan").write_bytes(b"native code")
    return made.write()
