"""The engine in half precision on real images, and with the golden weights, by the doubles of its library calls."""

from __future__ import annotations

import pytest
import torch

from resnexus.acceleration.backends.contract import DTYPES, Job
from resnexus.acceleration.backends.cuda import BACKEND
from resnexus.acceleration.planning.judge import GPU_SLACK
from resnexus.architectures.catalog import SERIES, architecture
from resnexus.architectures.siblings import SIBLINGS
from resnexus.data.digits import load_digits
from resnexus.data.preprocess import Preprocess
from resnexus.parity.agreement import agreement
from resnexus.parity.golden import golden, golden_images, golden_network
from resnexus.rewrites.folding import cast
from resnexus.rewrites.table import free, rewritten
from tests.sampled import sampled

BATCH = 16
DIGITS = 160
GOLDEN_SIZE = (97, 131)
FIFTY = [row.name for row in SERIES if row.depths == (3, 4, 6, 3)]
"""One network of each kind, and more of some."""


def _digits():
    pytest.importorskip("sklearn", reason="the digits need scikit-learn: pip install 'resnexus[demo]'")
    pixels, _ = load_digits()
    return Preprocess().normalise(pixels[:DIGITS].repeat(3, axis=-1))


def _answers(network, images, precision, folder, batch):
    """Logits of PyTorch's own half precision of a network, and of the engine for GPUs, in batches."""
    dtype = DTYPES[precision]
    job = Job(batch_size=batch, image_size=tuple(images.shape[2:]), precision=precision)
    BACKEND.build(rewritten(network, free(network.architecture)), job, {"kernels": "library"}, folder, None)
    runner, half = BACKEND.load(folder, job, {"kernels": "library"}), cast(network, dtype)
    parts = images.split(batch)
    with torch.inference_mode():
        return torch.cat([half(part.to(dtype)).float() for part in parts]), torch.cat([runner(part) for part in parts])


MARKS = {"ResNeXt_small": [], "Res2Net_small": [pytest.mark.thorough]}


@pytest.mark.parametrize("precision", sampled(["fp16", "bf16"], ["fp16"]))
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, [pytest.mark.slow])) for name in SIBLINGS])
def test_real_images_get_their_class_but_for_ties(name, precision, tmp_path):
    network, images = golden_network(architecture(name)), _digits()
    with torch.inference_mode():
        exact = network(images)
    own, found = _answers(network, images, precision, tmp_path, BATCH)
    yardstick = GPU_SLACK * agreement(exact, own).max_abs
    assert 0 < agreement(exact, found).max_abs <= yardstick
    best, other = exact.argmax(1), found.argmax(1)
    # A class may only give way to one whose logit is as near as both logits may be off.
    ahead = exact.gather(1, best[:, None]) - exact.gather(1, other[:, None])
    assert (ahead <= 2 * yardstick).all()
    first, second = exact.topk(2).values.unbind(1)
    apart = first - second > 2 * yardstick
    assert apart.float().mean() > 0.5  # of most images it is no tie
    assert torch.equal(best[apart], other[apart])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", FIFTY)
def test_golden_weights_give_the_logits_of_the_original(name, precision, tmp_path):
    network, images = golden_network(architecture(name)), torch.from_numpy(golden_images(GOLDEN_SIZE))
    expected = torch.from_numpy(golden(name, GOLDEN_SIZE).logits)
    own, found = _answers(network, images, precision, tmp_path, len(images))
    assert found.isfinite().all()
    assert 0 < agreement(expected, found).max_rel <= GPU_SLACK * agreement(expected, own).max_rel
