"""A tree of another data set, flags that mean nothing, and prepared files whose images have moved."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.public_sets import write_noise
from tgkt_edge.cli.main import app
from tgkt_edge.data.loading import load_frames, load_pairs
from tgkt_edge.data.public.prepare import prepare
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.sensor import load_sensor


def test_the_wrong_tree_is_told_what_was_looked_for_and_what_it_looks_like(sun: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "nir" / "water" / "0001_rgb.tiff")
    for name, src, message in (
        ("sunrgbd", tmp_path / "nir", r"looked for kv1/, kv2/.*found water/.*It looks like rgbnir\."),
        ("rgbnir", sun, r"looked for class folders with ID_rgb\.tiff.*It looks like sunrgbd\."),
        ("nyuv2", sun, r"looked for nyu_depth_v2_labeled\.mat .* found kv1/, kv2/.*It looks like sunrgbd\."),
        ("diml", sun, r"looked for SCENE/color and SCENE/depth_filled.*It looks like sunrgbd\."),
        ("diml", tmp_path / "none", r"found nothing: it does not exist"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(name, src, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_what_the_flags_cannot_mean(sun: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("data set 'sun': expected one of sunrgbd, diml, rgbnir, nyuv2", "sun", {}),
        ("`depth` 'hha': expected one of filled, raw", "sunrgbd", {"depth": "hha"}),
        ("give both `source_domain` and `target_domain`", "sunrgbd", {"source_domain": "kv1"}),
        (
            "`source_domain` 'kv3': expected one of kv1",
            "sunrgbd",
            {"source_domain": "kv3", "target_domain": "kv1"},
        ),
        (
            "`source_domain` kv1: diml has one camera",
            "diml",
            {"source_domain": "kv1", "target_domain": "kv1"},
        ),
    )
    for message, name, flags in cases:
        with pytest.raises(UsageError, match=message):
            prepare(name, sun, out, **flags)
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists and is not empty"):
        prepare("sunrgbd", sun, out)
    assert [path.name for path in out.iterdir()] == ["precious.txt"]


def test_what_cannot_be_read_is_named_as_that(sun: Path, tmp_path: Path) -> None:
    """Not as if it were the folder that is written."""
    scene = next(sun.rglob("scene.txt"))
    scene.unlink()
    scene.symlink_to("/proc/self/mem")  # a file that opens, and whose first byte cannot be read
    with pytest.raises(DataError, match=r"cannot be read: Input/output error") as caught:
        prepare("sunrgbd", sun, tmp_path / "out")
    assert str(caught.value).startswith(f"{sun}")
    assert caught.value.exit_code == 2
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"1,1.png,1.png\n", r"1 of 2 cannot be used: .*labels\.csv, line 3: column scene is empty"),
        (b"1,1.png\n", r"1 of 2 cannot be used: .*labels\.csv, line 3: column depth, scene is empty"),
        (b"\n\n1\n", r"labels\.csv, line 5: column image, depth, scene is empty"),
        (
            b"1,1.png,1.png,b\xfcro\n",
            r"labels\.csv, line 3: not a CSV file in UTF-8: byte 0xfc invalid start byte\. In a spreadsheet: Save As",
        ),
        (
            b'1,1.png,1.png,"' + bytes([97]) * 200_000,
            r"labels\.csv, line 3: not a CSV file: field larger than",
        ),
    ],
    ids=["no-scene", "no-depth", "number-after-empty-lines", "latin-1", "endless-field"],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(table: bytes, message: str, tmp_path: Path) -> None:
    src = tmp_path / "nyu"
    src.mkdir()
    (src / "1.png").touch()
    (src / "labels.csv").write_bytes(b"\xef\xbb\xbfindex,image,depth,scene\n0,1.png,1.png,kitchen\n" + table)
    with pytest.raises(DataError, match=message):
        prepare("nyuv2", src, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_folder_that_no_csv_in_utf8_can_name_is_refused(tmp_path: Path) -> None:
    src = tmp_path / os.fsdecode(b"b\xfccher")
    try:
        src.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    write_noise(tmp_path / "water" / "1_rgb.tiff")
    write_noise(tmp_path / "water" / "1_nir.tiff", channels=1)
    (tmp_path / "water").rename(src / "water")
    logged = CliRunner().invoke(app, ["data", "prepare", "rgbnir", str(src), "-o", str(tmp_path / "out")])
    assert logged.exit_code == 2
    assert (
        r"b\udcfccher/water/1_rgb.tiff: its name is not UTF-8, and source.csv could not hold it"
        in logged.stderr
    )
    assert not list(tmp_path.glob("*out*"))


def test_an_image_without_a_partner_is_named_whichever_side_is_missing(tmp_path: Path) -> None:
    scene = tmp_path / "diml" / "12. Livingroom"
    write_noise(scene / "color" / "1_c.png")
    write_noise(scene / "depth_filled" / "2_depth_filled.png", bits=16, channels=1)
    write_noise(scene / "color" / "3_c.jpg")  # as copies have it
    write_noise(scene / "depth_filled" / "3_depth_filled.png", bits=16, channels=1)
    with pytest.raises(
        DataError,
        match=r"2 of 3 cannot be used: .*/1_c\.png: has no 1_depth.*, .*/2_depth.*: has no colour image",
    ):
        prepare("diml", tmp_path / "diml", tmp_path / "out")
    for photo in (1, 3):
        write_noise(tmp_path / "nir" / "water" / f"{photo}_rgb.tiff")
    for frame in (2, 3):
        write_noise(tmp_path / "nir" / "water" / f"{frame}_nir.tiff", channels=1)
    with pytest.raises(
        DataError,
        match=r"2 of 3 cannot be used: .*/1_rgb.*: has no 1_nir.*, .*/2_nir\.tiff: has no 2_rgb\.tiff",
    ):
        prepare("rgbnir", tmp_path / "nir", tmp_path / "out")
    (report,) = prepare("rgbnir", tmp_path / "nir", tmp_path / "out", skip_bad=True)
    assert report["counts"]["target_frames"] == 1
    for partner in (scene / "depth_filled" / "3_depth_filled.png", tmp_path / "nir" / "water" / "3_nir.tiff"):
        partner.unlink()
        partner.symlink_to(tmp_path / "gone")  # a link that leads nowhere is no partner
    for name in ("diml", "nir"):
        with pytest.raises(DataError, match=r"3 of 3 cannot be used: .*/3_\w+\.\w+: has no 3_"):
            prepare(name.replace("nir", "rgbnir"), tmp_path / name, tmp_path / "again")


def test_what_macos_puts_beside_images_is_no_data(sun: Path, tmp_path: Path) -> None:
    scene = tmp_path / "diml" / "12. Livingroom"
    write_noise(scene / "color" / "1_c.png")
    write_noise(scene / "depth_filled" / "1_depth_filled.png", bits=16, channels=1)
    write_noise(tmp_path / "nir" / "water" / "1_rgb.tiff")
    write_noise(tmp_path / "nir" / "water" / "1_nir.tiff", channels=1)
    trees = {"diml": tmp_path / "diml", "rgbnir": tmp_path / "nir", "sunrgbd": sun}
    for name, tree in trees.items():
        clean, out = tmp_path / f"{name}-clean", tmp_path / f"{name}-macos"
        prepare(name, tree, clean)
        for file in [path for path in tree.rglob("*") if path.is_file()]:
            file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7" + bytes(60))
        shutil.copytree(tree, tree / ".Trashes")
        prepare(name, tree, out)
        tables = sorted(path.relative_to(out) for path in out.rglob("*.csv"))
        assert tables
        for table in tables:
            assert (out / table).read_text() == (clean / table).read_text()


def test_moved_files_are_counted_and_named_by_adapt(sun: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare("sunrgbd", sun, out, source_domain="kv1", target_domain="kv1")
    sun.rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError,
        match=rf"`target` .*target\.csv: 3 listed files do not exist: .*NYU0009.*; there is no folder {sun}\. Were "
        r"they moved\? Bring them back",
    ):
        load_frames(out / "target.csv", load_sensor(str(out / "sensor.yaml")), 32)
    with pytest.raises(DataError, match=r"`paired` .*paired\.csv: 16 listed files do not exist"):
        load_pairs(out / "paired.csv", load_sensor(str(out / "sensor.yaml")), 32)
    # If it is one file and not its folder, there is no more to say than its name.
    (tmp_path / "elsewhere").rename(sun)
    table = (out / "target.csv").read_text()
    (out / "target.csv").write_text(table + str(sun / "kv1" / "more.png") + "\n")
    with pytest.raises(DataError, match=r"1 listed files do not exist: [^;]*more\.png\. Were they moved\?"):
        load_frames(out / "target.csv", load_sensor(str(out / "sensor.yaml")), 32)
