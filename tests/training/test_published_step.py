"""Training computes the published step, and fails loudly."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from resnexus import Architecture, ResnexusError, create_model
from resnexus.data.batches import BadImage
from resnexus.data.labelled import LabelledImages
from resnexus.data.order import drawn
from resnexus.training.recipe import Recipe
from resnexus.training.train import train

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=2, groups=2, out_width=4, stem="small", stem_width=4,
    se_reduction=2,
)  # fmt: skip
CLASSES = 3


class InMemory(LabelledImages):
    def __init__(self, items, classes="abc"):
        self.items, self.classes, self.draws = items, tuple(classes), []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.draws.append(drawn(index))
        return self.items[drawn(index).image]


def images(count=6, size=5):
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.standard_normal((count, 3, size, size)))
    return InMemory([(image, index % CLASSES) for index, image in enumerate(pixels)])


def conv(x, weight, groups=1):
    kernel = weight.shape[-1]
    x = np.pad(x, ((0, 0), (0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2))
    windows = sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    parts = zip(np.split(windows, groups, axis=1), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("nchwij,ocij->nohw", part, kernels) for part, kernels in parts], axis=1)


def normalised(x, scale, shift):
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]


def loss(p, x, labels, smoothing):
    """The tiny network and the smoothed cross-entropy, in NumPy, written from the formulas."""

    def conv_norm(x, name, groups=1):
        return normalised(conv(x, p[f"{name}.conv.weight"], groups), p[f"{name}.norm.weight"], p[f"{name}.norm.bias"])

    x = np.maximum(conv_norm(x, "stem.0"), 0)
    block = "stages.0.0"
    y = np.maximum(conv_norm(x, f"{block}.branch.conv0"), 0)
    y = np.maximum(conv_norm(y, f"{block}.branch.conv1", groups=2), 0)
    y = conv_norm(y, f"{block}.branch.conv2")
    squeezed = y.mean((2, 3)) @ p[f"{block}.gate.squeeze.weight"].T + p[f"{block}.gate.squeeze.bias"]
    excited = np.maximum(squeezed, 0) @ p[f"{block}.gate.excite.weight"].T + p[f"{block}.gate.excite.bias"]
    y = y / (1 + np.exp(-excited))[:, :, None, None]
    x = np.maximum(y + conv_norm(x, f"{block}.shortcut.proj"), 0)
    logits = x.mean((2, 3)) @ p["head.weight"].T + p["head.bias"]
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = (1 - smoothing) * np.eye(CLASSES)[labels] + smoothing / CLASSES
    return -(targets * log_probabilities).sum(1).mean()


def gradient(p, x, labels, smoothing, step=1e-5):
    found = {}
    for name, value in p.items():
        found[name] = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            kept = value[index]
            value[index] = kept + step
            above = loss(p, x, labels, smoothing)
            value[index] = kept - step
            found[name][index] = (above - loss(p, x, labels, smoothing)) / (2 * step)
            value[index] = kept
    return found


def recipe(batch_size, **changes):
    """With the rate as it is given, whatever the batch."""
    return Recipe().changed({"epochs": 1, "global_batch_size": batch_size, "lr_batch_size": batch_size} | changes)


def test_one_step_is_the_published_step(tmp_path):
    network = create_model(ROW, num_classes=CLASSES).double()
    before = {name: value.detach().numpy().copy() for name, value in network.named_parameters()}
    data = images()
    train(network, data, None, recipe(6, lr=0.3, weight_decay=0.01, label_smoothing=0.1), tmp_path)

    x = np.stack([image.numpy() for image, _ in data.items])
    labels = np.array([label for _, label in data.items])
    gradients = gradient(before, x, labels, smoothing=0.1)
    for name, value in network.named_parameters():
        # L2 is added to the gradient, of normalisations and biases too; momentum does not matter in the first step.
        expected = before[name] - 0.3 * (gradients[name] + 0.01 * before[name])
        assert np.allclose(value.detach().numpy(), expected, rtol=1e-7, atol=1e-9), name
    stem = conv(x, before["stem.0.conv.weight"])
    norm = network.stem[0].norm
    assert np.allclose(norm.running_mean, 0.1 * stem.mean((0, 2, 3)), atol=1e-12)
    assert np.allclose(norm.running_var, 0.9 + 0.1 * stem.var((0, 2, 3)), atol=1e-12)


def test_the_rate_falls_along_a_cosine_to_zero(tmp_path):
    # With weight decay 0 and a frozen gradient of 1, the parameter moves by the learning rate of each step.
    class Ramp(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.path = []

        def forward(self, x):
            self.path.append(self.weight.item())
            return torch.stack([self.weight.expand(len(x)), torch.zeros(len(x))], 1)

    data = InMemory([(torch.zeros(1, 1, 1), 0) for _ in range(4)], classes="ab")
    network = Ramp()
    train(network, data, None, recipe(4, epochs=4, lr=1e-6, momentum=0, weight_decay=0), tmp_path)
    moves = np.diff([*network.path, network.weight.item()])
    expected = 1e-6 * 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4)) * 0.5  # the gradient is softmax - target = -0.5
    assert np.allclose(moves, expected, rtol=1e-3)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    def trained(seed, folder):
        torch.manual_seed(seed)
        network = create_model(ROW, num_classes=CLASSES).double()
        train(network, images(), None, recipe(3, epochs=2, mixup_alpha=0.2, seed=seed), tmp_path / folder)
        return network.state_dict()

    first, again, other = trained(1, "first"), trained(1, "again"), trained(2, "other")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_every_epoch_draws_anew_and_steps_are_counted(tmp_path, recorded):
    data = images()
    network = create_model(ROW, num_classes=CLASSES).double()
    outcome = train(network, data, None, recipe(3, epochs=3), tmp_path, progress=recorded, label="training mine")
    assert [draw.epoch for draw in data.draws] == [0] * 6 + [1] * 6 + [2] * 6
    assert recorded.stages == [("training mine, images", 18, [3] * 6)]
    assert not network.training
    assert [row["epoch"] for row in outcome.rows] == [1, 2, 3]
    assert "top1" not in outcome.rows[0]


def test_a_bad_training_image_is_an_error_unless_allowed(tmp_path):
    data = images(7)
    data.items[2] = BadImage("cats/2.jpg", "is truncated")
    network = create_model(ROW, num_classes=CLASSES).double()
    with pytest.raises(ResnexusError, match=r"training image cats/2.jpg: is truncated. Repair or remove it, or allow"):
        train(network, data, None, recipe(7), tmp_path / "strict")
    train(network, data, None, recipe(7), tmp_path / "allowed", allow_bad_images=True)


def test_ctrl_c_arrives_as_what_it_is(tmp_path):
    class Interrupted(InMemory):
        def __getitem__(self, index):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(create_model(ROW, num_classes=CLASSES).double(), Interrupted(images().items), None, recipe(6), tmp_path)
