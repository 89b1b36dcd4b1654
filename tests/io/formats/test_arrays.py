"""NumPy's files and PFM: the numbers that numpy and OpenCV write are those that arrive, bit for bit."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.images import find_images, read_frame, read_rgb
from tgkt_edge.io.parts import with_pages

METRES = np.random.default_rng(3).normal(2, 3, (23, 31)).astype(np.float32)
METRES[0, :5] = [np.nan, np.inf, -np.inf, -0.0, 1e-40]
COUNTS = np.random.default_rng(4).integers(0, 65536, (23, 31)).astype(np.uint16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", "f2", "u2", "u1", "f8", "i4"])
def test_an_array_arrives_as_numpy_wrote_it(dtype: str, layout: Any, order: str, tmp_path: Path) -> None:
    """Of any dtype: it is the SensorSpec that says which one frames must have."""
    with np.errstate(invalid="ignore"):
        array = np.asarray(METRES if dtype[0] == "f" else COUNTS).astype(dtype)
    np.save(tmp_path / "a.npy", np.asarray(array.astype(order + dtype), order=layout))
    read = read_frame(tmp_path / "a.npy")
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(23, 31, 1), (1, 23, 31), (1, 23, 31, 1)])
def test_axes_of_length_one_are_left_out(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", METRES.reshape(shape))
    assert read_frame(tmp_path / "a.npy").tobytes() == METRES.tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_of_an_archive_the_named_array_is_read(save: Any, tmp_path: Path) -> None:
    save(tmp_path / "one.npz", METRES)
    assert read_frame(tmp_path / "one.npz").tobytes() == METRES.tobytes()
    save(tmp_path / "two.npz", depth=METRES, ir=COUNTS)
    assert read_frame(tmp_path / "two.npz?array=depth").tobytes() == METRES.tobytes()
    assert read_frame(tmp_path / "two.npz?array=ir").tobytes() == COUNTS.tobytes()
    with pytest.raises(
        DataError, match=r"two\.npz: holds the arrays depth, ir\. Name one: FILE\?array=depth"
    ):
        read_frame(tmp_path / "two.npz")
    with pytest.raises(DataError, match=r"holds no array 'rgb'\. It holds depth, ir"):
        read_frame(tmp_path / "two.npz?array=rgb")


@pytest.mark.parametrize("name", ["stack.npy", "stack.npz", "two.npz?array=b"])
def test_a_stack_is_a_frame_a_page(name: str, tmp_path: Path) -> None:
    stack = np.stack([METRES + page for page in range(12)])
    np.save(tmp_path / "stack.npy", stack)
    np.savez(tmp_path / "stack.npz", stack)
    np.savez(tmp_path / "two.npz", a=METRES, b=stack)
    pages = with_pages(tmp_path / name)
    assert len(pages) == 12
    for page, path in enumerate(pages):
        np.testing.assert_array_equal(read_frame(path), stack[page])
    with pytest.raises(DataError, match=r"holds 12 pages\. Name one, from 0 to 11"):
        read_frame(tmp_path / name)
    with pytest.raises(DataError, match="there is no page 12"):
        read_frame(tmp_path / f"{name}{'&' if '?' in name else '?'}page=12")


@pytest.mark.slow
def test_a_page_of_a_stack_needs_no_more_memory_than_a_frame(tmp_path: Path) -> None:
    """16 GiB that nobody wrote: a file with a hole."""
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (16384, 1024, 512)}
        )
        start = file.tell()
        file.seek(start + 16383 * 1024 * 512 * 2)
        file.write(np.full((1024, 512), 7, "<u2").tobytes())
    pages = with_pages(tmp_path / "a.npy")
    assert len(pages) == 16384
    assert (read_frame(pages[-1]) == 7).all()
    assert (read_frame(pages[0]) == 0).all()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3), np.uint8), r"shape \(4, 5, 3\); expected \(height, width\) or a stack"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((4, 5), np.complex64), "a NumPy array of complex64"),
        (np.zeros((4, 5), bool), "a NumPy array of bool"),
        (np.array([["a"]]), "a NumPy array of <U1"),
        (np.zeros((4, 5), [("depth", "f4")]), "a NumPy array of "),
        (np.zeros((0, 5)), "its size is 5x0"),
        (np.zeros((0, 4, 5)), "holds no picture"),
    ],
)
def test_arrays_that_are_no_frames_are_refused(array: NDArray[Any], words: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match=rf"{name}: .*{words}"):
            read_frame(tmp_path / name)


class Bomb:
    """Unpickled, it ends the process."""

    def __reduce__(self) -> Any:
        return (__import__("os")._exit, (7,))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[Bomb()]], object), allow_pickle=True)
    with pytest.raises(DataError, match="a NumPy array of object"):
        read_frame(tmp_path / "a.npy")


def test_what_is_cut_off_or_no_archive_is_named(tmp_path: Path) -> None:
    held = io.BytesIO()
    np.save(held, METRES)
    (tmp_path / "a.npy").write_bytes(held.getvalue()[:-1])
    with pytest.raises(DataError, match=r"is truncated \(2851 of 2852 bytes of its numbers\)"):
        read_frame(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY\x01\0" + bytes(99))
    with pytest.raises(DataError, match="its NumPy header cannot be read"):
        read_frame(tmp_path / "b.npy")
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(DataError, match="a ZIP archive without NumPy arrays"):
        read_frame(tmp_path / "texts.zip")
    np.savez(tmp_path / "c.npz", METRES)
    whole = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a complete archive"):
        read_frame(tmp_path / "c.npz")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pfm_arrives_bit_for_bit(order: str, tmp_path: Path) -> None:
    scale = -1 if order == "<" else 1
    data = METRES[::-1].astype(f"{order}f4").tobytes()
    (tmp_path / "a.pfm").write_bytes(b"Pf\n31 23\n%d\n" % scale + data)
    assert read_frame(tmp_path / "a.pfm").tobytes() == METRES.tobytes()


def test_a_pfm_arrives_as_opencv_wrote_it(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.pfm"), METRES)
    assert read_frame(tmp_path / "a.pfm").tobytes() == METRES.tobytes()


def test_the_scale_of_a_pfm_is_noted_and_not_applied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Middlebury's disparities say 1/255, and its own code leaves that out."""
    (tmp_path / "a.pfm").write_bytes(b"Pf 31 23 -0.003922\n" + METRES[::-1].tobytes())
    assert read_frame(tmp_path / "a.pfm").tobytes() == METRES.tobytes()
    assert "a scale of 0.003922: their numbers are read as they are stored" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PF\n31 23\n-1\n" + bytes(12 * 31 * 23), "a PFM of three channels"),
        (b"Pf\n31 23\n-1\n" + bytes(4 * 31 * 23 - 1), r"is truncated \(2851 of 2852"),
        (b"Pf\n31 23\n0\n" + bytes(4 * 31 * 23), "its scale is 0"),
        (b"Pf\n31 23\nnan\n" + bytes(4 * 31 * 23), "its header is not that of a PFM"),
        (b"Pf\n0 23\n-1\n", "its size is 0x23"),
        (b"Pf\n99999 99999\n-1\n", "is too large"),
        ((b"Pf\n31 23\n-1\n" + bytes(4 * 31 * 23)) * 2, "holds several pictures"),
    ],
)
def test_a_pfm_that_is_not_read_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.pfm").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_frame(tmp_path / "a.pfm")


