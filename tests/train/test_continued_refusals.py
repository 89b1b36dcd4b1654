"""``adapt --continue`` with what does not go with it, and from what is no shipped network: words and exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.training import Tiny
from tgkt_edge.cli.main import app
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.run_folder.folder import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def new(tiny: Tiny) -> Path:
    """Frames of the same sensor that the shipped network did not see."""
    return tiny.data / "clip"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("--sensor", "nir"),
            2,
            "--sensor: not the one that --continue {run} was adapted to: kind 'nir', there 'depth'",
        ),
        (("--image-size", "64"), 2, "--image-size 64: the network of --continue {run} takes 32 pixels"),
        (("--set", "image_size=64"), 2, "--image-size 64: the network of --continue {run} takes 32 pixels"),
        (("--paired", "x"), 2, "--paired x: cannot be used with --continue"),
        (("--source-model", "x"), 2, "--source-model x: cannot be used with --continue"),
        (("--student", "resnet18"), 2, "--student resnet18: cannot be used with --continue"),
        (("--method", "translate"), 2, "--method translate: cannot be used with --continue"),
        (
            ("--set", "student.arch=resnet18"),
            2,
            "--student resnet18 with --continue: the target network starts",
        ),
        (("--set", "method=translate"), 2, "--method translate: cannot be used with --continue"),
        (("--old-frames", "nowhere"), 2, "nowhere: does not exist"),
        (("--old-frames", "{new}"), 2, "all 6 frames are among those of --target"),
    ],
)
def test_what_does_not_go_with_it_is_refused_by_name(
    words: tuple[str, ...], code: int, message: str, translated: Run, new: Path, tmp_path: Path
) -> None:
    names = {"run": translated.path, "new": new}
    command = ["adapt", "--continue", translated.path, "--target", new, "-o", tmp_path / "out"]
    result = CliRunner().invoke(
        app, [str(word) for word in command] + [word.format(**names) for word in words]
    )
    said = " ".join(result.output.split())
    assert result.exit_code == code, said
    assert message.format(**names) in said
    assert not (tmp_path / "out").exists()


def test_what_is_no_shipped_network_is_refused(translated: Run, new: Path, tmp_path: Path) -> None:
    def refused(place: Path) -> tuple[int, str]:
        command = ["adapt", "--continue", place, "--target", new, "-o", tmp_path / "out"]
        result = CliRunner().invoke(app, [str(word) for word in command])
        return result.exit_code, " ".join(result.output.split())

    code, said = refused(tmp_path / "nowhere")
    assert code == 2
    assert (
        f"--continue {tmp_path / 'nowhere'}: expected a bundle that 'tgkt-edge export' wrote, or a run folder"
        in said
    )
    half = shutil.copytree(translated.path, tmp_path / "half")
    Run(half).target.unlink()
    code, said = refused(half)
    assert code == 4
    assert "this run is not finished" in said
    damaged = shutil.copytree(translated.path, tmp_path / "damaged")
    Run(damaged).target.write_bytes(Run(damaged).target.read_bytes()[:-1])
    code, said = refused(damaged)
    assert code == 4
    assert "target.safetensors" in said


def test_what_it_goes_on_from_is_never_written_over(translated: Run, new: Path) -> None:
    before = load_tensors(translated.target)[1]
    command = ["adapt", "--continue", translated.path, "--target", new, "-o", translated.path, "--overwrite"]
    result = CliRunner().invoke(app, [str(word) for word in command])
    assert result.exit_code == 2
    assert f"--continue {translated.path} lies inside it" in " ".join(result.output.split())
    assert load_tensors(translated.target)[1] == before


def test_a_sensor_is_asked_for_where_nothing_is_continued(new: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["adapt", "--target", str(new), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "give --sensor" in " ".join(result.output.split())
    command = [
        "adapt",
        "--target",
        str(new),
        "--sensor",
        "depth",
        "-o",
        str(tmp_path / "out"),
        "--method",
        "continue",
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "--method continue comes with --continue" in " ".join(result.output.split())
    result = CliRunner().invoke(app, [*command[:-2], "--old-frames", str(new)])
    assert result.exit_code == 2
    assert "only where a network is continued. Give --continue" in " ".join(result.output.split())
