"""The old file or the new one, never half of one: after an error, a kill, a full disk."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.atomic import (
    atomic_file,
    atomic_folder,
    sha256_of,
    write_json,
    write_text,
)

OLD = "the old text\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "report.json"
    write_text(path, OLD)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "bundle"
    write_text(path / "old.txt", OLD)
    return path


def names(folder: Path) -> list[str]:
    """All that lies in a folder, hidden leftovers too."""
    return sorted(path.name for path in folder.iterdir())


def test_sha256_of_known_bytes_and_of_more_than_one_block(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    data = bytes(range(256)) * 5000  # 1.28 MB
    path.write_bytes(data)
    assert sha256_of(path) == hashlib.sha256(data).hexdigest()


def test_a_file_is_replaced_and_nothing_else_is_left(file: Path) -> None:
    write_text(file, "Grüße\n")
    assert file.read_bytes() == "Grüße\n".encode()
    assert names(file.parent) == ["report.json"]


def test_who_reads_the_old_file_reads_it_to_its_end(file: Path) -> None:
    with file.open(encoding="utf-8") as reader:
        write_text(file, "new")
        assert reader.read() == OLD  # the new text came under the old name, not into the old file


def test_the_new_file_has_the_permissions_that_open_would_give(tmp_path: Path) -> None:
    plain, written = tmp_path / "plain", tmp_path / "written"
    plain.touch()
    write_text(written, "")
    assert written.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("there", [True, False])
def test_a_file_is_written_through_a_link(file: Path, there: bool) -> None:
    link = file.parent / "latest.json"
    (file.parent / "way").symlink_to(file.name)
    link.symlink_to("way")
    if not there:
        file.unlink()
    write_text(link, "new")
    assert (link.is_symlink(), file.is_symlink()) == (True, False)
    assert file.read_text(encoding="utf-8") == "new"
    assert names(file.parent) == ["latest.json", "report.json", "way"]


@pytest.mark.slow
def test_what_is_written_to_a_fifo_reaches_its_reader(tmp_path: Path) -> None:
    fifo, copy = tmp_path / "fifo", tmp_path / "copy"
    os.mkfifo(fifo)
    with copy.open("wb") as out, subprocess.Popen(["timeout", "60", "cat", str(fifo)], stdout=out) as reader:
        with pytest.raises(ValueError, match="in the middle"), atomic_file(fifo) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise ValueError("in the middle")
        write_text(fifo, "Grüße\n" * 30_000)  # more than a pipe holds
    assert reader.returncode == 0
    assert copy.read_text(encoding="utf-8") == "Grüße\n" * 30_000
    assert fifo.is_fifo()
    assert names(tmp_path) == ["copy", "fifo"]


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_text("")
    except PermissionError:
        pytest.skip("no device can be made and opened here")
    write_text(device, "new")
    assert device.is_char_device()
    assert names(tmp_path) == ["null"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_what_is_open_already_is_added_to(file: Path, name: str) -> None:
    write = "import sys; from pathlib import Path; from tgkt_edge.io.atomic import write_text; "
    with file.open("a", encoding="utf-8") as out:
        command = [sys.executable, "-c", write + "write_text(Path(sys.argv[1]), 'new')", name]
        subprocess.run(command, stdout=out, timeout=60, check=True)
        assert file.read_text(encoding="utf-8") == OLD + "new"
        out.write("!")
    assert file.read_text(encoding="utf-8") == OLD + "new!"
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    assert done.stdout == b"new"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_what_is_printed_before_and_after_stays(file: Path, name: str) -> None:
    write = "import sys; from pathlib import Path; from tgkt_edge.io.atomic import write_text; "
    code = write + "print('before'); write_text(Path(sys.argv[1]), 'new\\n'); print('after')"
    with file.open("w", encoding="utf-8") as out:  # as > of a shell, not >>
        subprocess.run([sys.executable, "-c", code, name], stdout=out, timeout=60, check=True)
    assert file.read_text(encoding="utf-8") == "before\nnew\nafter\n"


def test_a_folder_is_no_file_to_write(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: expected a file"), atomic_file(folder):
        pytest.fail("the body must not run")
    assert names(folder.parent) == ["bundle"]


@pytest.mark.parametrize("error", [ValueError("in the middle"), KeyboardInterrupt()])
def test_an_exception_inside_leaves_the_old_file(file: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), atomic_file(file) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise error
    assert file.read_text(encoding="utf-8") == OLD
    assert names(file.parent) == ["report.json"]


def test_write_json_refuses_nan_and_leaves_the_old_file(file: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, {"accuracy": float("nan")})
    assert file.read_text(encoding="utf-8") == OLD
    write_json(file, {"accuracy": 0.5, "classes": ["a", "b"]})
    assert json.loads(file.read_text(encoding="utf-8")) == {"accuracy": 0.5, "classes": ["a", "b"]}


def test_a_place_that_cannot_be_written_is_named(file: Path) -> None:
    below_a_file = file / "sub" / "x.json"
    with pytest.raises(TgktEdgeError, match=r"cannot write .*x\.json") as caught:
        write_text(below_a_file, "x")
    assert caught.value.exit_code == 1
    with pytest.raises(TgktEdgeError, match="cannot write"), atomic_folder(file / "sub"):
        pytest.fail("the body must not run")


KILLED = """
import sys, time
from pathlib import Path
from tgkt_edge.io.atomic import atomic_file, atomic_folder
path = Path(sys.argv[1])
if sys.argv[2] == "file":
    with atomic_file(path) as temporary, temporary.open("w") as out:
        out.write("half of the new te")
        out.flush()
        print("halfway", flush=True)
        time.sleep(60)
