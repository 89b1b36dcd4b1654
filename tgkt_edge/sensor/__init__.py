"""What a raw frame means: the SensorSpec, its presets, and the tables from raw counts to positions in its range."""

from __future__ import annotations

from tgkt_edge.sensor.extrinsics import Extrinsics
from tgkt_edge.sensor.intrinsics import Intrinsics
from tgkt_edge.sensor.presets import PRESETS, describe_preset, load_sensor
from tgkt_edge.sensor.quantities import QUANTITIES, Kind, Quantity
from tgkt_edge.sensor.spec import RawFrame, SensorSpec
from tgkt_edge.sensor.tables import paired_table, positions, unit_table

__all__ = [
    "PRESETS",
    "QUANTITIES",
    "Extrinsics",
    "Intrinsics",
    "Kind",
    "Quantity",
    "RawFrame",
    "SensorSpec",
    "describe_preset",
    "load_sensor",
    "paired_table",
    "positions",
    "unit_table",
]
