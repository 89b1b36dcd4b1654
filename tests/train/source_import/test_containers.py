"""One model in all wrappings that training programs use; each gives the same network."""

from __future__ import annotations

import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.train.source_import.conftest import NAMES, saved, small_resnet
from tgkt_edge.bundle.conversion import WRAPPERS, conversion
from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.source_import.header_keys import DIGEST, IMPORT
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source

State = dict[str, Tensor]


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def imported(content: object, names: Path, folder: Path, suffix: str = ".pth") -> str:
    """Digest of the weights that came out."""
    file = folder / f"model{suffix}"
    if suffix == ".safetensors":
        save_file({k: v.clone() for k, v in content.items()}, file)  # type: ignore[attr-defined]
    else:
        saved(content, file)
    found = read_source(file, ImportOptions(names, size=64))
    return str(found.header.extra[IMPORT][DIGEST])


@pytest.fixture(scope="module")
def expected(state: State, module_folder: Callable[[str], Path]) -> str:
    folder = module_folder("plain")
    names = folder / "classes.txt"
    names.write_text("\n".join(NAMES))
    return imported(state, names, folder)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 90, "best_acc1": torch.tensor(0.7), "arch": "resnet18"},
        lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
        lambda s: {"model_state_dict": s, "loss": 0.1},
        lambda s: {"state_dict_ema": s, "state_dict": {k: v * 0 for k, v in s.items()}},
        lambda s: {"model_ema": {"module": s}},
        lambda s: prefixed(s, "module."),
        lambda s: prefixed(s, "_orig_mod."),
        lambda s: prefixed(s, "_orig_mod.module."),
        lambda s: {"state_dict": prefixed(s, "model.")},
        lambda s: prefixed(s, "backbone."),
        lambda s: {"n_averaged": torch.tensor(5), **prefixed(s, "module.")},
        lambda s: {"state_dict": {**prefixed(s, "net."), "criterion.weight": torch.ones(5)}},
        lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
        lambda s: {**{f"backbone.{k}": v for k, v in s.items() if k[:3] != "fc."},
                   "head.fc.weight": s["fc.weight"], "head.fc.bias": s["fc.bias"]},
        lambda s: {**{k: v for k, v in s.items() if k[:3] != "fc."}, "fc.1.weight": s["fc.weight"], "fc.1.bias":
        s["fc.bias"]},
    ],
)  # fmt: skip
@pytest.mark.slow
def test_wrapped(wrap: Any, state: State, expected: str, names: Path, tmp_path: Path) -> None:
    assert imported(wrap(state), names, tmp_path) == expected


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".pth.tar", ".safetensors"])
def test_suffixes(suffix: str, state: State, expected: str, names: Path, tmp_path: Path) -> None:
    assert imported(state, names, tmp_path, suffix) == expected


def test_files_of_old_torch(state: State, expected: str, names: Path, tmp_path: Path) -> None:
    """Before 1.6 torch.save wrote no zip archive."""
    file = tmp_path / "old.pth.tar"
    torch.save({"state_dict": prefixed(state, "module.")}, file, _use_new_zipfile_serialization=False)
    found = read_source(file, ImportOptions(names, size=64))
    assert found.header.extra[IMPORT][DIGEST] == expected


def test_half_precision_is_said(state: State, names: Path, tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    found = read_source(saved(half, tmp_path / "half.pth"), ImportOptions(names, size=64))
    assert "  float16 tensors as float32" in found.lines
    assert all(t.dtype != torch.float16 for t in found.model.state_dict().values())


@pytest.mark.slow
def test_a_weight_normed_classifier_by_old_and_new_names(names: Path, tmp_path: Path) -> None:
    network = small_resnet()
    plain = imported(network.state_dict(), names, tmp_path)
    network.fc = parametrizations.weight_norm(network.fc)
    new = dict(network.state_dict())
    old = {
        {
            "fc.parametrizations.weight.original0": "fc.weight_g",
            "fc.parametrizations.weight.original1": "fc.weight_v",
        }.get(k, k): v
        for k, v in new.items()
    }
    assert set(old) - set(new) == {"fc.weight_g", "fc.weight_v"}
    with torch.no_grad():
        torch.testing.assert_close(
            torch._weight_norm(old["fc.weight_v"], old["fc.weight_g"], 0), network.fc.weight
        )
    assert imported(new, names, tmp_path) == imported(old, names, tmp_path)
    assert plain  # the same up to rounding; the proof in the header is what compares


def told_command(file: Path, names: Path) -> str:
    """What the refusal of a file that holds more than tensors tells to run."""
    with pytest.raises(CheckpointError, match="cannot be loaded as tensors alone") as caught:
        read_source(file, ImportOptions(names))
    text = str(caught.value)
    return text[text.index("python -c") :].replace("python", shlex.quote(sys.executable), 1)


def converted(file: Path, names: Path) -> str:
    """Digest of the weights that come out once that command was run, in the file's folder, in a shell."""
    subprocess.run(told_command(file, names), shell=True, cwd=file.parent, check=True, timeout=120)
    found = read_source(file.with_suffix(".safetensors"), ImportOptions(names, size=64))
    return str(found.header.extra[IMPORT][DIGEST])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network, s: network,
        lambda network, s: nn.DataParallel(network),
        lambda network, s: {"model": nn.DataParallel(network), "ema": None, "epoch": 3},
        lambda network, s: {"ema": network, "model": None},
        lambda network, s: {"model_ema": {"module": s}, "model": network},
        lambda network, s: {"loss": torch.tensor(1.0), "accuracy": torch.tensor(0.5), "net": s},
        lambda network, s: {"state_dict_ema": s, "state_dict": {k: v * 0 for k, v in s.items()}},
        lambda network, s: {"state_dict": {**prefixed(s, "module."), "_extra": "a note"}},
        lambda network, s: s,
    ],
    ids=["whole", "parallel", "parallel in a wrapper", "whole average", "average in average", "among numbers",
         "average first", "with more", "bare"],
)  # fmt: skip
@pytest.mark.slow
def test_a_pickle_of_more_than_tensors_is_refused_with_a_command_that_converts_it(
    wrap: Any, resnet: Any, state: State, expected: str, names: Path, tmp_path: Path
) -> None:
    content = wrap(resnet, dict(state))
    if isinstance(content, dict):
        content["args"] = Namespace(lr=0.1)  # as most training programs keep theirs
    assert converted(saved(content, tmp_path / "model.pth"), names) == expected


