"""SensorSpec: what a raw frame means. It travels from capture to training to the engine, in every artefact."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError, FrameError

RawFrame = NDArray[np.uint8] | NDArray[np.uint16]

_DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype(np.uint8), "uint16": np.dtype(np.uint16)}


@dataclass(frozen=True)
class SensorSpec:
    """The meaning of one sensor's raw frames: a single channel of unsigned integers.

    Two parts. ``dtype``, ``unit_m``, ``invalid``, ``encoding`` and ``size`` say how the *sensor* writes a
    quantity down; ``kind`` and the range (``near_m``/``far_m``, or ``black``/``white``) say what the *model*
    reads: the range is mapped linearly to [0, 1].

    Attributes:
        kind: "depth" (distance along the optical axis) or "nir" (near-infrared intensity).
        dtype: "uint8" or "uint16", exactly as the frame arrives. Never converted.
        unit_m: depth only: metres per raw count, after decoding.
        near_m, far_m: depth only: metres mapped to 0 and 1; outside values are clipped.
        black, white: NIR only: raw counts mapped to 0 and 1; outside values are clipped.
        invalid: raw counts (before decoding) that mean "no measurement".
        encoding: "linear", or "sunrgbd": 16 bits rotated left by 3 (SUN RGB-D toolbox, read3dPoints).
        size: (width, height) in pixels; None: any size, but one for all frames; "any": sizes may differ.
        pixel_format: how the camera that was recorded writes its counts, in its own words: Z16, Y16, Y12, GREY. A
            V4L2 camera is then asked for this format only: Y12 holds a sixteenth of the counts of Y16. None: any
            that fits.
    """

    kind: Literal["depth", "nir"]
    dtype: Literal["uint8", "uint16"] = "uint16"
    unit_m: float | None = None
    near_m: float | None = None
    far_m: float | None = None
    black: float | None = None
    white: float | None = None
    invalid: tuple[int, ...] = ()
    encoding: Literal["linear", "sunrgbd"] = "linear"
    size: tuple[int, int] | Literal["any"] | None = None
    pixel_format: str | None = None

    def __post_init__(self) -> None:
        _choice("kind", self.kind, ("depth", "nir"))
        _choice("dtype", self.dtype, tuple(_DTYPES))
        _choice("encoding", self.encoding, ("linear", "sunrgbd"))
        depth_fields, nir_fields = ("unit_m", "near_m", "far_m"), ("black", "white")
        expected, unwanted = (
            (depth_fields, nir_fields) if self.kind == "depth" else (nir_fields, depth_fields)
        )
        for name in expected:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise ConfigError(
                    f"sensor: {name} = {value!r}: a {self.kind} sensor needs a finite number here"
                )
        for name in unwanted:
            if getattr(self, name) is not None:
                raise ConfigError(f"sensor: {name} has no meaning for a {self.kind} sensor; remove it")
        low, high = self.range
        if self.kind == "depth" and not (self.unit_m is not None and self.unit_m > 0):
            raise ConfigError(
                f"sensor: unit_m = {self.unit_m}: expected a positive number of metres per count"
            )
        if not 0 <= low < high:
            names = "near_m < far_m" if self.kind == "depth" else "black < white"
            raise ConfigError(f"sensor: range {low} to {high}: expected 0 <= {names}")
        if self.encoding == "sunrgbd" and self.dtype != "uint16":
            raise ConfigError("sensor: encoding sunrgbd rotates 16 bits: it needs dtype uint16")
        top = int(np.iinfo(self.numpy_dtype).max)
        for value in self.invalid:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= top:
                raise ConfigError(
                    f"sensor: invalid = {value!r}: expected raw counts from 0 to {top} ({self.dtype})"
                )
        if self.pixel_format is not None and not isinstance(self.pixel_format, str):
            raise ConfigError(
                f"sensor: pixel_format = {self.pixel_format!r}: expected a name such as Y16 or Z16"
            )
        if isinstance(self.size, str):
            _choice("size", self.size, ("any",))
        elif self.size is not None:
            ok = len(self.size) == 2 and all(isinstance(n, int) and n > 0 for n in self.size)
            if not ok:
                raise ConfigError(
                    f"sensor: size = {self.size!r}: expected [width, height] in pixels, any, or nothing"
                )

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype every raw frame must have."""
        return _DTYPES[self.dtype]

    @property
    def range(self) -> tuple[float, float]:
        """The values mapped to 0 and 1: metres for depth, raw counts for NIR."""
        low, high = (self.near_m, self.far_m) if self.kind == "depth" else (self.black, self.white)
        assert low is not None
        assert high is not None  # __post_init__ has seen to both
        return float(low), float(high)

    def decode(self, raw: RawFrame) -> NDArray[np.float64]:
        """Raw counts of any shape to metres (depth) or counts (NIR), float64. Invalid counts are not marked."""
        counts: NDArray[Any] = raw
        if self.encoding == "sunrgbd":
            counts = (raw >> 3) | (raw << 13)
        return counts.astype(np.float64) * (self.unit_m if self.unit_m is not None else 1.0)

    def check(self, frame: NDArray[Any], name: str = "frame") -> None:
        """Raise FrameError, naming ``name``, unless ``frame`` is (H, W) of this sensor's dtype and size."""
        if not isinstance(frame, np.ndarray) or frame.ndim != 2:
            shape = getattr(frame, "shape", type(frame).__name__)
            raise FrameError(
                f"{name}: shape {shape}: a {self.kind} frame has one channel, (height, width). "
                f"A colour map or an RGB image is not sensor data; record the raw stream instead."
            )
        if frame.dtype != self.numpy_dtype:
            raise FrameError(
                f"{name}: {frame.dtype} pixels, but the sensor is {self.dtype}. {_dtype_advice(frame.dtype, self)}"
            )
        found = (frame.shape[1], frame.shape[0])
        if isinstance(self.size, tuple) and found != self.size:
            raise FrameError(
                f"{name}: {found[0]}x{found[1]} pixels, but the sensor is {self.size[0]}x{self.size[1]}. "
                f"Record all frames in one mode of the camera, or set 'size' in the SensorSpec."
            )
        if frame.size == 0:
            raise FrameError(f"{name}: shape {frame.shape} holds no pixel")

    def with_size(self, width: int, height: int) -> SensorSpec:
        """This spec pinned to one frame size."""
        return dataclasses.replace(self, size=(width, height))

    def with_range_of(self, model: SensorSpec) -> SensorSpec:
        """How this sensor writes, with the range that ``model`` was adapted with.

        Another depth camera may feed a bundle: its counts differ, metres do not.

        Raises:
            ConfigError: the kinds differ: metres cannot become intensities.
        """
        if self.kind != model.kind:
            raise ConfigError(f"a {self.kind} sensor cannot feed a model adapted to {model.kind} frames")
        if self.kind == "depth":
            return dataclasses.replace(self, near_m=model.near_m, far_m=model.far_m)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON; fields that say nothing are left out."""
        values = dataclasses.asdict(self)
        values["invalid"] = list(self.invalid)
        if isinstance(self.size, tuple):
            values["size"] = list(self.size)
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Any, where: str = "sensor") -> SensorSpec:
        """Inverse of :meth:`to_dict`. Raises ConfigError for anything that is not a SensorSpec."""
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: found {type(values).__name__}, expected the fields of a SensorSpec")
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else f" Known fields: {', '.join(known)}."
                raise ConfigError(f"{where}: unknown field '{key}'.{hint}")
        if "kind" not in values:
            raise ConfigError(f"{where}: 'kind' is missing: expected depth or nir")
        clean = dict(values)
        for key in ("unit_m", "near_m", "far_m", "black", "white"):
            if isinstance(clean.get(key), str):  # YAML reads 1e-3 as text
                with contextlib.suppress(ValueError):
                    clean[key] = float(clean[key])
        for key in ("invalid", "size"):
            if isinstance(clean.get(key), list):
                clean[key] = tuple(clean[key])
        if not isinstance(clean.get("invalid", ()), tuple):
            raise ConfigError(f"{where}: invalid = {clean['invalid']!r}: expected a list of raw counts")
        if not isinstance(clean.get("size"), tuple | str | None):
            raise ConfigError(f"{where}: size = {clean['size']!r}: expected [width, height], any, or nothing")
        try:
            return cls(**clean)
        except ConfigError as error:
            raise ConfigError(str(error).replace("sensor:", f"{where}:", 1)) from None


def load_sensor(name: str) -> SensorSpec:
    """A preset's name or the path of a YAML file to a SensorSpec.

    Raises:
        ConfigError: neither; or the file cannot be read, is not YAML, has unknown fields or bad values.
    """
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    import yaml

    try:
        if not path.is_file():
            raise ConfigError(
                f"--sensor {name}: neither a preset ({', '.join(PRESETS)}) nor a YAML file. "
                f"A file holds the fields of a SensorSpec: kind, dtype, unit_m, near_m, far_m, ..."
            )
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--sensor {name} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    return SensorSpec.from_dict(values, where=str(path))


@lru_cache(maxsize=8)
def unit_table(spec: SensorSpec) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """For every raw count its position in the range, in 65535ths, and whether it is a measurement.

    Returns:
        values (n,) float32 holding whole numbers 0 to 65535, and valid (n,) bool; n = 256 or 65536.
    """
    counts = np.arange(np.iinfo(spec.numpy_dtype).max + 1, dtype=spec.numpy_dtype)
    low, high = spec.range
    unit = np.clip((spec.decode(counts) - low) / (high - low), 0.0, 1.0)
    valid = np.ones(len(counts), dtype=np.bool_)
    valid[list(spec.invalid)] = False
    values = np.round(unit * 65535).astype(np.float32)
    values[~valid] = 0
    values.flags.writeable = valid.flags.writeable = False
    return values, valid


@lru_cache(maxsize=8)
def paired_table(spec: SensorSpec) -> NDArray[np.float64]:
    """Both columns of :func:`unit_table` in one, so that a frame is looked up once.

    Returns:
        (n,) float64, in the 8 bytes of each two float32: the position in 65535ths, and 1 for a measurement or 0 for
        none. What is looked up, viewed as float32, has them as its last axis.
    """
    values, valid = unit_table(spec)
    table: NDArray[np.float64] = np.stack([values, valid.astype(np.float32)], axis=1).view(np.float64)[:, 0]
    table.flags.writeable = False
    return table


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"sensor: {name} = {value!r}: expected one of {', '.join(allowed)}")


def _dtype_advice(found: np.dtype[Any], spec: SensorSpec) -> str:
    if found.kind == "f":
        unit = f"{spec.unit_m:g} m" if spec.unit_m is not None else "the sensor's levels"
        return (
            f"Floating point is not read. Write whole counts of {unit} as 16-bit PNG, in Python: cv2.imwrite('f.png', "
            f"numpy.nan_to_num(values / {spec.unit_m or 1:g}).round().astype('uint16')) of values in "
            f"{'metres' if spec.kind == 'depth' else 'counts'}."
        )
    if found == np.uint8 and spec.dtype == "uint16":
        advice = "If the camera has 16 bits, 8 were lost on the way: record raw 16-bit frames (PNG or FFV1 gray16le). "
    elif found in (np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.uint32)):
        return "Write them as 16-bit PNG without a sign, in Python: cv2.imwrite('f.png', values.astype('uint16'))."
    else:
        advice = ""
    return f"{advice}{_fitting(found, spec)}"


def _fitting(found: np.dtype[Any], spec: SensorSpec) -> str:
    """The presets for frames of this dtype, those of the sensor's kind first."""
    names = [name for name, preset in PRESETS.items() if preset.numpy_dtype == found]
    names.sort(key=lambda name: PRESETS[name].kind != spec.kind)
    if not names:
        return "Choose the SensorSpec that matches the camera (--sensor)."
    listed = ", ".join(f"{name} ({PRESETS[name].kind})" for name in names)
    return f"For {found} frames: --sensor {listed}, or a YAML file; 'tgkt-edge data presets' shows what they mean."


