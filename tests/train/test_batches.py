"""Crops, flips and batches: the fast ways against plain slicing, and what must never go apart."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tgkt_edge.preprocess import encode, preprocess, resize_side
from tgkt_edge.sensor import PRESETS
from tgkt_edge.train.batches import (
    Store,
    Views,
    ahead,
    batches,
    center_views,
    endless,
    epoch_rng,
    made_ahead,
    pieces,
    random_views,
)

CPU = torch.device("cpu")
SIDE, SIZE = 9, 6


def plain(images: NDArray[np.uint16] | NDArray[np.uint8], views: Views, size: int) -> NDArray[np.float32]:
    """Views cut out one by one with slices: (B, C, size, size) in [0, 1]."""
    rows = []
    for i in range(len(views)):
        top, left = views.top[i], views.left[i]
        crop = images[views.index[i], top : top + size, left : left + size]
        if views.flip[i]:
            crop = crop[:, ::-1]
        rows.append(crop if crop.ndim == 3 else crop[:, :, None])
    top_value = np.float32(np.iinfo(images.dtype).max)
    unit: NDArray[np.float32] = (np.stack(rows).astype(np.float32) / top_value).transpose(0, 3, 1, 2)
    return unit


def some_codes(n: int = 5, side: int = SIDE) -> NDArray[np.uint16]:
    codes = np.random.default_rng(0).integers(0, 65536, (n, side, side), dtype=np.uint16)
    codes[0, :2] = [[0], [65535]]
    codes[1, :2] = [[32767], [32768]]  # either side of the sign bit of the int16 that carries them
    return codes


def some_rgb(n: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("images", [some_codes(), some_rgb()], ids=["codes", "rgb"])
def test_take_is_plain_slicing_and_mirroring(images: NDArray[np.uint16] | NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(2)
    views = random_views(rng, rng.integers(0, 5, 40), SIDE, SIZE)
    assert 0 < views.flip.sum() < 40
    found = Store(images, CPU).take(views, SIZE)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), plain(images, views, SIZE))


@pytest.mark.parametrize("images", [some_codes(), some_rgb()], ids=["codes", "rgb"])
def test_a_gpu_gathers_what_a_cpu_slices(images: NDArray[np.uint16] | NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(2)
    views = random_views(rng, rng.integers(0, 5, 40), SIDE, SIZE)
    store = Store(images, CPU)
    assert torch.equal(store._gathered(views, SIZE), store._sliced(views, SIZE))


# Batches that a thread makes ahead


def test_batches_made_ahead_are_the_same_in_the_same_order() -> None:
    def drawn() -> Iterator[list[int]]:
        rng = epoch_rng(3, "source", 1)
        for index in batches(rng, 50, 8):
            yield [*index.tolist(), int(rng.integers(1000))]

    expected = list(drawn())
    assert len(expected) == 7
    assert list(ahead(drawn(), CPU)) == expected
    for depth in (1, 2, 20):
        assert list(made_ahead(drawn(), depth)) == expected


def test_a_thread_makes_no_more_than_so_many_ahead_and_ends_with_its_reader() -> None:
    made: list[int] = []

    def drawn() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    reader = made_ahead(drawn(), 2)
    assert [next(reader), next(reader)] == [0, 1]
    reader.close()
    assert len(made) <= 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_an_error_while_a_batch_is_made_ahead_comes_where_the_batch_would() -> None:
    def drawn() -> Iterator[int]:
        yield 7
        raise OSError("the cache is gone")

    found = []
    with pytest.raises(OSError, match="the cache is gone"):
        for one in made_ahead(drawn(), 3):
            found.append(one)
    assert found == [7]


def test_codes_above_half_of_the_range_stay_positive() -> None:
    store = Store(np.full((1, 4, 4), 65535, np.uint16), CPU)
    assert torch.equal(store.take(center_views(np.array([0]), 4, 4), 4), torch.ones(1, 1, 4, 4))


def test_taking_views_leaves_the_images_as_they_were() -> None:
    codes = some_codes()
    store = Store(codes, CPU)
    views = center_views(np.arange(5), SIDE, SIZE)
    store.take(views, SIZE).zero_()
    np.testing.assert_array_equal(store.take(views, SIZE).numpy(), plain(some_codes(), views, SIZE))


def test_a_pair_taken_with_one_view_shares_crop_and_flip() -> None:
    """The trap of public code: independent crops on the two sides, so that pairs no longer match."""
    tag = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)  # every pixel tells its place
    rgb = np.repeat(np.stack([tag, tag])[..., None], 3, axis=3)
    codes = np.stack([tag, tag]).astype(np.uint16) * 257  # 257 * 255 = 65535: the same value in [0, 1]
    views = random_views(np.random.default_rng(3), np.array([0, 1, 0, 1, 1, 0]), SIDE, SIZE)
    colour, frame = Store(rgb, CPU).take(views, SIZE), Store(codes, CPU).take(views, SIZE)
    torch.testing.assert_close(colour, frame.expand(-1, 3, -1, -1))
    assert not torch.equal(frame[0], frame[2])  # one image, two views


@pytest.mark.parametrize("size", [32, 33, 224])
def test_the_central_view_is_the_devices_preprocessing_bit_for_bit(size: int) -> None:
    spec = PRESETS["depth"]
    raw = np.random.default_rng(4).integers(0, 9000, (60, 80), dtype=np.uint16)
    raw[20:30, 20:40] = 0  # a hole without a reading
    side = resize_side(size)
    store = Store(encode(raw, spec, side)[None], CPU)
    view = store.take(center_views(np.array([0]), side, size), size)
    assert view[0].numpy().tobytes() == preprocess(raw, spec, size).tobytes()


def test_random_views_cover_every_corner_and_mirror_half() -> None:
    views = random_views(np.random.default_rng(5), np.zeros(4000, np.int64), SIDE, SIZE)
    corners = set(zip(views.top.tolist(), views.left.tolist(), strict=True))
    assert corners == {(top, left) for top in range(4) for left in range(4)}  # 9 - 6 + 1 = 4 positions each
    assert 0.45 < views.flip.mean() < 0.55  # 6 standard deviations of a fair coin


def test_views_can_be_selected_as_arrays_are() -> None:
    views = random_views(np.random.default_rng(6), np.arange(5), SIDE, SIZE)
    some = views[np.array([4, 0])]
    assert some.index.tolist() == [4, 0]
    assert some.top.tolist() == [views.top[4], views.top[0]]
    assert some.flip.tolist() == [views.flip[4], views.flip[0]]


# Batches


@pytest.mark.parametrize(("n", "batch"), [(10, 4), (8, 4), (33, 32), (5, 7), (64, 3)])
def test_batches_take_everything_once_in_pieces_of_nearly_one_size(n: int, batch: int) -> None:
    found = batches(np.random.default_rng(0), n, batch)
    assert sorted(np.concatenate(found).tolist()) == list(range(n))
    sizes = [len(piece) for piece in found]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch
    assert len(found) == -(-n // batch)


def test_no_batch_is_of_one_image_alone() -> None:
    """Batch norm has nothing to norm by then. Every other division is the one into ceil(n / batch)."""
    for n in range(2, 60):
        for batch in range(2, 40):
            found = [piece.tolist() for piece in pieces(np.arange(n), batch)]
            plain = [piece.tolist() for piece in np.array_split(np.arange(n), -(-n // batch))]
            if min(map(len, plain)) > 1:
                assert found == plain
            else:
                assert (n % 2, batch) == (1, 2)
                assert sorted(map(len, found)) == [2] * (n // 2 - 1) + [3]
            assert [piece.tolist() for piece in pieces(np.arange(n), batch, least=1)] == plain


def test_batches_are_shuffled_anew_by_each_generator() -> None:
    one, same, other = (batches(np.random.default_rng(seed), 50, 8) for seed in (0, 0, 1))
    assert np.array_equal(np.concatenate(one), np.concatenate(same))
    assert not np.array_equal(np.concatenate(one), np.concatenate(other))


@pytest.mark.parametrize(("n", "sizes"), [(5, [4, 4, 4, 3]), (3, [8]), (100, [4, 4]), (4, [4, 4, 4])])
def test_endless_batches_have_the_sizes_asked_and_wear_all_images_evenly(n: int, sizes: list[int]) -> None:
    pieces = endless(np.random.default_rng(0), n, sizes)
    assert [len(piece) for piece in pieces] == sizes
    drawn = np.concatenate(pieces)
    for end in range(1, len(drawn) + 1):  # at no time has one image been seen twice more than another
        seen = np.bincount(drawn[:end], minlength=n)
        assert seen.max() - seen.min() <= 1


# Repeatable randomness


def test_an_epoch_can_be_repeated_alone() -> None:
    def numbers(seed: int, stage: str, epoch: int) -> list[int]:
        return list(map(int, epoch_rng(seed, stage, epoch).integers(0, 2**60, 4)))

    here = numbers(3, "tgmb", 2)
    assert numbers(3, "tgmb", 2) == here
    others = [numbers(4, "tgmb", 2), numbers(3, "tgkt", 2), numbers(3, "tgmb", 3), numbers(2, "tgmb", 3)]
    assert all(other != here for other in others)
    assert len({tuple(other) for other in others}) == len(others)


def test_dropout_of_an_epoch_is_the_same_again() -> None:
    """A run that was cut off and resumed differed from one that was not, where the network has dropout."""
    layer, ones = torch.nn.Dropout(0.5), torch.ones(64)

    def kept(seed: int, stage: str, epoch: int) -> list[float]:
        epoch_rng(seed, stage, epoch)
        return list(map(float, layer(ones)))

    here = kept(3, "distill", 2)
    torch.rand(5)  # whatever was drawn before
    assert kept(3, "distill", 2) == here
    assert here not in (kept(4, "distill", 2), kept(3, "tgkt", 2), kept(3, "distill", 3))
