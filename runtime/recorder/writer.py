"""Writing a recording: lossless frames, one line of index a frame, everything valid at every moment."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.io.formats.png import SIGNATURE
from tgkt_edge.io.recording_format import FRAMES, INDEX, PAIRS, RGB, SPEC, VIDEO
from tgkt_edge.preprocess import sample
from tgkt_edge.runtime.recorder.png_encoding import encode_png
from tgkt_edge.runtime.sources.base import Captured, StreamFormat, opencv
from tgkt_edge.sensor import Intrinsics, SensorSpec

FORMATS = ("png", "ffv1")
_FPS = 30  # what the video claims; the real times are in the index
# FFmpeg's muxer buffers and never reports a failed write, so a full disk must be seen before it happens.
_RESERVE = {"png": 64 << 10, "ffv1": 8 << 20}


_JPEG = b"\xff\xd8\xff"


class RecordingWriter:
    """Writes frames to ``folder``; a context manager that completes what was begun.

    A frame's file is complete before its line enters the index. On a full disk the frame at hand is given up and the
    earlier ones stay as they are.

    Args:
        folder: new or empty.
        spec: the frames' SensorSpec; written with the size of the first one.
        form: "png" (a file a frame; of floating-point frames .npy) or "ffv1" (one video).

    Attributes:
        written: frames. blank: those of them that hold no measurement at all.

    Raises:
        UsageError: (exit 2) ``folder`` exists and holds something, or is a file.
        TgktEdgeError: (exit 1) the disk refuses.
    """

    def __init__(self, folder: Path, spec: SensorSpec, form: str) -> None:
        self._cv2 = opencv()
        self._folder, self.spec, self._form = folder, spec, form
        self._index: Any = None
        self._video: Any = None
        self.written = 0
        self.blank = 0
        self._pairs: list[tuple[str, str]] = []
        self._formats: dict[str, str] = {}
        if spec.is_float and form == "ffv1":
            raise UsageError(
                f"`form=ffv1`: video holds no {spec.dtype} frames. Leave `form` out: each is then a .npy file."
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} already exists and is not empty. Choose another folder: `output=NAME`"
            )
        self._made = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TgktEdgeError(f"{folder}: cannot be made: {error.strerror or error}") from error

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close(failing=kind is not None)

    def calibrate(self, camera: Intrinsics | None) -> None:
        """Say, before the first frame, the camera's intrinsics, unless the SensorSpec has some."""
        if self.spec.intrinsics is None:
            self.spec = dataclasses.replace(self.spec, intrinsics=camera)

    def describe(self, found: StreamFormat, rgb: StreamFormat | None = None) -> None:
        """Say, before the first frame, in which format the camera delivers, and the colour camera beside it."""
        self.spec = dataclasses.replace(self.spec, pixel_format=found.pixels)
        self._formats = {"format": str(found), **({"rgb_format": str(rgb)} if rgb is not None else {})}

    def encoded(self, pixels: NDArray[Any], file: bytes = b"") -> Any:
        """The file that :meth:`add` would write of a frame or a color picture, for it to take: in any thread.

        None: it is written in another way.

        Args:
            file: what they were read from, if reading it gives these pixels: kept as it is if it is a PNG or, of a
                color picture, a JPEG. (Decoders of JPEG may differ in a bit, and a frame's counts may not.)
        """
        if self._form != "png" and pixels.ndim == 2:
            return None
        if file.startswith(SIGNATURE) or (pixels.ndim == 3 and file.startswith(_JPEG)):
            return file
        return encode_png(pixels) if pixels.dtype.kind == "u" else None

    def add(
        self, captured: Captured, rgb: Captured | None = None, more: Mapping[str, Any] | None = None,
        files: tuple[Any, Any] = (None, None),
    ) -> None:  # fmt: skip
        """Write one frame, and the colour frame that was taken with it.

        Args:
            more: goes into its line of the index. files: what :meth:`encoded` gave of either, where it was asked.

        Raises:
            FrameError: (exit 2) it contradicts the SensorSpec or has another size than the first one. Nothing was
                written; the recording goes on.
            TgktEdgeError: (exit 1) the disk is full or refuses. The earlier frames are intact.
        """
        frame = captured.frame
        if frame is None or (rgb is not None and rgb.frame is None):
            raise ValueError("expected frames that were read")
        self.spec.check(frame, captured.name)
        needed = 2 * frame.nbytes + (2 * rgb.frame.nbytes if rgb and rgb.frame is not None else 0)
        self._ensure_room(needed)
        try:
            if self._index is None:
                self._begin(frame, rgb is not None)
            line: dict[str, Any] = {"number": captured.number, "time": captured.time, **self._formats}
            if captured.lost:
                line["lost"] = captured.lost
            if self._form == "ffv1":
                self._video.write(np.ascontiguousarray(frame))
                line.update(file=VIDEO, video=self.written)
            else:
                line["file"] = (
                    self._png(FRAMES, frame, files[0])
                    if frame.dtype.kind == "u"
                    else self._npy(FRAMES, frame)
                )
            line["crc32"] = zlib.crc32(np.ascontiguousarray(frame).data)
            if rgb is not None and rgb.frame is not None:
                skew = (rgb.time - captured.time) * 1e3
                line.update(
                    rgb=self._png(RGB, rgb.frame, files[1]), rgb_time=rgb.time, skew_ms=round(skew, 3)
                )
            line.update(more or {})
            self._append(json.dumps(line) + "\n")
        except OSError as error:
            self._forget_frame()
            raise self._refused(error.strerror or str(error)) from error
        if "rgb" in line:
            self._pairs.append((line["rgb"], line["file"]))
        self.written += 1
        self.blank += self._is_blank(frame)

    def discard(self) -> None:
        """Remove what was written, after :meth:`close`: nothing of it can be used."""
        for name in (FRAMES, RGB):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        for name in (SPEC, INDEX, VIDEO, PAIRS):
            (self._folder / name).unlink(missing_ok=True)
        if self._made:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _is_blank(self, frame: NDArray[Any]) -> bool:
        valid = self.spec.valid
        return self.spec.has_invalid and not valid(sample(frame)).any() and not valid(frame).any()

    def close(self, failing: bool = False) -> None:
        """Complete the video and put the index on the disk. Harmless twice.

        Raises:
            TgktEdgeError: (exit 1) the video is shorter than what was written. Not raised if ``failing``: the first
                error says more.
        """
        index, self._index = self._index, None
        video, self._video = self._video, None
        if video is not None:
            video.release()
        if index is not None:
            with contextlib.suppress(OSError):
                os.fsync(index.fileno())
            index.close()
        if self._pairs:
            rows = "".join(f"{colour},{frame}\n" for colour, frame in self._pairs)
            try:
                write_text(self._folder / PAIRS, f"rgb,frame\n{rows}")
            except (OSError, TgktEdgeError) as error:  # the folder is as good without it
                if not failing:
                    raise self._refused(f"{PAIRS} cannot be written: {error}") from error
        if self._made and not self.written:
            with contextlib.suppress(OSError):
                self._folder.rmdir()
        if video is not None and not failing:
            held = self._frames_in_video()
            if held != self.written:
                raise TgktEdgeError(
                    f"{self._folder / VIDEO}: holds {held} of {self.written} frames: the disk refused some. What it "
                    f"holds can be replayed."
                )

    def _begin(self, frame: NDArray[Any], paired: bool) -> None:
        """Before the first frame: the SensorSpec with its size, the folders or the video, the index."""
        height, width = frame.shape
        if self.spec.size is None:
            self.spec = self.spec.with_size(width, height)
        import yaml

        for name in ((FRAMES,) if self._form == "png" else ()) + ((RGB,) if paired else ()):
            (self._folder / name).mkdir(exist_ok=True)
        write_text(self._folder / SPEC, yaml.safe_dump(self.spec.to_dict(), sort_keys=False))
        if self._form == "ffv1":
            self._video = self._open_video(frame)
        self._index = (self._folder / INDEX).open("ab", buffering=0)

    def _open_video(self, frame: NDArray[Any]) -> Any:
        cv2 = self._cv2
        height, width = frame.shape
        if width % 2 or height % 2:
            raise UsageError(
                f"`form=ffv1`: {width}x{height} frames: OpenCV writes only even sizes. Use `form=png`."
            )
        depth = cv2.CV_16U if frame.dtype == np.uint16 else cv2.CV_8U
        options = [cv2.VIDEOWRITER_PROP_DEPTH, depth, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
        path, fourcc = str(self._folder / VIDEO), cv2.VideoWriter.fourcc(*"FFV1")
        video = cv2.VideoWriter(path, cv2.CAP_FFMPEG, fourcc, _FPS, (width, height), options)
        if not video.isOpened():
            raise TgktEdgeError(
                f"{path}: this OpenCV ({cv2.__version__}) cannot write FFV1: it lacks FFmpeg. Use `form=png`."
            )
        return video

    def _frames_in_video(self) -> int:
        capture = self._cv2.VideoCapture(str(self._folder / VIDEO), self._cv2.CAP_FFMPEG)
        count = int(capture.get(self._cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        return count

    def _png(self, sub: str, pixels: NDArray[Any], data: Any = None) -> str:
        """Write one PNG, or the JPEG that ``data`` is, complete or not at all; returns its path within the folder."""
        data = encode_png(pixels) if data is None else data
        suffix = "jpg" if bytes(data[: len(_JPEG)]) == _JPEG else "png"
        return self._file(f"{sub}/{self.written:06d}.{suffix}", data)

    def _npy(self, sub: str, numbers: NDArray[Any]) -> str:
        """Write one array of floating-point numbers, as :meth:`_png`."""
        held = io.BytesIO()
        np.save(held, numbers, allow_pickle=False)
        return self._file(f"{sub}/{self.written:06d}.npy", held.getbuffer())

    def _file(self, name: str, data: Any) -> str:
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return name

    def _append(self, text: str) -> None:
        """One whole line, or an OSError and the index as it was."""
        before = self._index.seek(0, os.SEEK_END)
        data = text.encode()
        written = 0
        try:
            while written < len(data):
                written += self._index.write(data[written:])
        except OSError:
            with contextlib.suppress(OSError):
                self._index.truncate(before)
            raise

    def _forget_frame(self) -> None:
        """Remove the files of a frame whose line could not be written."""
        for sub in (FRAMES, RGB):
            for suffix in ("png", "npy", "jpg"):
                with contextlib.suppress(OSError):
                    (self._folder / sub / f"{self.written:06d}.{suffix}").unlink(missing_ok=True)

    def _ensure_room(self, needed: int) -> None:
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from error
        if free < needed + _RESERVE[self._form]:
            raise self._refused(f"the disk is full ({free / 2**20:.1f} MiB left)")

    def _refused(self, why: str) -> TgktEdgeError:
        kept = " They are intact and can be replayed." if self.written else ""
        return TgktEdgeError(f"{self._folder}: recording ended after {self.written} frames: {why}.{kept}")