@pytest.mark.slow
def test_that_command_knows_every_wrapper_that_is_read(
    state: State, expected: str, names: Path, tmp_path: Path
) -> None:
    """The wrappers one after the other, innermost last: all of them are opened, as where the file is read at once."""
    content: Any = dict(state)
    for wrapper in WRAPPERS:
        content = {wrapper: content}
    assert imported(content, names, tmp_path) == expected
    content["args"] = Namespace()
    assert converted(saved(content, tmp_path / "of $HOME, 'mine'.pth"), names) == expected


@pytest.mark.slow
def test_that_command_says_where_it_finds_no_model(names: Path, tmp_path: Path) -> None:
    file = saved({"weights_of_epoch": {}, "args": Namespace()}, tmp_path / "model.pth")
    done = subprocess.run(
        told_command(file, names), shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "no tensors of a model where they are looked for; there are weights_of_epoch, args" in done.stderr


@pytest.mark.slow
def test_a_class_of_the_training_script_is_to_be_imported_from_it(names: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import torch\nfrom torchvision.models import ResNet\nclass Net(ResNet): pass\n"
        "if __name__ == '__main__':\n"
        "    from torchvision.models.resnet import BasicBlock\n"
        "    torch.save(Net(BasicBlock, [2, 2, 2, 2], num_classes=5), 'model.pth')\n"
    )
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True, timeout=120)
    with pytest.raises(CheckpointError, match=r"begin what is in quotes with 'from SCRIPT import Net;'"):
        read_source(tmp_path / "model.pth", ImportOptions(names))
    command = told_command(tmp_path / "model.pth", names).replace('"', '"from train import Net; ', 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "model.safetensors").is_file()


def test_a_pickle_that_is_called_safetensors_is_not_written_over(tmp_path: Path) -> None:
    assert "'model-tensors.safetensors')" in conversion(tmp_path / "model.safetensors", "model.safetensors")


def test_no_pickle_is_run(names: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (mark,))

    file = saved({"state_dict": {"conv1.weight": Attack()}}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="cannot be loaded as tensors alone"):
        read_source(file, ImportOptions(names))
    assert not mark.exists()


def test_what_holds_no_model_is_refused(names: Path, tmp_path: Path) -> None:
    for content, words in (
        ({"epoch": 3, "lr": 0.1}, r"holds no tensors of a model .*'epoch': int"),
        ([1, 2, 3], "holds list, expected the state dict"),
    ):
        with pytest.raises(CheckpointError, match=words):
            read_source(saved(content, tmp_path / "x.pth"), ImportOptions(names))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "x.pth").read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r"cut\.pth: expected a classifier: .* cut off"):
        read_source(tmp_path / "cut.pth", ImportOptions(names))


def shot_files(folder: Path, used_norm: bool = True) -> Any:
    """SHOT's three files of a ResNet-18, and the network that they are together."""
    network = small_resnet()
    torch.manual_seed(1)
    bottleneck, norm, fc = nn.Linear(512, 256), nn.BatchNorm1d(256), nn.Linear(256, len(NAMES))
    if used_norm:
        with torch.no_grad():
            norm.train()(torch.randn(64, 256) * 3 + 1)
    normed = parametrizations.weight_norm(fc)
    parts = {
        "source_F.pt": {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")},
        "source_B.pt": {
            **{f"bn.{k}": v for k, v in norm.state_dict().items()},
            **{f"bottleneck.{k}": v for k, v in bottleneck.state_dict().items()},
        },
        "source_C.pt": {
            "fc.bias": normed.bias,
            "fc.weight_g": normed.parametrizations.weight.original0,
            "fc.weight_v": normed.parametrizations.weight.original1,
        },
    }
    for name, part in parts.items():
        saved({k: v.detach() for k, v in part.items()}, folder / name)
    network.fc = nn.Sequential(bottleneck, norm if used_norm else nn.Identity(), normed)
    network.eval()
    return network


@pytest.mark.parametrize("used_norm", [True, False])
@pytest.mark.parametrize("whole_folder", [True, False])
@pytest.mark.slow
def test_shot(used_norm: bool, whole_folder: bool, names: Path, tmp_path: Path) -> None:
    """Old weight norm names; a batch norm that saw no batch was not used (SHOT's --classifier ori)."""
    from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD, normalise

    network = shot_files(tmp_path, used_norm)
    file = tmp_path if whole_folder else tmp_path / "source_F.pt"
    found = read_source(file, ImportOptions(names, size=64))
    assert "resnet18 with SHOT's bottleneck of 256, 5 classes" in found.lines[0]
    x = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        own = (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
        torch.testing.assert_close(found.model(normalise(x)), network(own), rtol=1e-3, atol=1e-3)


def test_shot_with_a_part_missing(names: Path, tmp_path: Path) -> None:
    shot_files(tmp_path)
    (tmp_path / "source_B.pt").unlink()
    with pytest.raises(CheckpointError, match=r"beside it there is no source_B\.pt"):
        read_source(tmp_path / "source_F.pt", ImportOptions(names))