def test_arrays_are_found_as_frames_and_are_no_photographs(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", COUNTS)
    cv2.imwrite(str(tmp_path / "a.pfm"), METRES)
    assert [path.name for path in find_images(tmp_path)] == ["a.pfm", "b.npy"]
    for path in find_images(tmp_path):
        with pytest.raises(DataError, match="an RGB image has 8 or 16 bits"):
            read_rgb(path)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_header_that_claims_more_pages_than_the_file_holds_costs_no_memory(
    name: str, tmp_path: Path
) -> None:
    """2**35 pages would be as many paths. Those that are there are read, and the one after them is truncated."""
    header = io.BytesIO()
    shape = (1 << 35, 9, 9)
    np.lib.format.write_array_header_1_0(header, {"descr": "<u2", "fortran_order": False, "shape": shape})
    data = header.getvalue() + COUNTS.astype("<u2").tobytes()[: 2 * 81 + 7]
    if name == "a.npy":
        (tmp_path / name).write_bytes(data)
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("arr_0.npy", data)
    first, second = with_pages(tmp_path / name)
    np.testing.assert_array_equal(read_frame(first), COUNTS.ravel()[:81].reshape(9, 9))
    with pytest.raises(DataError, match=r"is truncated \(7 of 162 bytes"):
        read_frame(second)


def test_words_behind_a_question_mark_must_be_known(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", COUNTS)
    for question, words in (
        ("?pages=1", "'pages': expected page=, array=, channel="),
        ("?page=-1", "page=-1: expected a number from 0"),
        ("?channel=Z", "of a format that has no channel"),
    ):
        with pytest.raises(DataError, match=words.replace("?", r"\?")):
            read_frame(tmp_path / f"a.npy{question}")
    np.save(tmp_path / "what?page=1.npy", COUNTS)  # a name like any other
    assert read_frame(tmp_path / "what?page=1.npy").tobytes() == COUNTS.tobytes()
