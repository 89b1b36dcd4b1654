"""``--prior``: by name, or from a file that is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError
from tgkt_edge.train.methods.translation.class_prior import (
    NAMED,
    answered_shares,
    priors,
    read_prior,
    refuse_labels_of_no_share,
)
from tgkt_edge.train.methods.translation.estimated_prior import (
    FRAMES,
    TRUSTED,
    TRUSTED_OF_MEANS,
    Estimate,
    estimated_prior,
)
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.prior import balance

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASSES = ("bedroom", "kitchen", "office")


def test_a_file_gives_the_shares_in_the_order_of_the_classes(tmp_path: Path) -> None:
    file = tmp_path / "prior.csv"
    file.write_text("class,share\noffice,0.2\nbedroom,0.5\nkitchen,0.3004\n")
    found = read_prior(str(file), CLASSES)
    assert found is not None
    np.testing.assert_allclose(found, np.array([0.5, 0.3004, 0.2]) / 1.0004)
    assert priors(str(file), np.array([1.0, 0.0, 0.0]), found, 3) == [(1.0, found)]


@pytest.mark.parametrize(
    "data",
    [
        "class,share\nbedroom,0.5\nhall,0.3\nBüro,0.2\n".encode("utf-8-sig"),
        "class,share\nbedroom,0.5\nhall,0.3\nBüro,0.2\n".encode("utf-16"),
        "class;share\r\nbedroom;0,5\r\nhall;0,3\r\nBüro;0,2\r\n".encode(),
        "sep=;\nshare;class\n0.5;bedroom\n0.3;hall\n0.2;Büro\n".encode(),
        'Class, Share\n\nbedroom , 0.5\n"hall",0.3\nBu\u0308ro,"0,2"\n\n'.encode(),
    ],
    ids=["mark", "utf-16", "semicolons", "sep line", "blanks and NFD"],
)
def test_files_as_spreadsheets_write_them(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "prior.csv"
    file.write_bytes(data)
    found = read_prior(str(file), ("bedroom", "hall", "Büro"))
    assert found is not None
    np.testing.assert_allclose(found, [0.5, 0.3, 0.2])


@pytest.mark.parametrize("name", NAMED)
def test_names_need_no_file(name: str) -> None:
    assert read_prior(name, CLASSES) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shares", [[0.6, 0.4, 0.0]]),
        ("half", [[0.3 + 1 / 6, 0.2 + 1 / 6, 1 / 6]]),
        ("uniform", [[1 / 3] * 3]),
        ("between", [[0.6, 0.4, 0.0], [0.3 + 1 / 6, 0.2 + 1 / 6, 1 / 6]]),
    ],
)
def test_named_priors_by_hand(name: str, expected: list[list[float]]) -> None:
    found = priors(name, np.array([0.6, 0.4, 0.0]), None, 3)
    assert [weight for weight, _ in found] == [1 / len(expected)] * len(expected)
    np.testing.assert_allclose([prior for _, prior in found], expected)


def two_opinions(truth: Ints, noise: float, rng: np.random.Generator) -> tuple[Reals, Reals]:
    """(N, K) logits of two translations that err apart."""
    classes = int(truth.max()) + 1
    one, other = (
        3 * np.eye(classes)[truth] + noise * rng.normal(size=(len(truth), classes)) for _ in range(2)
    )
    return one, other


@pytest.mark.slow
def test_two_opinions_find_the_prior_towards_which_they_agree(rng: np.random.Generator) -> None:
    """Classes are alike frequent, though the source's were not."""
    shares = np.array([0.6, 0.3, 0.1])
    opinions = two_opinions(np.repeat([0, 1, 2], 100), 1.5, rng)
    ((weight, found),) = priors("estimated", shares, None, 3, opinions)
    assert weight == 1
    assert found.sum() == pytest.approx(1)
    assert np.abs(found - 1 / 3).max() < 0.1 < np.abs(shares - 1 / 3).max()
    # One opinion: nothing to estimate from.
    assert [weight for weight, _ in priors("estimated", shares, None, 3, opinions[:1])] == [0.5, 0.5]


@pytest.mark.slow
def test_shares_that_no_power_of_the_source_s_expresses_are_found(rng: np.random.Generator) -> None:
    """The source has one frequent class and four alike; among the frames another one is frequent."""
    shares = np.array([0.4, 0.15, 0.15, 0.15, 0.15])
    true = np.array([0.15, 0.4, 0.15, 0.15, 0.15])
    one, other = two_opinions(np.repeat(np.arange(5), (200 * true).astype(int)), 1.2, rng)
    found = estimated_prior(one, other, shares)
    assert np.abs(found.prior - true).max() < 0.15 < np.abs(shares - true).max()
    assert found.prior.argmax() == true.argmax()
    assert found.trust() == 1
    # Nor does a source whose classes are alike frequent express them.
    assert estimated_prior(one, other, np.full(5, 0.2)).prior.argmax() == true.argmax()


