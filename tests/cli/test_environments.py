"""Commands as services, cron jobs and containers start them: without streams, home, name, locale, folder or disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.bundles import save_near_or_far
from tests.support.checkout import REPOSITORY

pytestmark = pytest.mark.slow
NUMBER = 54321  # a user without a name, as `docker run --user` makes
LABELS = ("near", "Küche")


@dataclass(frozen=True)
class Place:
    """A folder that any user may read, with a bundle and frames; ``out`` may be written by any user."""

    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def out(self) -> Path:
        return self.folder / "out"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    found = Place(Path(tempfile.mkdtemp(prefix="tgkt-edge-environments-")))
    save_near_or_far(found.bundle, LABELS)
    (found.folder / "frames").mkdir()
    for name, millimetres in (("a.png", 1000), ("b.png", 7000)):
        frame = np.full((48, 64), millimetres, np.uint16)
        assert cv2.imwrite(str(found.folder / "frames" / name), frame)
    rows = f"frame,label\nframes/a.png,{LABELS[0]}\nframes/b.png,{LABELS[1]}\n"
    (found.folder / "labels.csv").write_text(rows, encoding="utf-8")
    for path in (found.folder, *found.folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    found.out.mkdir()
    found.out.chmod(0o777)
    yield found
    shutil.rmtree(found.folder)


@dataclass(frozen=True)
class Environment:
    """How a command is started.

    Attributes:
        variables: the whole environment but what finds the package. closed: descriptors.
        user: a command in front that changes it.
        folder: the working directory; "deleted": one that no longer exists. shell: runs the command, ``"$@"``.
    """

    variables: dict[str, str] = field(default_factory=dict)
    closed: tuple[int, ...] = ()
    user: str = ""
    folder: str = "/"
    shell: str = '"$@"'


ORDINARY = {"PATH": os.environ.get("PATH", ""), "HOME": "/tmp", "LANG": "C.UTF-8", "TERM": "xterm"}
READ_ONLY = 'mount --make-rprivate / && mount -o remount,bind,ro / && exec "$@"'
# May read what belongs to others, as this checkout and its interpreter, but write only what anybody may.
_MAY_READ = "--inh-caps +dac_read_search --ambient-caps +dac_read_search"
NOBODY = f"setpriv --reuid {NUMBER} --regid {NUMBER} --clear-groups {_MAY_READ}"
ENVIRONMENTS = {
    "stderr closed": Environment(ORDINARY, closed=(2,)),
    "stdin closed": Environment(ORDINARY, closed=(0,)),
    "stdin, stdout, stderr closed": Environment(ORDINARY, closed=(0, 1, 2)),
    "no variables": Environment(),
    "no home, no name": Environment(user=NOBODY),
    "home does not exist": Environment({**ORDINARY, "HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}),
    "C": Environment({**ORDINARY, "LC_ALL": "C"}),
    "POSIX, no UTF-8 mode": Environment({"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "locale that is not installed": Environment({**ORDINARY, "LC_ALL": "xx_YY.ISO-8859-1", "PYTHONUTF8": "0"}),
    "dumb terminal": Environment({**ORDINARY, "TERM": "dumb", "COLUMNS": "0"}),
    "folder deleted": Environment(ORDINARY, folder="deleted"),
    "folder not writable": Environment(ORDINARY, user=NOBODY, folder="/"),
    "temporary folder absent": Environment({**ORDINARY, "TMPDIR": "/nonexistent"}),
    "temporary folder not writable": Environment({**ORDINARY, "TMPDIR": "/proc"}, user=NOBODY),
    "unbuffered": Environment({**ORDINARY, "PYTHONUNBUFFERED": "1"}),
    "read-only": Environment(ORDINARY, shell=f"unshare -m sh -c '{READ_ONLY}' sh \"$@\""),
    "all of it": Environment(
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TMPDIR": "/nonexistent"},
        closed=(0, 2), user=NOBODY, folder="deleted",
    ),
}  # fmt: skip
READS = [
    "run {bundle} --camera {frames}",
    "inspect {bundle} --json",
    "verify {bundle} --json",
    "doctor --json",
    "--help",
]
READS += ["evaluate {bundle} --data {labels} --json", "--version"]
READS += ["compare {bundle} {bundle} --frames {frames} --json", "data presets --json"]
WRITES = [
    "record --camera {frames} --sensor depth -o {out}/recording",
    "run {bundle} --camera {frames} --sink jsonl:{out}/answers.jsonl",
    "export {bundle} -o {out}/bundle --precision fp16 --calibrate {frames} --max-drop 1",
    "benchmark {bundle} --seconds 0.1 --rounds 1 --engine cpu --json {out}/times.json",
    "predict {bundle} {frames} -o {out}/table.csv",
]


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


Start = Callable[[Environment, str], Done]


@pytest.fixture
def start(place: Place) -> Start:
    """Runs a command in an environment; ``{bundle}``, ``{frames}`` and ``{out}`` are of :class:`Place`."""

    def run(environment: Environment, text: str) -> Done:
        words = text.format(
            bundle=place.bundle,
            frames=place.folder / "frames",
            out=place.out,
            labels=place.folder / "labels.csv",
        ).split()
        closes = " ".join(f"{number}{'<' if number == 0 else '>'}&-" for number in environment.closed)
        script, folder = f"{environment.user} {environment.shell}", environment.folder
        if folder == "deleted":
            folder = tempfile.mkdtemp(dir=place.out)
            os.chmod(folder, 0o777)
            script = f'rmdir "$PWD"; {script}'
        own = {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["/bin/sh", "-c", f"{script} {closes}", "sh", sys.executable, "-m", "tgkt_edge", *words], cwd=folder,
            env={**environment.variables, **own}, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        return Done(
            done.returncode, done.stdout.decode("ascii", "replace"), done.stderr.decode(errors="replace")
        )

    return run


PROBED: dict[tuple[str, str], int] = {}
"""Exit codes of ``--version`` by user and shell."""


def _skip_unless_possible(name: str, start: Start) -> None:
    """Other users and mounts need root, and a checkout that another user may read."""
    environment = ENVIRONMENTS[name]
    if environment.user or "unshare" in environment.shell:
        if os.geteuid() != 0:
            pytest.skip("only root can start a process as another user, or on a file system of its own")
        key = environment.user, environment.shell
        if key not in PROBED:
            probe = Environment({}, user=environment.user, shell=environment.shell)
            PROBED[key] = start(probe, "--version").code
        if PROBED[key]:
            pytest.skip("this machine forbids it, or another user may not read this checkout")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_frames_are_classified(name: str, start: Start, place: Place) -> None:
    _skip_unless_possible(name, start)
    environment = ENVIRONMENTS[name]
    command = READS[0]
    answers = place.out / f"{name.replace(' ', '_')}.jsonl"
    if name != "read-only":
        command += f" --sink jsonl:{answers}" + ("" if 1 in environment.closed else " --sink jsonl:-")
    done = start(environment, command)
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr
    written = answers.read_text().splitlines() if name != "read-only" else []
    for lines in (
        written or done.stdout.splitlines(),
        [] if 1 in environment.closed else done.stdout.splitlines(),
    ):
        found = {json.loads(line).get("label") for line in lines if '"event"' not in line}
        assert not lines or found == set(LABELS)
    assert written or done.stdout
    if 2 not in environment.closed:
        assert "2 frames (0 bad, 0 dropped)" in done.stderr


@pytest.mark.parametrize("name", ["folder deleted", "read-only", "all of it"])
@pytest.mark.parametrize("command", READS[1:])
def test_every_command_that_reads_works(name: str, command: str, start: Start) -> None:
    _skip_unless_possible(name, start)
    done = start(ENVIRONMENTS[name], command)
    assert done.code == 0, done.stderr
    assert done.stdout
    if "--json" in command:
        assert isinstance(json.loads(done.stdout), dict)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["stdin, stdout, stderr closed", "all of it"])
@pytest.mark.parametrize("command", WRITES)
def test_every_command_that_writes_works(name: str, command: str, start: Start, place: Place) -> None:
    _skip_unless_possible(name, start)
    if "answers" in command and name == "all of it":
        command += " --sink jsonl:-"
    shutil.rmtree(place.out)
    place.out.mkdir()
    place.out.chmod(0o777)
    done = start(ENVIRONMENTS[name], command)
    assert done.code == 0, done.stderr
    beside = command.startswith("predict")  # what the table was made of
    assert len(list(place.out.iterdir())) == 1 + beside
    assert "Traceback" not in done.stderr


def test_a_run_whose_answers_go_nowhere_is_refused(start: Start) -> None:
    done = start(Environment(ORDINARY, closed=(1,)), READS[0])
    assert done.code == 2
    assert "stdout is closed, where the decisions should go: open it, or give --sink" in done.stderr


def test_training_in_a_deleted_folder_is_refused(start: Start) -> None:
    """Where PyTorch's MKL would end the process."""
    command = "adapt --target {frames} --sensor depth --source-model {frames}/none --method source-only -o {out}/run"
    done = start(ENVIRONMENTS["folder deleted"], command)
    assert done.code == 2
    assert (
        "needs PyTorch, which does not work here: the current folder was deleted. Go to another one"
        in done.stderr
    )


def test_relative_paths_in_a_deleted_folder_and_a_home_that_is_not_there_are_named(start: Start) -> None:
    done = start(ENVIRONMENTS["folder deleted"], "record --camera {frames} --sensor depth -o recording")
    assert done.code != 0
    assert "Traceback" not in done.stderr
    if os.geteuid() == 0:
        done = start(ENVIRONMENTS["no home, no name"], READS[0] + " --sink jsonl:~/answers.jsonl")
        assert done.code == 2
        assert "'~' means a home folder, which this user has none of" in done.stderr
