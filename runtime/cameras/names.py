"""``NAME=URI``: what ``camera`` and ``sensor`` say of one camera, or of several with names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tgkt_edge.errors import ConfigError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.runtime.cameras.devices import one_device
from tgkt_edge.runtime.events import NamedCamera
from tgkt_edge.runtime.sources import with_times
from tgkt_edge.sensor import SensorSpec, load_sensor

Cameras = str | Sequence[str] | Mapping[str, str]
"""One camera's URI; or ``NAME=URI`` of each; or the URIs by name."""

Sensors = str | SensorSpec | Sequence[str] | Mapping[str, str | SensorSpec]
"""A preset, YAML file or SensorSpec of all cameras; or ``NAME=FILE`` of some, as they are or by name."""

_NAMED = re.compile(r"([A-Za-z0-9_-]+)=(.*)", re.DOTALL)
_NO_NAME = re.compile(r"([^=:/?*\[@]+)=")  # before any sign of an address, but not of a name's letters alone
_EXAMPLE = "`camera=door=0` `camera=hall=rtsp://HOST/PATH`"


@dataclass(frozen=True)
class Camera:
    """A camera or recording that was asked for.

    Attributes:
        uri: see :func:`tgkt_edge.runtime.sources.open_source`.
        name: letters, digits, ``-`` and ``_``; empty: it is the only one, and records do not name it.
        sensor: how its frames are written, if not as those that the bundle was adapted with.
    """

    uri: str
    name: str = ""
    sensor: str | SensorSpec | None = None

    @property
    def shown(self) -> str:
        """As messages have it: without passwords."""
        return f"{self.name}={redacted(self.uri)}" if self.name else redacted(self.uri)

    def spec(self, model: SensorSpec) -> SensorSpec:
        """What its raw frames mean to a bundle adapted to ``model``.

        Raises:
            UsageError, ConfigError: (exit 2) no such sensor, or one of another kind; names the camera.
        """
        if self.sensor is None:
            return model
        try:
            given = self.sensor if isinstance(self.sensor, SensorSpec) else load_sensor(self.sensor)
            return given.with_range_of(model)
        except UsageError as error:
            if not self.name:
                raise
            raise ConfigError(f"camera {self.name}: {error}") from error

    def described(self, spec: SensorSpec) -> NamedCamera:
        """For the records."""
        return NamedCamera(self.name, redacted(self.uri), spec)


def cameras_of(
    camera: Cameras, sensor: Sensors | None = None, times: str | None = None
) -> tuple[Camera, ...]:
    """The cameras that were asked for: one without a name, or one or more that each have one.

    Args:
        times: of folders of files, see :func:`tgkt_edge.runtime.sources.with_times`.

    Raises:
        UsageError: (exit 2) none; several of which one has no name; a name or a device twice; a sensor of no camera.
    """
    found = _parse_cameras(camera)
    if not found:
        raise UsageError(f"`camera`: none is given. Expected a URI, or several with names: {_EXAMPLE}")
    unnamed = [one for one in found if not one.name]
    if len(found) > 1 and unnamed:
        uri = unnamed[0].uri
        taken = " (a file of this whole name exists, so it is taken for that)" if _NAMED.match(uri) else ""
        raise UsageError(
            f"`camera={redacted(uri)}` has no name{taken}: several cameras need one each, as in {_EXAMPLE}"
        )
    twice = [one.name for place, one in enumerate(found) if one.name in [two.name for two in found[:place]]]
    if twice:
        raise UsageError(f"`camera`: the name {twice[0]} is given to two cameras. Give each its own.")
    for place, one in enumerate(found):
        for other in found[:place]:
            why = one_device(one.uri, other.uri)
            if why:
                raise UsageError(f"`camera={other.shown}` and `camera={one.shown}` {why}")
    return _with_sensors([replace(one, uri=with_times(one.uri, times)) for one in found], sensor)


def for_camera(text: str, name: str) -> str:
    """A message about the camera ``name`` with ``sensor`` as it is given to this camera alone."""
    return text.replace("`sensor`", f"`sensor={name}=PRESET_OR_FILE`")


def split_name(text: str) -> tuple[str, str]:
    """("door", "rtsp://...") of ``door=rtsp://...``; ("", text) of what has no name in front.

    What is really called so in the file system keeps its whole name; ``door=./x=1`` and ``./x=1`` say which is meant.
    """
    found = _NAMED.fullmatch(text)
    return ("", text) if found is None or os.path.exists(text) else (found.group(1), found.group(2))


def _parse_cameras(camera: Cameras) -> list[Camera]:
    if isinstance(camera, Mapping):
        for name in camera:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise UsageError(f"`camera`: the name {name!r}: expected letters, digits, '-' and '_'")
        found = [Camera(uri, name) for name, uri in camera.items()]
    else:
        texts = [camera] if isinstance(camera, str) else camera
        for text in texts:
            wrong = _NO_NAME.match(text)
            if wrong is not None and not split_name(text)[0] and not os.path.exists(text):
                raise UsageError(
                    f"`camera`: the name {wrong.group(1)!r} before '=': expected letters, digits, '-' and '_'. A file "
                    f"whose name has a '=': ./NAME"
                )
        found = [Camera(uri, name) for name, uri in map(split_name, texts)]
    for one in found:
        if not one.uri and not one.name:
            raise UsageError("`camera`: empty. Expected a URI")
        if not one.uri:
            raise UsageError(f"`camera={one.name}=`: nothing behind the name. Expected {one.name}=URI")
    return found


def _with_sensors(cameras: Iterable[Camera], sensor: Sensors | None) -> tuple[Camera, ...]:
    for_all: list[str | SensorSpec] = []
    own: dict[str, str | SensorSpec] = {}
    if isinstance(sensor, Mapping):
        own.update(sensor)
    elif isinstance(sensor, SensorSpec):
        for_all.append(sensor)
    elif sensor is not None:
        for text in [sensor] if isinstance(sensor, str) else sensor:
            name, rest = split_name(text)
            if name in own:
                raise UsageError(f"`sensor`: given twice for the camera {name}")
            if name:
                own[name] = rest
            else:
                for_all.append(text)
    if len(for_all) > 1:
        raise UsageError(
            f"`sensor={for_all[1]}`: a second one for all cameras. Expected NAME=FILE of one camera"
        )
    names = [one.name for one in cameras]
    for name in own:
        if name not in names:
            known = ", ".join(filter(None, names)) or "none has a name: `camera=NAME=URI`"
            raise UsageError(f"`sensor={name}={own[name]}`: no camera of this name. Cameras: {known}")
    default = for_all[0] if for_all else None
    return tuple(replace(one, sensor=own.get(one.name, default)) for one in cameras)
