"""The command's shell: what help loads, version, exit codes and tracebacks."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.bundles import save_bundle
from tests.support.cli import cli_command, cli_environment
from tests.support.images import make_frames, save_frames
from tgkt_edge import __version__
from tgkt_edge.cli.main import app
from tgkt_edge.runtime.sinks import SCHEMES, broker, line_file, video
from tgkt_edge.runtime.sinks.frames import open as frames_open
from tgkt_edge.runtime.sinks.live import server

NO_BUNDLE = ["run", "/no/bundle", "--camera", "."]

HEAVY = (
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "cv2",
    "sklearn",
    "tensorrt",
    "tensorrt_rtx_bindings",
    "tgkt_edge.train",
    "tgkt_edge.export",
)


def loaded_after(code: str) -> set[str]:
    """Names of HEAVY that a fresh interpreter holds after ``code``."""
    report = f"import sys\ntry:\n    {code}\nexcept SystemExit as e:\n    assert not e.code\n"
    report += f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, env=cli_environment(), check=True
    )
    line = done.stdout.splitlines()[-1]
    assert line.startswith("HEAVY ")
    return {name for name in HEAVY if f"'{name}'" in line}


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "sys.argv[1:] = ['--help']; from tgkt_edge.cli.main import main; main()",
        "sys.argv[1:] = ['run', '--help']; from tgkt_edge.cli.main import main; main()",
        "import tgkt_edge.runtime",
    ],
)
def test_help_and_runtime_load_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


@pytest.mark.slow
def test_the_probe_itself_sees_heavy_modules() -> None:
    assert loaded_after("import cv2") == {"cv2"}


@pytest.mark.slow
def test_running_loads_neither_torch_nor_training(tmp_path: Any, depth_bundle: Any) -> None:
    save_frames(tmp_path, make_frames(1))
    code = (
        f"sys.argv[1:] = ['run', {str(depth_bundle.path)!r}, '--camera', {str(tmp_path)!r}]; "
        f"from tgkt_edge.cli.main import main; main()"
    )
    assert loaded_after(code) == {"onnxruntime", "cv2"}


def invoke(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cli_command(*arguments), capture_output=True, text=True, env=cli_environment(**env), check=False
    )


@pytest.mark.slow
def test_version_goes_to_stdout() -> None:
    done = invoke("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tgkt-edge {__version__}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], NO_BUNDLE])
def test_a_closed_stdout_is_no_error_of_its_own(arguments: list[str]) -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *cli_command(*arguments)]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, env=cli_environment(), check=False)
    assert done.returncode == (4 if arguments == NO_BUNDLE else 0)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_is_plain_text() -> None:
    done = invoke("run", "--help", COLUMNS="80")
    assert done.returncode == 0
    assert "--camera" in done.stdout
    assert done.stdout.isascii()  # no boxes


@pytest.mark.slow
def test_help_of_run_lists_every_kind_of_sink_with_every_option() -> None:
    text = invoke("run", "--help", COLUMNS="80").stdout
    paragraphs = text[text.index("Options of sinks") :].split("\n\n")[1:]
    kinds = {
        ("jsonl", "csv"): line_file.OPTIONS,
        ("mqtt", "mqtts"): broker.OPTIONS,
        ("video",): video.OPTIONS,
        ("frames",): frames_open.OPTIONS,
        ("http", "https"): (*server.OPTIONS, *server.TLS_OPTIONS),
    }
    assert {scheme for schemes in kinds for scheme in schemes} == set(SCHEMES)
    for paragraph, (schemes, options) in zip(paragraphs, kinds.items(), strict=True):
        assert all(f"{scheme}:" in paragraph for scheme in schemes)
        assert set(re.findall(r"(\w+)=", paragraph)) == {*options}


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--wings"], ["run"]])
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Usage:" in done.stderr


@pytest.mark.slow
def test_errors_are_one_line_without_a_traceback() -> None:
    done = invoke(*NO_BUNDLE)
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith("error: /no/bundle does not exist")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("flags", "env"), [(["--debug"], {}), ([], {"TGKT_EDGE_DEBUG": "1"})])
def test_debug_shows_the_traceback(flags: list[str], env: dict[str, str]) -> None:
    done = CliRunner().invoke(app, [*flags, *NO_BUNDLE], env=env)
    assert done.exit_code == 4
    assert "Traceback" in done.stderr
    assert "error: /no/bundle does not exist" in done.stderr


# Files that may not be read


@pytest.fixture
def as_a_user() -> list[str]:
    """What to put before a command so that permissions hold for it, even if root runs the tests."""
    if os.geteuid() != 0:
        return []
    caps = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"]
    try:
        subprocess.run([*command, "true"], capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("root reads every file, and there is no setpriv to give that up")
    return command


SPEC = "kind: depth\nunit_m: 0.001\nnear_m: 0\nfar_m: 8\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("closed", "arguments", "code", "named"),
    [
        ("bundle/manifest.json", ["inspect", "bundle"], 4, "bundle/manifest.json cannot be read"),
        ("bundle/manifest.json", ["verify", "bundle", "--frames", "frames"], 4, "manifest.json cannot be read"),
        ("bundle/model.onnx", ["inspect", "bundle"], 4, "1 of its files cannot be trusted"),
        ("bundle/model.onnx", ["inspect", "bundle/model.onnx"], 2, "is not readable"),
        ("bundle/model.onnx", ["verify", "bundle", "--frames", "frames"], 4, "model.onnx cannot be read"),
        ("bundle/model.onnx", ["run", "bundle", "--camera", "frames"], 4, "model.onnx cannot be read"),
        ("bundle", ["inspect", "bundle"], 2, "is not readable"),
        ("bundle", ["inspect", "bundle/model.onnx"], 4, "model.onnx cannot be read"),
        ("bundle", ["run", "bundle", "--camera", "frames"], 2, "is not readable"),
        ("spec.yaml", ["run", "bundle", "--camera", "frames", "--sensor", "spec.yaml"], 2, "--sensor spec.yaml cannot"),
        ("config.yaml", ["adapt", "--target", "frames", "--paired", "frames", "--sensor", "depth", "--config",
                         "config.yaml", "-o", "run"], 1, "error: config.yaml: Permission denied"),
    ],
)  # fmt: skip
def test_what_may_not_be_read_is_named(
    closed: str, arguments: list[str], code: int, named: str, tmp_path: Path, depth_bundle: Any,
    as_a_user: list[str],
) -> None:  # fmt: skip
    shutil.copytree(depth_bundle.path, tmp_path / "bundle")
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "config.yaml").write_text("batch: 4\n")
    save_frames(tmp_path / "frames", make_frames(1))
    (tmp_path / closed).chmod(0)
    done = subprocess.run(
        [*as_a_user, *cli_command(*arguments)], capture_output=True, text=True, env=cli_environment(), cwd=tmp_path,
        check=False,
    )  # fmt: skip
    (tmp_path / closed).chmod(0o700)
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_name_that_the_terminal_cannot_spell_is_no_traceback(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    dataclasses.replace(bundle, classes=("b\u00fcro", "\U0001f373 kitchen", "office")).write()
    done = subprocess.run(
        cli_command("inspect", bundle.path), capture_output=True, check=False,
        env=cli_environment(PYTHONIOENCODING="latin-1:strict"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\\U0001f373 kitchen" in done.stdout.decode("latin-1")
