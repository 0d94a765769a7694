"""Training computes the published step, and fails loudly."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from resnexus import Architecture, ResnexusError, create_model
from resnexus.data.batches import BadImage
from resnexus.data.datasets import LabelledImages
from resnexus.training.fit import fit
from resnexus.training.settings import Settings

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=2, groups=2, out_width=4, stem="small", stem_width=4,
    se_reduction=2,
)  # fmt: skip
CLASSES = 3


class InMemory(LabelledImages):
    classes = tuple("abc")

    def __init__(self, items):
        self.items = items
        self.epochs = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


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


def test_one_step_is_the_published_step():
    network = create_model(ROW, num_classes=CLASSES).double()
    before = {name: value.detach().numpy().copy() for name, value in network.named_parameters()}
    data = images()
    settings = Settings(epochs=1, batch_size=6, learning_rate=0.3, weight_decay=0.01, label_smoothing=0.1, mixup=0)
    fit(network, data, CLASSES, settings)

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


def test_the_rate_falls_along_a_cosine_to_zero():
    # With weight decay 0 and a frozen gradient of 1, the parameter moves by the learning rate of each step.
    class Ramp(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.path = []

        def forward(self, x):
            self.path.append(self.weight.item())
            return torch.stack([self.weight.expand(len(x)), torch.zeros(len(x))], 1)

    data = InMemory([(torch.zeros(1, 1, 1), 0) for _ in range(4)])
    network = Ramp()
    settings = Settings(
        epochs=4, batch_size=4, learning_rate=1e-6, momentum=0, weight_decay=0, label_smoothing=0, mixup=0
    )
    fit(network, data, 2, settings)
    moves = np.diff([*network.path, network.weight.item()])
    expected = 1e-6 * 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4)) * 0.5  # the gradient is softmax - target = -0.5
    assert np.allclose(moves, expected, rtol=1e-3)


def test_the_same_seed_gives_the_same_weights():
    def trained(seed):
        torch.manual_seed(seed)
        network = create_model(ROW, num_classes=CLASSES).double()
        fit(network, images(), CLASSES, Settings(epochs=2, batch_size=3), seed=seed)
        return network.state_dict()

    first, again, other = trained(1), trained(1), trained(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_epochs_are_announced_and_steps_counted(recorded):
    data = images()
    network = fit(
        create_model(ROW, num_classes=CLASSES).double(),
        data,
        CLASSES,
        Settings(epochs=3, batch_size=3),
        progress=recorded,
        label="training mine",
    )
    assert data.epochs == [0, 1, 2]
    assert recorded.stages == [("training mine", 6, [1] * 6)]
    assert not network.training


def test_a_bad_training_image_is_an_error_unless_allowed():
    data = images(7)
    data.items[2] = BadImage("cats/2.jpg", "is truncated")
    network = create_model(ROW, num_classes=CLASSES).double()
    with pytest.raises(ResnexusError, match=r"training image cats/2.jpg: is truncated. Repair or remove it, or allow"):
        fit(network, data, CLASSES, Settings(epochs=1, batch_size=7))
    fit(network, data, CLASSES, Settings(epochs=1, batch_size=7, allow_bad_images=True))


def test_a_loss_that_diverges_ends_the_training():
    network = create_model(ROW, num_classes=CLASSES).double()
    with torch.no_grad():
        network.head.bias.fill_(float("inf"))
    with pytest.raises(ResnexusError, match=r"the loss became nan in epoch 1, step 1: lower the learning rate"):
        fit(network, images(), CLASSES, Settings(epochs=1, batch_size=6))


def test_ctrl_c_arrives_as_what_it_is():
    data = images()

    def interrupt(_epoch):
        raise KeyboardInterrupt

    data.set_epoch = interrupt
    with pytest.raises(KeyboardInterrupt):
        fit(create_model(ROW, num_classes=CLASSES).double(), data, CLASSES, Settings(epochs=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected at least 1"),
        ({"epochs": 2.5}, "epochs=2.5: expected a whole number"),
        ({"batch_size": True}, "batch_size=True: expected a whole number"),
        ({"batch_size": 1}, "batch_size=1: expected at least 2"),
        ({"label_smoothing": 1.5}, "label_smoothing=1.5: expected at least 0 and at most 1"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1: expected at least 0"),
    ],
)
def test_settings_out_of_range(change, message):
    with pytest.raises(ResnexusError, match=message):
        Settings(**change)


def test_the_learning_rate_follows_the_batch():
    assert Settings(batch_size=256).initial_learning_rate == 0.1
    assert Settings(batch_size=64).initial_learning_rate == 0.025
    assert Settings(batch_size=64, learning_rate=0.2).initial_learning_rate == 0.2
