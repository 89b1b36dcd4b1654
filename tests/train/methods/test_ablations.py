"""The paper's ablations through configuration alone: each says what its table says, and trains."""

from __future__ import annotations

import re

import pytest
import torch
from paper_figures import TABLES, Row
from torch import nn

from tgkt_edge import config as config_module
from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.methods.tgmb import train_tgmb
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, frozen
from tgkt_edge.train.resume_state import StageState

CPU = Compute(torch.device("cpu"), "fp32")
TINY = ("image_size=32", "batch=4", "tgmb.epochs=1", "tgkt.epochs=1")

# Ticks of Tables 4 and 5: rec, D1, D2, IM (weight 0.2) and kd, f (weight 0.2), self.
TABLE_4: dict[str, tuple[float, ...]] = {
    "rec": (1, 0, 0, 0), "rec + D1": (1, 1, 0, 0), "rec + D2": (1, 0, 1, 0), "rec + D1 + D2": (1, 1, 1, 0),
    "rec + D1 + D2 + IM": (1, 1, 1, 0.2), "rec + IM": (1, 0, 0, 0.2),
}  # fmt: skip
TABLE_5: dict[str, tuple[float, ...]] = {
    "kd": (1, 0, 0), "kd + f": (1, 0.2, 0), "kd + self": (1, 0, 1), "kd + f + self": (1, 0.2, 1),
}  # fmt: skip
TABLE_6: dict[str, tuple[float, ...]] = {f"alpha_d {a}": (1, a, a, 0) for a in (0, 0.1, 0.5, 1, 5)}
TABLE_6 |= {f"alpha_im {a}": (1, 1, 1, a) for a in (0, 0.1, 0.2, 0.5, 1)}
TABLE_7: dict[str, tuple[float, ...]] = {f"beta_f {b}": (1, b, 0) for b in (0, 0.1, 0.2, 0.5, 2)}
TABLE_7 |= {f"beta_self {b}": (1, 0.2, b) for b in (0, 0.1, 0.5, 1, 2)}


def weights(config: AdaptConfig) -> tuple[float, ...]:
    if config.method == "tgmb":
        return config.tgmb.rec, config.tgmb.d1, config.tgmb.d2, config.tgmb.im
    return config.tgkt.kd, config.tgkt.f, config.tgkt.self_training


@pytest.mark.parametrize(
    ("table", "expected"),
    [("table4", TABLE_4), ("table5", TABLE_5), ("table6", TABLE_6), ("table7", TABLE_7)],
)
def test_the_rows_of_a_table_are_its_weights(table: str, expected: dict[str, tuple[float, ...]]) -> None:
    found = {
        row.name: weights(build_config("paper", row.sets, {"method": row.method})) for row in TABLES[table]
    }
    assert found == expected


@pytest.mark.parametrize("table", ["table4", "table5", "table6", "table7"])
def test_a_row_sets_nothing_but_weights(table: str) -> None:
    keys = {text.partition("=")[0] for row in TABLES[table] for text in row.sets}
    assert keys <= {"tgmb.d1", "tgmb.d2", "tgmb.im", "tgkt.f", "tgkt.self_training"}


def test_the_documentation_names_what_the_rows_set() -> None:
    """The table at the head of config.py, for every row whose weights are not a series."""
    logged = re.findall(r"^(?:4|5|--) .*? (tgmb|tgkt)(?:: (.*))?$", config_module.__doc__ or "", re.MULTILINE)
    rows = [(row.method, " ".join(row.sets)) for name in ("table4", "table5") for row in TABLES[name]]
    assert sorted(logged) == sorted(rows)
    assert len(logged) == 10


@pytest.mark.slow
@pytest.mark.parametrize("row", [*TABLES["table4"], *TABLES["table5"]], ids=lambda row: row.name)
def test_every_ablation_trains_a_step(
    row: Row, untrained: SceneClassifier, four: tuple[Store, Store, Store]
) -> None:
    config = build_config("paper", [*TINY, *row.sets], {"method": row.method})
    torch.manual_seed(1)
    start = frozen(Translator())
    state = StageState(None, 60.0)
    with RunLog(None) as log:
        trained: nn.Module
        if row.method == "tgmb":
            trained = train_tgmb(untrained, *four, config, CPU, log, state)
            torch.manual_seed(config.seed + 1)
            before: nn.Module = Translator()
        else:
            trained, before = train_tgkt(untrained, start, *four, config, CPU, log, state), untrained
    pairs = zip(trained.parameters(), before.parameters(), strict=True)
    assert all(torch.isfinite(p).all() for p in trained.parameters())
    assert any(not torch.equal(p, q) for p, q in pairs)
