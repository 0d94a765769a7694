from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from resnexus import complexity
from resnexus.comparison.dense.networks import BACKBONES, CANVAS, NUM_CLASSES, Detector, Segmenter
from resnexus.data.canvases import SIZE, Canvases, collate_canvases


@pytest.fixture(scope="module")
def batch():
    canvases = Canvases(0, 2, held_out=False)
    return collate_canvases([canvases[0], canvases[1]])


def test_the_siblings_cost_the_same_on_canvases():
    macs = [complexity(row, SIZE, num_classes=0, in_chans=1).macs for row in BACKBONES.values()]
    assert len(macs) == 5
    assert max(macs) <= 1.05 * min(macs)
    assert all(row.reductions == (4, 8, 16) for row in BACKBONES.values())


def test_a_segmenter(backbones, batch):
    network = Segmenter(backbones[0]).eval()
    logits = network(batch.images)
    assert logits.shape == (2, NUM_CLASSES, SIZE, SIZE)
    expected = F.cross_entropy(logits.permute(0, 2, 3, 1).reshape(-1, NUM_CLASSES), batch.labels.flatten())
    torch.testing.assert_close(network.loss(batch), expected)
    found = [one.classes for one in network.predict(batch.images)]
    assert torch.equal(torch.stack(found), logits.argmax(1))
    # Every level of the pyramid has a say.
    levels = [level[0].weight for level in network.levels]
    assert all(grad.abs().max() > 0 for grad in torch.autograd.grad(network.loss(batch), levels))


@torch.inference_mode()
def test_a_segmenter_at_an_output_stride(backbones):
    """The pyramid's levels have the strides of the dilated backbone, whose maps are the plain one's on a finer grid."""
    row, images = backbones[0], torch.randn(1, 1, 32, 48)
    plain, dilated = (Segmenter(row, replace(CANVAS, output_stride=stride)).eval() for stride in (None, 4))
    dilated.load_state_dict(plain.state_dict())
    assert [x.shape[2:] for x in plain.backbone(images).values()] == [(8, 12), (4, 6)]
    assert [x.shape[2:] for x in dilated.backbone(images).values()] == [(8, 12), (8, 12)]
    coarse, fine = (network.backbone.body(images)["1"] for network in (plain, dilated))
    torch.testing.assert_close(fine[..., ::2, ::2], coarse)
    assert dilated(images).shape == plain(images).shape == (1, NUM_CLASSES, 32, 48)
    assert not torch.equal(dilated(images), plain(images))


def test_a_detector(backbones, batch):
    network = Detector(backbones[1])
    torch.manual_seed(0)
    parts = network.fcos(list(batch.images), list(batch.targets))
    assert set(parts) == {"classification", "bbox_regression", "bbox_ctrness"}
    torch.testing.assert_close(network.loss(batch), sum(parts.values()))
    found = network.eval().predict(batch.images)
    assert len(found) == 2
    for one in found:
        assert one.boxes.shape == (len(one.labels), 4)
        assert one.boxes.shape[0] <= 30
        assert ((one.boxes >= 0) & (one.boxes <= SIZE)).all()


@pytest.mark.parametrize("kind", [Segmenter, Detector])
def test_it_learns_one_batch(backbones, batch, kind):
    network = kind(backbones[0]).train()
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    losses = []
    for _ in range(12):
        losses.append(network.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.85 * losses[0]