def describe_preset(name: str) -> str:
    """One preset in a line: what its counts mean, and how the range is mapped."""
    spec = PRESETS[name]
    low, high = spec.range
    counts = f"{spec.dtype} counts"
    if spec.kind == "depth":
        counts += f" of {spec.unit_m:.6g} m, {low:g} to {high:g} m to the network's 0 to 1"
    else:
        counts += f", {low:g} (black) to {high:g} (white) to the network's 0 to 1"
    invalid = (
        f"; {', '.join(map(str, spec.invalid))}: no measurement" if spec.invalid else "; every count is valid"
    )
    more = f"; encoding {spec.encoding}" if spec.encoding != "linear" else ""
    size = "; sizes may differ" if spec.size == "any" else "; one size for all frames"
    return f"{spec.kind}: {counts}{invalid}{more}{size}"


PRESETS: dict[str, SensorSpec] = {
    # Most depth cameras: millimetres, 0 = no return. 0 to 8 m holds an indoor scene.
    "depth": SensorSpec("depth", "uint16", unit_m=0.001, near_m=0.0, far_m=8.0, invalid=(0,)),
    # 10-bit NIR in 16 bits, as structured-light cameras deliver it (Y10, Y16).
    "nir": SensorSpec("nir", "uint16", black=0, white=1023),
    # Photographic NIR, 8 bit; images of such sets are cropped to various sizes (RGB-NIR Scene, CVPR 2011).
    "nir8": SensorSpec("nir", "uint8", black=0, white=255, size="any"),
    # NYU Depth v2's labelled set as 8-bit in-filled images: 255 counts are 9.995 m.
    "nyuv2": SensorSpec("depth", "uint8", unit_m=9.995 / 255, near_m=0.0, far_m=9.995),
    # SUN RGB-D's PNGs: rotated bits, millimetres; four cameras, so sizes differ; its toolbox stops at 8 m.
    "sunrgbd": SensorSpec(
        "depth", "uint16", unit_m=0.001, near_m=0.0, far_m=8.0, invalid=(0,), encoding="sunrgbd", size="any"
    ),
}
