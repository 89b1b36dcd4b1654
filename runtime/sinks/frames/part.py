"""One part of the folder: a recording of ``record``'s format that never grows beyond its share of the budget.

A frame's file is on the disk before its line enters the index; a file leaves the disk after its line. So every line
names a file that is there, whenever the power goes, and what no line names is removed when the folder is opened again.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.io.recording_format import FRAMES, INDEX, SPEC
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.sinks.json_encoding import encode
from tgkt_edge.sensor import SensorSpec, load_sensor

BLOCK = 4096
"""Bytes in which a disk gives room."""

SLACK = 0.05
"""Share of a part that is made free at a time, so that the index is not written again for every frame."""

_PNG_EFFORT = 1  # as the recorder's


@dataclass(frozen=True)
class Kept:
    """A frame of a part: its number, what it costs in bytes, its score, digest, file, and its line."""

    number: int
    cost: int
    score: float
    digest: str
    file: str
    line: str
    picture: NDArray[np.uint8] | None = None


class Part:
    """Keeps the frames with the highest scores that fit; of equal ones the newer.

    Args:
        folder: made when the first frame is kept. quota: bytes that it may take. floor: largest score of a frame that
            was once refused or removed for want of room: smaller ones are no longer taken, so that the rest is exactly
            what lies above it.

    Attributes:
        kept: frames by number.
    """

    def __init__(self, folder: Path, quota: int, floor: float = -1.0) -> None:
        self.folder, self.quota, self.floor = folder, quota, floor
        self.kept: dict[int, Kept] = {}
        self._used = self._next = 0
        self._begun = False

    def open(self) -> None:
        """Take up what is there: lines that are whole and whose files exist; what else lies there is removed.

        Raises:
            OSError: it cannot be read or mended.
        """
        index = self.folder / INDEX
        if not index.is_file():
            return
        text = index.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines(keepends=True):
            one = _kept(self.folder, line)
            if one is not None:
                self.kept[one.number] = one
                self._used += one.cost
                self._next = max(self._next, one.number + 1)
        if text != self._text():
            self._write_index()
        named = {one.file for one in self.kept.values()}
        for path in (self.folder / FRAMES).iterdir() if (self.folder / FRAMES).is_dir() else ():
            if f"{FRAMES}/{path.name}" not in named:
                path.unlink()
        for path in self.folder.glob(".*.tmp"):
            path.unlink()

    def spec(self) -> SensorSpec | None:
        """The SensorSpec that lies there, with the frames' size; None: no frame was kept yet."""
        path = self.folder / SPEC
        return load_sensor(str(path)) if path.is_file() else None

    @property
    def fill(self) -> float:
        """Share of the quota that is taken, 0 to 1."""
        return self._used / self.quota

    def wants(self, score: float) -> bool:
        """Whether a frame of this score may be worth encoding."""
        return score > self.floor

    def add(
        self,
        frame: NDArray[Any],
        spec: SensorSpec,
        score: float,
        digest: str,
        about: dict[str, Any],
        picture: NDArray[np.uint8] | None = None,
    ) -> tuple[bool, list[Kept]]:
        """Keep a frame if it fits, removing those of lower scores.

        Args:
            about: what else its line holds; ``time`` among it.

        Returns:
            Whether it was kept, and what was removed.

        Raises:
            OSError, TgktEdgeError: the disk refuses; what was kept is as it was.
        """
        suffix, data = _encoded(frame)
        file = f"{FRAMES}/{self._next:06d}{suffix}"
        values: dict[str, Any] = {"number": self._next, **about, "file": file}
        values["crc32"] = zlib.crc32(np.ascontiguousarray(frame).data)
        values.update(score=score, digest=digest, bytes=len(data))
        if picture is not None:
            values["picture"] = picture.tobytes().hex()
        line = encode(values) + "\n"
        cost = _cost(len(data), line)
        gone, fits = self._make_room(cost, score)
        if not fits:
            return False, gone
        self._write(file, data, line, spec, frame.shape)
        one = Kept(self._next, cost, score, digest, file, line, picture)
        self.kept[one.number] = one
        self._next += 1
        self._used += cost
        return True, gone

    def shrink(self) -> list[Kept]:
        """Remove what is over the quota, as after the budget was made smaller; return it."""
        return self._make_room(0, 2.0)[0]

    def remove(self, number: int) -> Kept:
        """Remove one frame."""
        one = self.kept[number]
        self._forget([one])
        return one

    def settle(self, path: Path) -> None:
        """Put a folder's names on the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _make_room(self, cost: int, score: float) -> tuple[list[Kept], bool]:
        """Remove frames of lower scores, the lowest and oldest first, until ``cost`` more fits."""
        if self._used + cost <= self.quota:
            return [], True
        lower = sorted(
            (one for one in self.kept.values() if one.score <= score), key=lambda one: (one.score, one.number)
        )
        aim, left, gone = self.quota * (1 - SLACK) - cost, self._used, []
        for one in lower:
            if left <= max(aim, 0):
                break
            left -= one.cost
            gone.append(one)
        fits = left + cost <= self.quota
        self.floor = max([self.floor, *(one.score for one in gone), *([] if fits else [score])])
        self._forget(gone)
        return gone, fits

    def before_forgetting(self) -> None:
        """Called before frames are removed: what must be on the disk first."""

    def _forget(self, gone: list[Kept]) -> None:
        if not gone:
            return
        self.before_forgetting()
        for one in gone:
            del self.kept[one.number]
        try:
            self._write_index()
        except BaseException:
            self.kept.update({one.number: one for one in gone})
            self.kept = dict(sorted(self.kept.items()))
            raise
        for one in gone:
            self._used -= one.cost
            (self.folder / one.file).unlink(missing_ok=True)

    def _write(self, file: str, data: bytes, line: str, spec: SensorSpec, shape: tuple[int, ...]) -> None:
        """The file, then its line."""
        if not self._begun:
            self._begin(spec, shape)
        path = self.folder / file
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, path)
            self.settle(path.parent)
            self._append(line)
        except OSError:
            for left in (temporary, path):
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)
            raise

    def _begin(self, spec: SensorSpec, shape: tuple[int, ...]) -> None:
        import yaml

        (self.folder / FRAMES).mkdir(parents=True, exist_ok=True)
        if not (self.folder / SPEC).is_file():
            sized = spec if spec.size is not None else spec.with_size(shape[1], shape[0])
            write_text(self.folder / SPEC, yaml.safe_dump(sized.to_dict(), sort_keys=False))
        self._begun = True

    def _append(self, line: str) -> None:
        """One whole line, or an OSError and the index as it was."""
        data = line.encode()
        with (self.folder / INDEX).open("ab", buffering=0) as index:
            before = index.seek(0, os.SEEK_END)
            try:
                done = 0
                while done < len(data):
                    done += index.write(data[done:])
            except OSError:
                with contextlib.suppress(OSError):
                    index.truncate(before)
                raise

    def _text(self) -> str:
        return "".join(one.line for one in self.kept.values())

    def _write_index(self) -> None:
        try:
            write_text(self.folder / INDEX, self._text())
        except TgktEdgeError as error:
            raise OSError(getattr(error.__cause__, "errno", 0) or 0, str(error)) from error


def _cost(size: int, line: str) -> int:
    """Bytes that a frame takes: whole blocks for its file, and its line twice, since the index is written again beside
    the old one."""
    return -(-size // BLOCK) * BLOCK + 2 * len(line.encode())


def _kept(folder: Path, line: str) -> Kept | None:
    """A line of the index; None: it is cut off or damaged, or its file is not there."""
    try:
        values = json.loads(line)
        file = str(values["file"])
        size = (folder / file).stat().st_size
        if not line.endswith("\n") or size != values["bytes"]:
            return None
        picture = values.get("picture")
        return Kept(
            int(values["number"]), _cost(size, line), float(values["score"]), str(values["digest"]), file, line,
            None if picture is None else np.frombuffer(bytes.fromhex(picture), np.uint8),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _encoded(frame: NDArray[Any]) -> tuple[str, bytes]:
    """A frame as ``record`` writes it: PNG, or .npy of floating-point numbers; both hold every bit."""
    if frame.dtype.kind == "f":
        held = io.BytesIO()
        np.save(held, frame, allow_pickle=False)
        return ".npy", held.getvalue()
    cv2 = require("cv2", "cpu", "`sinks=frames:`")
    done, data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT])
    if not done:
        raise TgktEdgeError(f"{frame.dtype} {frame.shape}: OpenCV cannot encode it as PNG")
    return ".png", bytes(data)
