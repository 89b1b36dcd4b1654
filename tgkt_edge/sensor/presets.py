"""The SensorSpecs of well-known cameras and data sets, by name; and where --sensor finds one."""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.errors import ConfigError
from tgkt_edge.sensor.advice import KNOWN
from tgkt_edge.sensor.spec import SensorSpec

PRESETS: dict[str, SensorSpec] = {
    # Most depth cameras: millimetres, 0 = no return. 0 to 8 m holds an indoor scene.
    "depth": SensorSpec("depth", "uint16", unit_m=0.001, near_m=0.0, far_m=8.0, invalid=(0,)),
    # Depth in metres as floating-point numbers: .npy, .exr, PFM, TIFF, ROS's 32FC1, simulators.
    "depth-m": SensorSpec("depth", "float32", unit_m=1.0, near_m=0.0, far_m=8.0),
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
    # KITTI's depth maps: metres x 256; image sizes differ by drive (devkit_depth's readme).
    "kitti": SensorSpec("depth", "uint16", unit_m=1 / 256, near_m=0.0, far_m=80.0, invalid=(0,), size="any"),
    # TUM RGB-D's PNGs: metres x 5000 ("File formats" of the benchmark).
    "tum": SensorSpec("depth", "uint16", unit_m=1 / 5000, near_m=0.0, far_m=8.0, invalid=(0,)),
    # ScanNet's exported frames: millimetres.
    "scannet": SensorSpec("depth", "uint16", unit_m=0.001, near_m=0.0, far_m=8.0, invalid=(0,)),
    # Matterport3D's undistorted depth images: quarters of a millimetre.
    "matterport": SensorSpec("depth", "uint16", unit_m=0.00025, near_m=0.0, far_m=8.0, invalid=(0,)),
    # Hypersim's depth_meters, saved as an array: metres, float16, NaN where there is no surface.
    "hypersim": SensorSpec("depth", "float16", unit_m=1.0, near_m=0.0, far_m=8.0),
    # FLIR Lepton and Boson with TLinear at its fine resolution: hundredths of a kelvin. Rooms and people.
    "lepton": SensorSpec("thermal", "uint16", unit_k=0.01, cold_c=10.0, hot_c=40.0, invalid=(0,)),
    "boson": SensorSpec("thermal", "uint16", unit_k=0.01, cold_c=10.0, hot_c=40.0, invalid=(0,)),
    # TIFF of FLIR's Vue Pro R and Duo Pro R in the fine range (-25 to 135 degrees C): kelvin x 25. Outdoors.
    "flir-tiff": SensorSpec("thermal", "uint16", unit_k=0.04, cold_c=-10.0, hot_c=50.0, invalid=(0,)),
}

KNOWN.update({name: (spec.kind, spec.numpy_dtype) for name, spec in PRESETS.items()})


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
                f"`sensor={name}`: neither a preset ({', '.join(PRESETS)}) nor a YAML file. "
                f"A file holds the fields of a SensorSpec: kind, dtype, unit_m, near_m, far_m, ..."
            )
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`sensor={name}` cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    return SensorSpec.from_dict(values, where=str(path))


def describe_preset(name: str) -> str:
    """One preset in a line: what its counts mean, and how the range is mapped."""
    spec = PRESETS[name]
    low, high = spec.range
    counts = f"{spec.dtype} numbers" if spec.is_float else f"{spec.dtype} counts"
    if spec.kind == "depth":
        counts += f" of {spec.unit_m:.6g} m, {low:g} to {high:g} m to the network's 0 to 1"
    elif spec.kind == "thermal":
        counts += f" of {spec.unit_k:.6g} K, {low:g} to {high:g} °C to the network's 0 to 1"
    else:
        counts += f", {low:g} (black) to {high:g} (white) to the network's 0 to 1"
    invalid = (
        f"; {', '.join(map(str, spec.invalid))}: no measurement" if spec.invalid else "; every count is valid"
    )
    if spec.is_float:
        invalid = "; NaN, infinite, 0 or less: no measurement"
    more = f"; encoding {spec.encoding}" if spec.encoding != "linear" else ""
    size = "; sizes may differ" if spec.size == "any" else "; one size for all frames"
    return f"{spec.kind}: {counts}{invalid}{more}{size}"