with atomic_folder(path, overwrite=True) as temporary:
    (temporary / "new.txt").write_text("half of the new te")
    print("halfway", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_killed_process_leaves_the_old(what: str, file: Path, folder: Path) -> None:
    path = file if what == "file" else folder
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), what], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halfway\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (file if what == "file" else folder / "old.txt").read_text(encoding="utf-8") == OLD
    assert names(folder) == ["old.txt"]


# EFBIG: the limit on a file's size stands for the disk, for every user. ENOSPC: a real full disk, in a name space
# of its own where the system allows one.
TOO_BIG = """
import resource, sys
from pathlib import Path
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.atomic import atomic_folder, write_text
path = Path(sys.argv[1])
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
(path / "old").mkdir()
write_text(path / "old" / "text", "old")
for attempt in range(2):
    try:
        if attempt == 0:
            write_text(path / "old" / "text", "x" * 200000)
        else:
            with atomic_folder(path / "old", overwrite=True) as temporary:
                write_text(temporary / "text", "x" * 200000)
    except TgktEdgeError as error:
        print(error)
    assert (path / "old" / "text").read_text() == "old"
    assert [found.name for found in path.rglob("*")] == ["old", "text"]
"""


def run_too_big(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_write_that_the_system_cuts_off_leaves_the_old_and_says_so(tmp_path: Path) -> None:
    done = run_too_big([sys.executable, "-c", TOO_BIG, str(tmp_path), "limit"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("File too large. The earlier content is intact.") == 2


def with_a_disk(
    mount: str, point: Path, *command: str, arguments: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``command POINT ARGUMENTS`` in a name space where ``mount`` has mounted a disk at ``point``."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    shell = ["unshare", *user, "--mount", "sh", "-c"]
    try:
        able = run_too_big([*shell, f'{mount} "$1"', "sh", str(point)])
    except FileNotFoundError:
        pytest.skip("no unshare: a small disk cannot be mounted")
    if able.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {able.stderr.strip()}")
    script = f'{mount} "$1" && shift && exec "$@"'
    return run_too_big([*shell, script, "sh", str(point), *command, str(point), *arguments])


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_and_says_so(tmp_path: Path) -> None:
    mount = "mount -t tmpfs -o size=64k tmpfs"
    done = with_a_disk(mount, tmp_path, sys.executable, "-c", TOO_BIG, arguments=("disk",))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("No space left on device. The earlier content is intact.") == 2


MOUNT_POINT = """
import sys
from pathlib import Path
from tgkt_edge.errors import UsageError
from tgkt_edge.io.atomic import atomic_folder
try:
    with atomic_folder(Path(sys.argv[1])):
        print("the body must not run")
except UsageError as error:
    print(error)
print([found.name for found in Path(sys.argv[1]).parent.iterdir()])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "mount", ["mount -t tmpfs tmpfs", "mount --bind EMPTY"]
)  # of the same disk: as docker -v
def test_a_mount_point_is_refused_at_once(tmp_path: Path, mount: str) -> None:
    point, empty = tmp_path / "in" / "a disk", tmp_path / "empty"
    point.mkdir(parents=True)
    empty.mkdir()
    done = with_a_disk(mount.replace("EMPTY", str(empty)), point, sys.executable, "-c", MOUNT_POINT)
    assert done.returncode == 0, done.stderr
    assert f"{point} cannot be replaced: it is a mount point. Name" in done.stdout
    assert done.stdout.endswith("['a disk']\n")
