"""``tgkt-edge data import``: recordings of ROS and MCAP, and folders of files with times."""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.bags.open_bag import is_bag
from tgkt_edge.io.images import find_images
from tgkt_edge.io.other_contents import describe_contents, recordings_in
from tgkt_edge.io.parts import split_folder
from tgkt_edge.runtime.recorder.import_folder import import_folder
from tgkt_edge.runtime.recorder.import_options import ImportOptions, ImportSummary
from tgkt_edge.runtime.recorder.import_recording import import_recording


def import_data(
    src: Path,
    out: Path,
    *,
    topic: str | None = None,
    sensor: str | None = None,
    pair: bool = False,
    rgb_topic: str | None = None,
    max_skew_ms: float = 20.0,
    clock: str = "header",
    times: str = "name",
    confidence: Path | None = None,
    min_confidence: float | None = None,
    form: str = "png",
    align: bool = False,
    extrinsics: Path | None = None,
) -> ImportSummary:
    """Write frames, or pairs matched by time, to a folder that ``run`` replays and ``adapt`` reads; bit for bit.

    Args:
        src: a .bag, .mcap, .db3, .mkv or .sens file, a folder of ``ros2 bag record`` or of depthai's .mcap files, or a
            folder of images. out: new or empty.
        topic: of the sensor's pictures, or their sub-folder; None: the only one that fits.
        sensor: preset or YAML file: what the counts mean. None: what the recording says (ROS's 16UC1 and 32FC1).
        pair: write pairs with the pictures of ``rgb_topic``; None: the only one in color, or so named.
        max_skew_ms: milliseconds that the halves of a pair may lie apart.
        clock: of recordings: "header" (of the camera) or "received". times: of files: "name", "mtime" or a CSV.
        confidence, min_confidence: of files: see :func:`tgkt_edge.runtime.recorder.import_folder.import_folder`.
        form: "png" or "ffv1", as of ``record``.
        align: warp RGB images into the depth camera's view, by its depth; implies ``pair``. With the intrinsics and the
            pose that the recording brings, or ``extrinsics``, a YAML file: see
            :func:`tgkt_edge.alignment.rig.load_rig`.

    Raises:
        UsageError: (exit 2) a bad argument, or ``out`` holds something. DataError: (exit 2) no such recording, topic
            or folder, or no frame fits. TgktEdgeError: (exit 1) the disk refuses. MissingDependency: (exit 6).
    """
    options = ImportOptions(topic, sensor, pair, rgb_topic, max_skew_ms, form, align, extrinsics)
    folder = split_folder(src)[0]
    if not folder.exists():
        raise DataError(f"{src}: does not exist")
    if folder.is_dir() and not is_bag(folder):
        if recordings_in(folder) and not find_images(folder):
            raise DataError(f"{src}: is no recording, and holds no image.{describe_contents(folder)}")
        if clock != "header":
            raise UsageError(f"`clock={clock}` is for recordings; {src} is a folder of files: use `times`")
        return import_folder(
            src, out, options, times=times, confidence=confidence, min_confidence=min_confidence
        )
    if times != "name" or confidence is not None or min_confidence is not None:
        raise UsageError(
            f"`times`, `confidence` and `min_confidence` are for folders of files; {src} is a recording"
        )
    return import_recording(src, out, options, clock=clock)
