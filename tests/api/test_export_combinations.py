"""Arguments of ``export`` that do not go together are refused before anything is read or written, by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tgkt_edge
from tests.support.bundles import save_near_or_far
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return save_near_or_far(tmp_path_factory.mktemp("bundle") / "b", ("near", "far"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "`out=BUNDLE` is missing"),
        ({"precisions": ["fp16"]}, "`out=BUNDLE` is missing"),
        ({"max_batch": 4}, "`max_batch`: only for TensorRT plans. Give `trt=True`, too."),
        ({"out": "b", "target_sm": ["89"], "workspace": 9}, "`workspace`, `target_sm`: only for TensorRT plans"),
        ({"out": "b", "timing_cache": "t", "version_compatible": True, "hardware_compatible": True},
         "`timing_cache`, `version_compatible`, `hardware_compatible`: only for TensorRT plans"),
        ({"out": "b", "min_batch": 2, "opt_batch": 2, "optimisation": 5},
         "`min_batch`, `opt_batch`, `optimisation`: only for TensorRT plans"),
        ({"trt": True, "calibrate": "f", "labels": "f", "max_drop": 0.5}, "`calibrate`, `labels`, `max_drop`: without"),
        ({"trt": True, "verify": False, "skip_bad": True}, "`verify=False`, `skip_bad`: without effect"),
        ({"trt": True, "calibration_frames": 9, "calibration_method": "minmax", "overwrite": True},
         "`calibration_frames`, `calibration_method`, `overwrite`: without effect"),
        ({"trt": True, "min_batch": 3, "max_batch": 2}, "`max_batch=2`: expected 1 <= min <= opt <= max"),
        ({"trt": True, "optimisation": 6}, "`optimisation=6`: expected 0 to 5"),
        ({"trt": True, "workspace": 0}, "`workspace=0`: expected at least 1 MiB"),
        ({"out": "b", "max_drop": -0.1}, "`max_drop=-0.1`: expected a share from 0 to 1"),
        ({"out": "b", "precisions": ["int8"], "calibration_frames": 0}, "`calibration_frames=0`: expected at least 1"),
        ({"out": "b", "calibration_method": "mean"}, "`calibration_method=mean`: unknown"),
    ],
)  # fmt: skip
def test_what_cannot_be_together_is_refused_by_name(
    bundle: Bundle, given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in bundle.path.rglob("*")}
    with pytest.raises(UsageError) as caught:
        tgkt_edge.export(bundle.path, given.pop("out", None), **given)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert {file: file.stat().st_mtime_ns for file in bundle.path.rglob("*")} == before


def test_a_run_without_a_place_for_its_bundle_is_refused_with_plans_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Only `trt=True` of a bundle needs none"):
        tgkt_edge.export(tmp_path, trt=True)
