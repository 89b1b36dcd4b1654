"""Fixtures of all tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.testing

from tests.support.checkout import REPOSITORY, Layout, find_layout
from tests.support.leftovers import folder_of_runs, remove_leftovers
from tests.support.scheduling import FilesThenAlone, list_of_alone, order_for_workers
from tests.support.turns import lock_of, turn
from tgkt_edge.errors import MissingDependency
from tgkt_edge.trt import library as trt

TRAINED = {"finished", "translated", "run", "work"}
"""Fixtures that train a network. Whatever asks for one is slow, because it may be the first."""


def pytest_sessionstart(session: pytest.Session) -> None:
    if run_of_workers(session.config) is None:
        remove_leftovers(folder_of_runs())


@pytest.hookimpl(tryfirst=True)  # before the tests of ``-m`` are chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if TRAINED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    if (run := run_of_workers(config)) is not None:
        order_for_workers(items, run)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesThenAlone | None:
    """A better ``--dist loadfile``."""
    return FilesThenAlone(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, tryfirst=True)  # fixtures, too, are made within the turn
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Where several workers run, a test that is marked ``alone`` waits for the others' and holds them up."""
    if (run := run_of_workers(item.config)) is None:
        return (yield)
    with turn(lock_of(run), alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (run := run_of_workers(session.config)) is not None:
        for file in (lock_of(run), lock_of(run).with_suffix(".gate"), list_of_alone(run)):
            file.unlink(missing_ok=True)


def run_of_workers(config: pytest.Config) -> str | None:
    """The id that all workers of this run share; None where this process is no worker."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    return None if worker is None else worker["testrunuid"]


@pytest.fixture(scope="session", autouse=True)
def hang_up_as_usual() -> Iterator[None]:
    """Under nohup SIGHUP is ignored, by every process that a test starts, too; here it means what it usually does."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept in a user's cache folder, such as measured times, stays out of this user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Iterator[None]:
    """Files of hundreds of megabytes need not reach the disk before a test goes on; most are gone a second later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses the same descriptors
        yield


@pytest.fixture(scope="session", autouse=True)
def command_line_built_once() -> Iterator[None]:
    """``CliRunner`` builds all commands at every call, which takes longer than most tests of one need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="module")
def module_folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """Makes empty folders for fixtures of a module. They go with its last test, unless one of its tests failed."""
    failed, made = request.session.testsfailed, list[Path]()

    def make(name: str) -> Path:
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]

    yield make
    if request.session.testsfailed == failed:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real frames that are not part of the project: ``TGKT_EDGE_DATA``, else ``../shared/data`` beside the checkout."""
    path = Path(os.environ.get("TGKT_EDGE_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no real data: {path} does not exist (set TGKT_EDGE_DATA)")
    return path


@pytest.fixture(scope="session")
def rtx() -> trt.TensorRt:
    """TensorRT-RTX, which builds plans for GPUs that are not here."""
    try:
        found = trt.find()
    except MissingDependency as error:
        pytest.skip(str(error))
    if found.flavour != "tensorrt_rtx":
        pytest.skip(f"{found.text} is installed here, not TensorRT-RTX")
    return found


@pytest.fixture(scope="session")
def layout() -> Layout:
    """Of this checkout."""
    return find_layout()
