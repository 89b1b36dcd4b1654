"""SensorSpec: what a raw frame means. It travels from capture to training to the engine, in every artefact."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError, FrameError
from tgkt_edge.sensor.advice import dtype_advice
from tgkt_edge.sensor.intrinsics import Intrinsics
from tgkt_edge.sensor.quantities import DTYPES, QUANTITIES, ZERO_C, Kind, Quantity
from tgkt_edge.sensor.spec_checks import check_spec
from tgkt_edge.sensor.telemetry import telemetry_rows

RawFrame = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True)
class SensorSpec:
    """The meaning of one sensor's raw frames: a single channel of unsigned integers or of floating-point numbers.

    Two parts. ``dtype``, the units, ``invalid``, ``encoding`` and ``size`` say how the *sensor* writes a quantity
    down; ``kind`` and the range (``near_m``/``far_m``, ``black``/``white`` or ``cold_c``/``hot_c``) say what the
    *model* reads: the range is mapped linearly to [0, 1].

    Attributes:
        kind: "depth" (distance along the optical axis), "nir" (near-infrared intensity) or "thermal" (temperature).
        dtype: "uint8", "uint16", "float32" or "float16", exactly as the frame arrives. Never converted. NaN,
            infinities and, except in thermal frames, values at or below 0 are no measurements.
        unit_m: depth only: metres per raw count, after decoding.
        near_m, far_m: depth only: metres mapped to 0 and 1; outside values are clipped.
        black, white: NIR only: raw counts mapped to 0 and 1; outside values are clipped.
        unit_k, offset_k: thermal only: kelvin = raw count x unit_k + offset_k (default 0). 0.01 and 0: centikelvin;
            1 and 273.15: degrees Celsius.
        cold_c, hot_c: thermal only: degrees Celsius mapped to 0 and 1; outside values are clipped.
        invalid: raw counts (before decoding) that mean "no measurement".
        encoding: "linear"; "sunrgbd": 16 bits rotated left by 3 (SUN RGB-D toolbox, read3dPoints); or "disparity":
            metres = baseline_m x focal_px / (raw count x unit_px + offset_px).
        unit_px, offset_px, baseline_m, focal_px: of encoding "disparity" only, in place of ``unit_m``: pixels per
            count; pixels to add (default 0; the difference of the cameras' principal points); metres between the
            two cameras; focal length in pixels. A disparity at or below 0 is no measurement.
        size: (width, height) in pixels; None: any size, but one for all frames; "any": sizes may differ.
        pixel_format: the camera's pixel format: Z16, Y16, Y12, GREY, as recordings of cameras have it. A
            V4L2 camera is then asked for this format only: Y12 holds a sixteenth of the counts of Y16. None: any
            that fits.
        intrinsics: the camera's, for frames of ``size``; None: not known. Carried along; frames are read without it.
    """

    kind: Kind
    dtype: Literal["uint8", "uint16", "float32", "float16"] = "uint16"
    unit_m: float | None = None
    near_m: float | None = None
    far_m: float | None = None
    black: float | None = None
    white: float | None = None
    unit_k: float | None = None
    offset_k: float | None = None
    cold_c: float | None = None
    hot_c: float | None = None
    invalid: tuple[float, ...] = ()
    encoding: Literal["linear", "sunrgbd", "disparity"] = "linear"
    unit_px: float | None = None
    offset_px: float | None = None
    baseline_m: float | None = None
    focal_px: float | None = None
    size: tuple[int, int] | Literal["any"] | None = None
    pixel_format: str | None = None
    intrinsics: Intrinsics | None = None

    def __post_init__(self) -> None:
        check_spec(self)

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype every raw frame must have."""
        return DTYPES[self.dtype]

    @property
    def is_float(self) -> bool:
        """Whether frames hold floating-point numbers."""
        return self.numpy_dtype.kind == "f"

    @property
    def quantity(self) -> Quantity:
        """What is measured: its units and the names of the range's fields."""
        return QUANTITIES[self.kind]

    @property
    def near_offset(self) -> float | None:
        """Of depth, the distance of code 0 in code ranges, near_m / (far_m - near_m); None for other kinds."""
        if self.near_m is None or self.far_m is None:
            return None
        return self.near_m / (self.far_m - self.near_m)

    @property
    def range(self) -> tuple[float, float]:
        """The values mapped to 0 and 1: metres for depth, raw counts for NIR, degrees Celsius for thermal."""
        low, high = getattr(self, self.quantity.low), getattr(self, self.quantity.high)
        return float(low), float(high)  # __post_init__ has seen to both

    def decode(self, raw: RawFrame) -> NDArray[np.float64]:
        """Raw counts of any shape to metres (depth), counts (NIR) or degrees Celsius (thermal), float64. What is no
        measurement is not marked (:meth:`valid`), and a disparity of 0 is infinitely far."""
        counts: NDArray[Any] = raw
        if self.encoding == "sunrgbd":
            counts = (counts >> 3) | (counts << 13)
        if self.encoding == "disparity":
            assert self.baseline_m is not None
            assert self.focal_px is not None
            with np.errstate(divide="ignore", invalid="ignore"):
                metres: NDArray[np.float64] = self.baseline_m * self.focal_px / self._pixels(counts)
            return metres
        if self.kind == "thermal":
            return self._kelvin(counts) - ZERO_C
        return counts.astype(np.float64) * (self.unit_m if self.unit_m is not None else 1.0)

    def valid(self, raw: RawFrame) -> NDArray[np.bool_]:
        """Which of raw counts of any shape are measurements."""
        found = np.ones(raw.shape, np.bool_)
        if self.is_float:
            np.isfinite(raw, out=found)
            if self.kind != "thermal":
                found &= raw > 0
        if self.encoding == "disparity":
            with np.errstate(invalid="ignore"):
                found &= self._pixels(raw) > 0
        if self.kind == "thermal":
            with np.errstate(invalid="ignore"):
                found &= self._kelvin(raw) > 0
        for count in np.asarray(self.invalid, self.numpy_dtype):
            found &= raw != count
        return found

    def _pixels(self, raw: NDArray[Any]) -> NDArray[np.float64]:
        """Raw counts to disparities in pixels."""
        return raw.astype(np.float64) * (self.unit_px or 1.0) + (self.offset_px or 0.0)

    def _kelvin(self, raw: NDArray[Any]) -> NDArray[np.float64]:
        return raw.astype(np.float64) * (self.unit_k or 1.0) + (self.offset_k or 0.0)

    @property
    def has_invalid(self) -> bool:
        """Whether any raw count at all is no measurement."""
        return bool(self.invalid) or self.is_float or self.encoding == "disparity" or self.kind == "thermal"

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
                f"{name}: {frame.dtype} pixels, but the sensor is {self.dtype}. "
                f"{dtype_advice(frame.dtype, self.kind, self.numpy_dtype)}"
            )
        found = (frame.shape[1], frame.shape[0])
        telemetry = telemetry_rows(found) if self.kind == "thermal" and self.dtype == "uint16" else None
        if telemetry is not None and self.size not in (found, "any"):
            raise FrameError(
                f"{name}: {found[0]}x{found[1]} pixels: those of a {telemetry[0]} with {telemetry[1]} rows of "
                f"telemetry, which are no temperatures. Cut them off: CAMERA?telemetry=footer (or header), or switch "
                f"telemetry off in the camera. If they are pictures, the SensorSpec says so: size: {[*found]}."
            )
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

        Another depth or thermal camera may feed a bundle: its counts differ, metres and degrees do not.

        Raises:
            ConfigError: the kinds differ: metres cannot become intensities.
        """
        if self.kind != model.kind:
            raise ConfigError(
                f"`sensor`: a {self.kind} sensor cannot feed a model adapted to {model.kind} frames; expected a preset "
                f"or YAML file of kind {model.kind}"
            )
        if self.kind == "nir":
            return self
        names = (self.quantity.low, self.quantity.high)
        return dataclasses.replace(self, **{name: getattr(model, name) for name in names})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON; unset fields are left out."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["invalid"] = list(self.invalid)
        if isinstance(self.size, tuple):
            values["size"] = list(self.size)
        if self.intrinsics is not None:
            values["intrinsics"] = self.intrinsics.to_dict()
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
            raise ConfigError(f"{where}: 'kind' is missing: expected {', '.join(QUANTITIES)}")
        clean = dict(values)
        for key in {name for quantity in QUANTITIES.values() for name in quantity.fields}:
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
            if isinstance(clean.get("intrinsics"), dict | list | str | int | float):
                clean["intrinsics"] = Intrinsics.from_dict(clean["intrinsics"])
            return cls(**clean)
        except ConfigError as error:
            raise ConfigError(str(error).replace("sensor:", f"{where}:", 1)) from None
