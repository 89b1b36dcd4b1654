"""A small real bundle, real frames, and the command as a real process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.sensor import PRESETS, SensorSpec

CLASSES = ("bedroom", "kitchen", "office")
SIZE = 32
ROOT = Path(__file__).resolve().parents[2]
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def save_model(path: Path, classes: tuple[str, ...] = CLASSES, size: int = SIZE, **changes: Any) -> None:
    """A graph with random weights: 8x8 convolution, pooling, linear layer, softmax. ``changes`` break it on purpose."""
    rng = np.random.default_rng(0)
    count = len(classes)
    weights = {
        "kernel": rng.normal(size=(6, 1, 8, 8)).astype(np.float32),
        "matrix": rng.normal(size=(6, count)).astype(np.float32),
        "bias": rng.normal(size=count).astype(np.float32),
    }
    if count == 3:  # so that each class wins some of make_frames()
        weights["bias"] += np.array([2.8, -0.6, 1.9], np.float32)
    name = changes.get("input", "frame")
    nodes = [
        helper.make_node("Conv", [name, "kernel"], ["c"], strides=[4, 4]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "matrix", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [changes.get("output", "probabilities")], axis=1),
    ]
    outputs = ["logits", changes.get("output", "probabilities")]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, size, size])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", count]) for output in outputs],
        [numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(
        key="tgkt_edge.classes", value=json.dumps(list(changes.get("metadata", classes)))
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def save_bundle(path: Path, spec: SensorSpec = PRESETS["depth"]) -> Bundle:
    """A bundle folder of the tiny model for one sensor."""
    path.mkdir(parents=True)
    save_model(path / "model.onnx")
    return Bundle(path=path, classes=CLASSES, sensor=spec, size=SIZE).write()


def make_frames(count: int, dtype: str = "uint16", seed: int = 0) -> list[NDArray[Any]]:
    """Frames of (48, 64) with structure, so that the tiny model's answers differ; no raw count is 0."""
    rng = np.random.default_rng(seed)
    top = 8000 if dtype == "uint16" else 255
    frames = []
    for _ in range(count):
        coarse = rng.uniform(1, top * rng.uniform(0.1, 1), size=(6, 8))
        noise = rng.uniform(0.8, 1.0, size=(48, 64))
        frames.append(np.maximum(np.kron(coarse, np.ones((8, 8))) * noise, 1).astype(dtype))
    return frames


def save_frames(folder: Path, frames: list[NDArray[Any]], pattern: str = "frame_{}.png") -> Path:
    """Write frames as numbered image files without leading zeros; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / pattern.format(number)), frame)
    return folder


@dataclass(frozen=True)
class Finished:
    """A process that has ended: exit code, stdout's JSON objects, stderr.

    Attributes:
        records: all but ``start``, the event that each run begins with; None: it did not.
    """

    code: int
    records: list[dict[str, Any]]
    stderr: str
    start: dict[str, Any] | None = None


def command(*arguments: object) -> list[str]:
    """The command line that starts tgkt-edge in this interpreter."""
    return [sys.executable, "-m", "tgkt_edge", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """The environment under which a subprocess finds the package, installed or not."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **more}


def run_cli(*arguments: object, **env: str) -> Finished:
    """Run tgkt-edge in a process of its own to its end."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**env), timeout=60, check=False
    )
    start, records = split_start(done.stdout)
    return Finished(done.returncode, records, done.stderr, start)


def split_start(text: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The start event that JSON lines begin with, if they do, and the records after it."""
    records: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    if records and records[0].get("event") == "start":
        return records[0], records[1:]
    return None, records


@dataclass(frozen=True)
class Kit:
    """The helpers above, for tests: this folder is no package, so they cannot be imported."""

    save_model: Callable[..., None]
    save_bundle: Callable[..., Bundle]
    make_frames: Callable[..., list[NDArray[Any]]]
    save_frames: Callable[..., Path]
    command: Callable[..., list[str]]
    environment: Callable[..., dict[str, str]]
    run_cli: Callable[..., Finished]
    split_start: Callable[[str], tuple[dict[str, Any] | None, list[dict[str, Any]]]]
    until: Callable[..., None]
    classes: tuple[str, ...] = CLASSES
    size: int = SIZE


@pytest.fixture(scope="session")
def kit() -> Kit:
    """The helpers of this folder."""
    return Kit(
        save_model, save_bundle, make_frames, save_frames, command, environment, run_cli, split_start, until
    )


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled V4L2 shim, for LD_PRELOAD: see the head of v4l2_shim.c."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to compile the V4L2 shim")
    library = tmp_path_factory.mktemp("shim") / "v4l2_shim.so"
    source = Path(__file__).with_name("v4l2_shim.c")
    subprocess.run(
        [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
    )
    return str(library)


@pytest.fixture(scope="session")
def depth_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle for a 16-bit depth camera in millimetres, 0 invalid. Read only."""
    return save_bundle(tmp_path_factory.mktemp("depth") / "bundle")


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        time.sleep(0.01)


class Broker:
    """A Mosquitto in a process of its own that keeps its messages over a restart."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        (folder / "store").mkdir()
        self.config.write_text(
            "\n".join(
                [
                    f"listener {self.port} 127.0.0.1",
                    "user root" if os.geteuid() == 0 else "",
                    "persistence true",
                    f"persistence_location {folder}/store/",
                    "max_queued_messages 0",
                    *(lines or ["allow_anonymous true"]),
                    "",
                ]
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self.answers, "Mosquitto's port")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "Mosquitto ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Reader:
    """A subscriber that the broker remembers over restarts of either."""

    def __init__(
        self, port: int, topic: str = "t/#", ca: Path | None = None, user: str | None = None
    ) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, str, bool]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False)
        if ca is not None:
            self.client.tls_set(str(ca))
        if user is not None:
            self.client.username_pw_set(user, "s3cret")
        self.subscribed = threading.Event()
        self.client.reconnect_delay_set(0.05, 0.1)  # type: ignore[arg-type]  # fractions work
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1) and None
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, m: self.got.append(
            (m.topic, m.payload.decode(), m.retain)
        )
        self.client.connect("127.0.0.1" if ca is None else "localhost", port)
        self.client.loop_start()
        assert self.subscribed.wait(20)

    def frames(self) -> list[int]:
        return [json.loads(payload)["frame"] for topic, payload, _ in list(self.got) if topic == "t"]

    def last(self, topic: str) -> str | None:
        found = [payload for name, payload, _ in list(self.got) if name == topic]
        return found[-1] if found else None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="session")
def mosquitto() -> type[Broker]:
    """The class of real brokers."""
    if not Path(MOSQUITTO).exists():
        pytest.skip("Mosquitto is not installed")
    return Broker


@pytest.fixture(scope="session")
def subscriber() -> type[Reader]:
    """The class of real subscribers."""
    return Reader


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The reading and the writing end of a pipe."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as taken, os.fdopen(writer, "w") as given:
        yield taken, given
