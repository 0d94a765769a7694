import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnexus.errors import ResnexusError
from resnexus.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    calibration,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def test_calibration_error_by_hand():
    """Four images of confidence 0.9, three right: |0.9 - 0.75|; one of 0.6, wrong: 0.6."""
    high, low = math.log(9), math.log(1.5)
    logits = torch.tensor([[high, 0.0]] * 4 + [[low, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 1, 1])
    assert expected_calibration_error(logits, labels, bins=10) == pytest.approx((4 * 0.15 + 0.6) / 5)
    # In a single bin over- and underconfidence cancel: |mean confidence - accuracy|.
    assert expected_calibration_error(logits, labels, bins=1) == pytest.approx(0.84 - 0.6)


def test_a_bin_includes_its_upper_end():
    """Confidence 1/2 lies in (0, 1/2], so it is not averaged with a confidence of 1."""
    logits = torch.tensor([[0.0, 0.0], [200.0, 0.0]], dtype=torch.float64)
    assert expected_calibration_error(logits, torch.tensor([0, 1]), bins=2) == pytest.approx((0.5 + 1) / 2)


def test_calibrated_and_worst():
    confident = torch.tensor([[1000.0, 0.0]])
    assert expected_calibration_error(confident, torch.tensor([0])) == 0
    assert expected_calibration_error(confident, torch.tensor([1])) == 1


def random_logits(images=300, classes=5, scale=3.0, dtype=torch.float32):
    """Logits that are too sure by a factor of `scale`: the labels are drawn from softmax(logits / scale)."""
    generator = torch.Generator().manual_seed(3)
    true = 2 * torch.randn(images, classes, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    return (true * scale).to(dtype), labels


def test_calibration_error_equals_the_definition():
    logits, labels = random_logits(dtype=torch.float64)
    confidence, answers = (found.numpy() for found in logits.softmax(1).max(1))
    places, gap = np.digitize(confidence, np.linspace(0, 1, 16), right=True), 0.0
    for place in range(1, 16):
        chosen = places == place
        if chosen.any():
            right = (answers == labels.numpy())[chosen].mean()
            gap += chosen.mean() * abs(confidence[chosen].mean() - right)
    assert expected_calibration_error(logits, labels) == pytest.approx(gap, rel=1e-9)


def test_bins_hold_every_image_and_their_means():
    logits, labels = random_logits()
    bins = reliability(logits, labels, bins=7)
    assert sum(found.images for found in bins) == len(labels)
    accuracy = sum(found.images * found.accuracy for found in bins) / len(labels)
    assert accuracy == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    for found in bins:
        assert found.images == 0 or found.low < found.confidence <= found.high
    assert [found.images for found in bins[:1]] == [0]  # of 5 classes the surest has at least 1/5


def test_the_temperature_is_that_of_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    logits, labels = random_logits()
    found = fit_temperature(logits, labels)
    theirs = optimize.minimize_scalar(
        lambda t: float(F.cross_entropy(logits.double() / t, labels)), bounds=(0.1, 20), options={"xatol": 1e-9}
    )
    assert found == pytest.approx(theirs.x, rel=1e-5)
    assert found == pytest.approx(3, rel=0.25)  # what the logits were multiplied by, up to the sample


def test_the_temperature_scales_with_the_logits():
    logits, labels = random_logits()
    assert fit_temperature(4 * logits, labels) == pytest.approx(4 * fit_temperature(logits, labels), rel=1e-6)


def test_logits_without_a_best_temperature_end_the_search():
    right = torch.tensor([[1.0, 0], [0, 1]])
    assert fit_temperature(right, torch.tensor([0, 1])) == pytest.approx(MIN_TEMPERATURE)
    assert fit_temperature(right, torch.tensor([1, 0])) == pytest.approx(MAX_TEMPERATURE)


def test_each_half_is_scaled_by_the_temperature_of_the_other():
    logits, labels = random_logits(images=101)
    before = logits.clone()
    found = calibration(logits, labels)
    assert torch.equal(logits, before)
    even, odd = (slice(start, None, 2) for start in (0, 1))
    scaled = logits.double()
    scaled[even] /= fit_temperature(logits[odd], labels[odd])
    scaled[odd] /= fit_temperature(logits[even], labels[even])
    assert found.ece == expected_calibration_error(logits, labels)
    assert found.ece_scaled == expected_calibration_error(scaled, labels) < found.ece / 2
    assert found.nll == pytest.approx(float(F.cross_entropy(logits.double(), labels)))
    assert found.nll_scaled == pytest.approx(float(F.cross_entropy(scaled, labels)))
    assert calibration(logits.double(), labels).ece_scaled == pytest.approx(found.ece_scaled)


def test_negative_log_likelihood_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])  # probabilities 3/4 1/4, 1/2 1/2
    found = calibration(logits, torch.tensor([0, 1]))
    assert found.nll == pytest.approx(-(math.log(3 / 4) + math.log(1 / 2)) / 2)


def test_one_image_is_not_scaled():
    found = calibration(torch.tensor([[math.log(3), 0.0]]), torch.tensor([0]))
    assert found.ece == found.ece_scaled == pytest.approx(0.25)


@pytest.mark.parametrize("metric", [expected_calibration_error, fit_temperature, calibration])
def test_shapes_that_do_not_fit(metric):
    with pytest.raises(ResnexusError, match=r"logits of \(4, 4\) with labels of \(3,\)"):
        metric(torch.zeros(4, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ResnexusError, match="no image: a mean needs at least one"):
        metric(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def test_bins_below_one_are_refused():
    with pytest.raises(ResnexusError, match="bins=0: expected at least 1"):
        reliability(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), bins=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_calibration():
    logits, labels = random_logits()
    there = expected_calibration_error(logits.cuda(), labels.cuda())
    assert there == pytest.approx(expected_calibration_error(logits, labels), rel=1e-9)
