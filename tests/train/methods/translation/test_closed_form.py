"""Normals, moments, ridge, softmax regression and balanced answers: by hand, and against other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.prior import balance, class_shares, log_softmax, mixed
from tgkt_edge.train.methods.translation.ridge import dual_weights, normal_equations, ridge
from tgkt_edge.train.methods.translation.self_training import principal_components, self_train
from tgkt_edge.train.methods.translation.softmax_regression import (
    balancing_weights,
    one_hot,
    softmax_regression,
)
from tgkt_edge.train.nn.normals import DISTANCE_FLOOR, GAIN, RELATIVE_GAIN, relative_normals, surface_normals

# Surface normals


def test_a_flat_wall_looks_at_the_camera() -> None:
    normals = surface_normals(torch.full((2, 1, 4, 5), 0.3))
    assert normals.shape == (2, 3, 4, 5)
    assert torch.equal(normals[:, 0], torch.full((2, 4, 5), 0.5))
    assert torch.equal(normals[:, 1], torch.full((2, 4, 5), 0.5))
    assert torch.equal(normals[:, 2], torch.ones(2, 4, 5))


def test_a_plane_has_one_normal_by_hand() -> None:
    """Depth grows by 1/60 a pixel to the right: GAIN g = 1, n = (-1, 0, 1) / sqrt(2), everywhere."""
    depth = (torch.arange(6) / GAIN).expand(1, 1, 4, 6)
    normals = surface_normals(depth)
    expected = torch.tensor([0.5 - 0.5 / 2**0.5, 0.5, 0.5 + 0.5 / 2**0.5]).view(1, 3, 1, 1).expand(1, 3, 4, 6)
    torch.testing.assert_close(normals, expected)


def test_a_mirrored_plane_leans_to_the_other_side() -> None:
    depth = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    n, mirrored = surface_normals(depth), surface_normals(depth.flip(3)).flip(3)
    torch.testing.assert_close(mirrored[:, 0], 1 - n[:, 0])
    torch.testing.assert_close(mirrored[:, 1:], n[:, 1:])


def test_relative_normals_lean_by_the_slope_over_the_distance_by_hand() -> None:
    """A wall whose distance grows by a third of 1.2 over 8 pixels, from code 0.19 and 1 code range away."""
    depth = torch.full((1, 1, 2, 8), 0.19)
    depth[..., 4:] += 0.4  # one step between columns 3 and 4, of which each column beside it sees half
    normals = relative_normals(depth, 1.0)
    gain = RELATIVE_GAIN * 8
    for column, distance in ((3, 0.19 + 1 + DISTANCE_FLOOR), (4, 0.59 + 1 + DISTANCE_FLOOR)):
        lean = gain * 0.2 / distance
        expected = torch.tensor(
            [0.5 - lean / 2 / (1 + lean**2) ** 0.5, 0.5, 0.5 + 0.5 / (1 + lean**2) ** 0.5]
        )
        torch.testing.assert_close(normals[0, :, 1, column], expected)
    torch.testing.assert_close(
        normals[..., :3], torch.tensor([0.5, 0.5, 1]).view(1, 3, 1, 1).expand(1, 3, 2, 3)
    )


def test_relative_normals_are_the_same_twice_as_far_away_and_in_twice_the_pixels() -> None:
    """A slope is what it is whatever the unit of length, and whatever the number of pixels it is seen in."""
    depth = torch.linspace(0.2, 0.4, 16).expand(1, 1, 16, 16) - DISTANCE_FLOOR
    far = relative_normals(2 * (depth + DISTANCE_FLOOR) - DISTANCE_FLOOR, 0.0)
    torch.testing.assert_close(relative_normals(depth, 0.0), far)
    torch.testing.assert_close(relative_normals(depth - 0.1, 0.1), far)  # the range begins at 0.1
    wider = (
        torch.linspace(0.2, 0.4, 31).expand(1, 1, 31, 31)[..., :30] - DISTANCE_FLOOR
    )  # half the slope a pixel
    at = slice(2, 14)
    found = relative_normals(wider, 0.0)[..., 2, 4:28:2]
    torch.testing.assert_close(found, relative_normals(depth, 0.0)[..., 2, at], atol=0.01, rtol=0)


# Moments


def test_moments_of_blocks_are_those_of_all_rows(rng: np.random.Generator) -> None:
    rows = rng.normal(1e4, 1e-2, (57, 3))  # naive sums of squares lose this spread
    moments = Moments()
    for block in np.split(rows, [1, 20, 21]):
        moments.add(block)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, rows.std(0), rtol=1e-6)
    assert moments.rows == 57


def test_a_column_without_spread_is_not_blown_up() -> None:
    moments = Moments()
    moments.add(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert moments.scale.tolist() == [1.0, np.inf]
    alike = Moments()
    alike.add(np.ones((4, 2)))
    assert alike.scale.tolist() == [np.inf, np.inf]


# Ridge


def test_ridge_by_hand() -> None:
    """One column x = (1, 2), y = (2, 3): x'x = 5, x'y = 8, strength 3: W = 8 / 8."""
    weights = ridge([(np.array([[1.0], [2.0]]), np.array([[2.0], [3.0]]))], 3.0)
    assert weights.tolist() == [[1.0]]


@pytest.mark.parametrize(("rows", "columns"), [(40, 7), (6, 15)])
def test_ridge_is_scikit_learns_in_blocks_and_in_the_dual(
    rows: int, columns: int, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(rows, columns)), rng.normal(size=(rows, 3))
    expected = Ridge(alpha=2.5, fit_intercept=False, solver="svd").fit(x, y).coef_.T
    cut = [1, rows // 2]
    found = ridge(zip(np.split(x, cut), np.split(y, cut), strict=True), 2.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(x.T @ dual_weights(x @ x.T, y, 2.5), expected, rtol=1e-9, atol=1e-12)


def test_rows_taken_away_again_leave_the_others(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    whole, part = normal_equations([(x, y)]), normal_equations([(x[:5], y[:5])])
    rest = whole.without(part)
    assert rest.rows == 15
    np.testing.assert_allclose(rest.solve(1.0), ridge([(x[5:], y[5:])], 1.0), rtol=1e-9)


def test_ridge_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        ridge([], 1.0)


# Softmax regression


def test_softmax_regression_is_scikit_learns(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 5))
    labels = (x[:, 0] + 0.3 * rng.normal(size=60) > 0).astype(np.int64) + (x[:, 1] > 0.8)
    weights = balancing_weights(labels, 3)
    theirs = LogisticRegression(C=0.3, class_weight="balanced", tol=1e-9, max_iter=5000).fit(x, labels)
    rows = one_hot(labels, 3) * weights[:, None]
    ours = softmax_regression(lambda: zip(np.split(x, [7, 30]), np.split(rows, [7, 30]), strict=True), 0.3)
    np.testing.assert_allclose(ours.weight, theirs.coef_.T, atol=2e-4)
    np.testing.assert_allclose(
        log_softmax(ours(x)), np.log(theirs.predict_proba(x)), atol=1e-3
    )  # the biases have a constant free


def test_balancing_weights_by_hand() -> None:
    """Three of class 0, one of class 2: each class counts 2 of 4."""
    assert balancing_weights(np.array([0, 0, 2, 0]), 3).tolist() == pytest.approx([2 / 3, 2 / 3, 2, 2 / 3])


def test_soft_labels_are_learnt_as_they_are() -> None:
    """Two points, far apart, hardly any penalty: the answers are the labels."""
    x, labels = np.array([[-1.0], [1.0]]), np.array([[0.9, 0.1], [0.3, 0.7]])
    head = softmax_regression(lambda: [(x, labels)], 1e6)
    np.testing.assert_allclose(np.exp(log_softmax(head(x))), labels, atol=1e-3)


def test_a_regression_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        softmax_regression(lambda: [(np.empty((0, 2)), np.empty((0, 3)))], 1.0)


# Balanced answers


def test_balanced_answers_have_the_priors_means_and_rows_of_one(rng: np.random.Generator) -> None:
    logits, prior = 3 * rng.normal(size=(200, 4)), np.array([0.1, 0.2, 0.3, 0.4])
    answers, offsets = balance(logits, prior, 500)
    np.testing.assert_allclose(np.exp(answers).sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(answers).mean(0), prior, rtol=1e-6)
    # Nothing but one offset a class was added: what a linear head can carry to the device.
    np.testing.assert_allclose(answers, log_softmax(logits + offsets), rtol=1e-12)


def test_balance_by_hand() -> None:
    """Two frames alike: both get the prior itself, whatever the logits were."""
    answers, _ = balance(np.array([[5.0, 0.0], [5.0, 0.0]]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(np.exp(answers), [[0.25, 0.75]] * 2, rtol=1e-9)


def test_frames_in_many_blocks_are_balanced_as_in_one(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, prior = 9 * rng.normal(size=(50, 4)), np.array([0.1, 0.2, 0.3, 0.4])
    one, offsets = balance(logits, prior)
    monkeypatch.setattr("tgkt_edge.train.methods.translation.prior.BLOCK", 7)
    many, others = balance(logits, prior)
    np.testing.assert_allclose(many, one, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(others, offsets, rtol=1e-9, atol=1e-9)


def test_extreme_logits_neither_overflow_nor_vanish() -> None:
    logits = np.array([[2000.0, 0.0], [1990.0, 0.0], [0.0, 2000.0]])
    answers, _ = balance(logits, np.array([1 / 3, 2 / 3]), 2000)
    assert np.isfinite(answers).all()
    assert answers.argmax(1)[2] == 1
    np.testing.assert_allclose(np.exp(answers).sum(1), 1)


def test_a_class_of_share_zero_gets_nothing() -> None:
    answers, _ = balance(np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 3.0]]), np.array([0.5, 0.5, 0.0]))
    assert np.exp(answers)[:, 2].tolist() == [0.0, 0.0]
    assert answers.argmax(1).tolist() == [0, 1]


def test_shares_by_hand() -> None:
    shares = class_shares(np.array([0, 0, 2, 0]), 3)
    assert shares.tolist() == [0.75, 0, 0.25]
    assert mixed(shares, 0.5).tolist() == pytest.approx([0.75 / 2 + 1 / 6, 1 / 6, 0.25 / 2 + 1 / 6])
    assert mixed(shares, 0.0).tolist() == shares.tolist()


# Self-training


def test_principal_components_are_those_of_the_covariance(rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 4)) * np.array([5.0, 1.0, 0.1, 0.0])
    values, vectors = principal_components(x.T @ x, 8)
    assert len(values) == 3  # the fourth column is zero, and there are no more
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(x.T @ x, vectors * values @ vectors.T, atol=1e-9)
    assert list(values) == sorted(values, reverse=True)
    assert (vectors[np.abs(vectors).argmax(0), np.arange(3)] > 0).all()


def test_self_training_moves_doubtful_frames_to_their_neighbours() -> None:
    """Two clusters; the first teacher knows most frames, and is wrong, but doubtful, about one of each."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 20)
    components = np.where(truth[:, None] == 0, -1.0, 1.0) + 0.1 * rng.normal(size=(40, 1))
    first = np.where(one_hot(truth, 2) > 0, 2.0, -2.0)
    first[[0, 39]] = [[-0.3, 0.3], [0.3, -0.3]]
    answers = self_train(components, first, np.array([0.5, 0.5]), rounds=12, c=0.1, keep=0.5)
    assert (first.argmax(1) == truth).mean() == 0.95
    assert (answers.argmax(1) == truth).all()
    np.testing.assert_allclose(np.exp(answers).mean(0), 0.5, rtol=1e-6)


def test_a_class_ruled_out_stays_out(rng: np.random.Generator) -> None:
    answers = self_train(
        rng.normal(size=(12, 2)), rng.normal(size=(12, 3)), np.array([0.5, 0.5, 0.0]),
        rounds=2, c=0.1, keep=0.5,
    )  # fmt: skip
    assert np.exp(answers)[:, 2].tolist() == [0.0] * 12
    np.testing.assert_allclose(np.exp(answers).sum(1), 1)