@pytest.mark.slow
def test_opinions_that_hardly_agree_leave_the_prior_to_the_source_s_shares(rng: np.random.Generator) -> None:
    """Weak translations agree best on a flat prior whatever the shares are: that counts nothing."""
    shares = np.array([0.6, 0.3, 0.1])
    one, other = two_opinions(np.repeat([0, 1, 2], (300 * shares).astype(int)), 6.0, rng)
    assert estimated_prior(one, other, shares).gain < TRUSTED[0]
    between = priors("between", shares, None, 3)
    found = priors("estimated", shares, None, 3, (one, other))
    np.testing.assert_allclose([prior for _, prior in found], [prior for _, prior in between])


@pytest.mark.parametrize(("gain", "trust"), [(-0.1, 0), (0.02, 0), (0.04, 0.5), (0.06, 1), (0.3, 1)])
def test_the_estimate_counts_by_what_it_gains(gain: float, trust: float) -> None:
    found = Estimate(np.ones(1), 1.0, gain)
    assert found.trust() == pytest.approx(trust)
    assert Estimate(np.ones(1), 1.0, 2 * gain).trust(TRUSTED_OF_MEANS) == pytest.approx(trust)


def test_where_it_counts_by_half_so_do_the_source_s_shares(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior = np.array([0.2, 0.5, 0.3])
    monkeypatch.setattr(
        "tgkt_edge.train.methods.translation.class_prior.estimated_prior",
        lambda *_: Estimate(prior, 0.0, sum(TRUSTED) / 2),
    )
    found = priors("estimated", np.array([0.6, 0.3, 0.1]), None, 3, [rng.normal(size=(4, 3))] * 2)
    assert [weight for weight, _ in found] == pytest.approx([0.5, 0.25, 0.25])
    assert found[0][1] is prior
    stricter = priors(
        "estimated", np.array([0.6, 0.3, 0.1]), None, 3, [rng.normal(size=(4, 3))] * 2, (0.04, 0.12)
    )
    assert [weight for weight, _ in stricter] == [0.5, 0.5]


def test_a_class_that_never_was_stays_out(rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(2, 30, 3))
    found = estimated_prior(one, other, np.array([0.7, 0.3, 0.0]))
    assert found.prior[2] == 0
    assert found.prior.sum() == pytest.approx(1)
    assert -1.1 <= found.power <= 1.6


@pytest.mark.slow
def test_frames_beyond_a_number_are_not_needed(rng: np.random.Generator) -> None:
    """The estimate of 6,000 frames is that of the 2,000 that are spread over them."""
    one, other = two_opinions(np.tile([0, 0, 1, 2], 1500), 1.5, rng)
    shares = np.array([0.2, 0.3, 0.5])
    some = np.unique(np.linspace(0, 5999, FRAMES).round().astype(int))
    np.testing.assert_array_equal(
        estimated_prior(one, other, shares).prior, estimated_prior(one[some], other[some], shares).prior
    )


def test_classes_of_unknown_shares_count_alike_where_nothing_was_answered() -> None:
    assert priors("shares", None, None, 4)[0][1].tolist() == [0.25] * 4


def test_unknown_shares_lie_between_the_mean_answer_and_equal_ones() -> None:
    """Three of four frames are answered alike for certain: 0.75, 0.25, 0 and 1 / 3 each, half and half."""
    logits = 50 * np.eye(3)[[0, 0, 0, 1]]
    np.testing.assert_allclose(answered_shares(logits), [13 / 24, 7 / 24, 1 / 6])
    ((weight, prior),) = priors("shares", None, None, 3, [logits])
    assert weight == 1
    np.testing.assert_allclose(prior, answered_shares(logits))


def test_how_far_the_answers_tell_unknown_shares_is_averaged_over(rng: np.random.Generator) -> None:
    """One opinion alone: teachers of the mean answer as it is, of half of it, and of equal shares count alike."""
    logits = 50 * np.eye(3)[[0, 0, 0, 1]]
    found = priors("estimated", None, None, 3, [logits])
    assert [weight for weight, _ in found] == [1 / 3] * 3
    expected = [[3 / 4, 1 / 4, 0], [13 / 24, 7 / 24, 1 / 6], [1 / 3] * 3]
    np.testing.assert_allclose([prior for _, prior in found], expected, atol=1e-12)
    known = np.array(
        [0.2, 0.3, 0.5]
    )  # where they are known nothing is averaged but the shares and half of them
    assert len(priors("estimated", known, None, 3, [logits])) == 2
    # Two opinions estimate them; what is not estimated lies between one guess and equal shares, as for known ones.
    one, other = two_opinions(np.repeat([0, 1, 2], (150, 100, 50)), 1.5, rng)
    both = priors("estimated", None, None, 3, (one, other))
    guess = answered_shares(one)
    np.testing.assert_allclose([prior for _, prior in both[-2:]], [guess, (guess + 1 / 3) / 2])


def test_shares_that_are_known_or_given_are_not_taken_from_answers() -> None:
    logits, known = 50 * np.eye(3)[[0, 0, 0, 1]], np.array([0.2, 0.3, 0.5])
    for shares, given in ((known, None), (None, known)):
        np.testing.assert_array_equal(priors("shares", shares, given, 3, [logits])[0][1], known)
    np.testing.assert_allclose(priors("uniform", None, None, 3, [logits])[0][1], np.full(3, 1 / 3))


def test_unequal_classes_of_a_source_without_shares_are_found_more_often(rng: np.random.Generator) -> None:
    """Nine tenths of the frames are of one class, the answers noisy: equal shares would take many of them away."""
    labels = np.repeat([0, 1, 2], (270, 15, 15))
    logits = 2 * np.eye(3)[labels] + rng.normal(size=(300, 3))

    def classified(prior: np.ndarray) -> float:
        return float((balance(logits, prior)[0].argmax(1) == labels).mean())

    assert classified(answered_shares(logits)) > classified(np.full(3, 1 / 3)) + 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,share\nbedroom,0.5\nkitchen,0.3\noffice,0.1\n", r"the shares sum to 0\.9; expected 1"),
        ("class,share\nbedroom,0.5\nkitchen,0.5\n", r"missing: 'office'\. The source model's classes are"),
        ("class,share\nbedroom,0.5\nkitchen,0.3\noffice,0.1\nattic,0.1\n", r"unknown: 'attic'"),
        ("class,share\nbedroom,0.5\nkitchen,0.3\noffice,0.1\noffice,0.1\n", r"given twice: 'office'"),
        ("class,share\nbedroom,1.5\nkitchen,-0.5\noffice,0\n", r"line 3: the share of 'kitchen' is '-0\.5'"),
        (
            "class,share\nbedroom,20\nkitchen,20\noffice,10\n",
            r"the shares sum to 50; expected 1\. Divide each",
        ),
        ("class,share\nbedroom,inf\nkitchen,0.5\noffice,0\n", r"line 2: the share of 'bedroom' is 'inf'"),
        ("class,share\nbedroom,\nkitchen,0.5\noffice,0.5\n", r"line 2: column 'share' is empty"),
        ("class,share\nbedroom,many\nkitchen,0.5\noffice,0\n", r"share of 'bedroom' is 'many'"),
        ("class,share\nbedroom,nan\nkitchen,0.5\noffice,0\n", r"share of 'bedroom' is 'nan'"),
        ("name,share\nbedroom,1\n", r"has no column 'class'.*names the columns: class,share"),
        ("", r"has no column 'class'.*names the columns: class,share"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "prior.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_prior(str(file), CLASSES)
    assert str(file) in str(caught.value)


def test_a_class_may_differ_in_case_as_in_labels(tmp_path: Path) -> None:
    file = tmp_path / "prior.csv"
    file.write_text("class,share\nOffice,0.2\nbedroom,0.5\nKITCHEN,0.3\n")
    found = read_prior(str(file), CLASSES)
    assert found is not None
    np.testing.assert_allclose(found, [0.5, 0.3, 0.2])
    file.write_text("class,share\nOffice,0.2\nbedroom,0.5\noffice,0.3\nkitchen,0\n")
    with pytest.raises(ConfigError, match="given twice: 'office'"):
        read_prior(str(file), CLASSES)


def test_labels_of_a_class_that_the_prior_excludes_are_refused() -> None:
    labelled = Labelled(np.array([3, 4, 9]), np.array([2, 2, 0]))
    with pytest.raises(ConfigError, match=r"`prior=p.csv` gives the share 0 to .*`labels`.*: office \(2\)"):
        refuse_labels_of_no_share(labelled, np.array([0.6, 0.4, 0.0]), CLASSES, "p.csv")
    for fine in (None, np.array([0.6, 0.0, 0.4])):
        refuse_labels_of_no_share(labelled, fine, CLASSES, "p.csv")


def test_neither_a_name_nor_a_file_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="`prior=halves`: neither a file nor one of estimated, between, shares"
    ):
        read_prior("halves", CLASSES)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prior.csv").write_bytes(b"class,share\n\xff\xfe")
    with pytest.raises(ConfigError, match="line 2: not a CSV file in UTF-8"):
        read_prior(str(tmp_path / "prior.csv"), CLASSES)
