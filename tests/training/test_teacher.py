"""A teacher answers for the images that are trained on, and is never changed."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import resnexus
from resnexus import ResnexusError
from resnexus.architectures.blocks import BatchNorm
from resnexus.data.labelled import ImageArrays
from resnexus.data.preprocess import Preprocess
from resnexus.training.losses import distance, distilled_loss
from resnexus.training.recipe import Recipe
from resnexus.training.sections import Distil, Target
from resnexus.training.teacher import Teacher, check_teacher
from resnexus.training.train import train

ROW = resnexus.Architecture(name="t", block="bottleneck", depths=(1,), width=4, out_width=8, stem="small", stem_width=8)
RECIPE = Recipe().changed(
    {"epochs": 1, "global_batch_size": 12, "distillation": "kl", "temperature": 2.0, "distillation_weight": 3.0}
)


def network(seed=0):
    torch.manual_seed(seed)
    return resnexus.create_model(ROW, num_classes=3, in_chans=1)


def images(count=12):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    preprocess = Preprocess(size=8, resize_short=8, mean=(0.5,), std=(0.2,))
    return ImageArrays(pixels, np.arange(count) % 3, ("a", "b", "c"), preprocess=preprocess)


def divergence(p, q):
    """KL(p || q), as it is defined."""
    return sum(float(a * np.log(a / b)) for a, b in zip(p, q, strict=True))


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_distance_is_the_divergence_that_defines_it(temperature):
    random = np.random.default_rng(1)
    ours, theirs = random.normal(size=(2, 5, 7)) * 3
    sides = [
        (softmax(answer / temperature), softmax(own / temperature)) for own, answer in zip(ours, theirs, strict=True)
    ]
    there = np.mean([divergence(p, q) for p, q in sides]) * temperature**2
    back = np.mean([divergence(q, p) for p, q in sides]) * temperature**2
    arguments = torch.tensor(ours), torch.tensor(theirs)
    one_way = Distil(distillation="kl", temperature=temperature)
    both = Distil(distillation="symmetric_kl", temperature=temperature)
    assert float(distance(*arguments, one_way)) == pytest.approx(there, rel=1e-12)
    assert float(distance(*arguments, both)) == pytest.approx((there + back) / 2, rel=1e-12)
    assert float(distance(*reversed(arguments), both)) == pytest.approx((there + back) / 2, rel=1e-12)
    assert float(distance(arguments[0], arguments[0] + 5, both)) == pytest.approx(0, abs=1e-12)


def test_the_loss_weighs_labels_and_teacher():
    logits, answers = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(3, dtype=torch.float64)[[0, 2, 1, 1]]
    labels = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2, 1, 1]))
    far = distance(logits, answers, Distil(distillation="kl"))
    for own, weight in ((0.0, 1.0), (1.0, 5.0), (0.5, 2.0)):
        distil = Distil(distillation="kl", label_weight=own, distillation_weight=weight)
        found = distilled_loss(logits, targets, answers, Target(), distil)
        assert torch.allclose(found, own * labels + weight * far)


def test_half_precision_answers_are_summed_in_float32():
    logits, answers = torch.randn(2, 4, 1000).bfloat16()
    assert distance(logits, answers, Distil(distillation="kl")).dtype == torch.float32


def test_the_loss_of_a_training_is_the_formula(tmp_path):
    """One batch of all images with nothing random: labels + 3 x 2^2 x KL at half of the logits."""
    data, student, teacher = images(), network(), network(1)
    batch = torch.stack([data[index][0] for index in range(12)]).double()
    labels = torch.arange(12) % 3
    own = copy.deepcopy(student).double()(batch)
    theirs = copy.deepcopy(teacher).double().eval()(batch).detach()
    expected = torch.nn.functional.cross_entropy(own, labels).item()
    for mine, answer in zip(own.detach().numpy() / 2, theirs.numpy() / 2, strict=True):
        expected += 3 * 2**2 * divergence(softmax(answer), softmax(mine)) / 12
    (row,) = train(student, data, None, RECIPE, tmp_path, teacher=teacher).rows
    assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


class Watched(nn.Module):
    """Keeps the images that a network is shown."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.inner(x)


def test_the_teacher_sees_the_very_images_and_is_nowhere_else(tmp_path):
    student, teacher = Watched(network()), Watched(network(1))
    before = copy.deepcopy(teacher.inner.state_dict())
    recipe = RECIPE.changed(
        {"epochs": 2, "global_batch_size": 6, "mixup_alpha": 0.5, "ema_decay": 0.9, "teacher_statistics": "batch"}
    )
    train(student, images(), None, recipe, tmp_path, teacher=teacher)
    assert len(teacher.seen) == 4
    assert all(torch.equal(one, other) for one, other in zip(student.seen, teacher.seen, strict=True))
    plain = {row[0].numpy().tobytes() for row in images()}
    assert not any(image.contiguous().numpy().tobytes() in plain for image in teacher.seen[0])  # they are mixed
    # Neither its weights nor its statistics moved, and nothing that is kept knows it.
    assert all(torch.equal(value, before[name]) for name, value in teacher.inner.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in teacher.parameters())
    kept = torch.load(sorted((tmp_path / "checkpoints").iterdir())[-1])
    assert set(kept["state_dict"]) == {f"network.{name}" for name in student.state_dict()}
    assert set(kept["average"]) == set(student.state_dict())
    held = sum(len(group["params"]) for state in kept["optimizer_states"] for group in state["param_groups"])
    assert held == len(list(student.parameters()))


@pytest.mark.parametrize("norm", [BatchNorm, nn.BatchNorm2d])
def test_statistics_of_the_batch_or_running_ones(norm):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 3, 3), norm(3), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain[1].running_mean.normal_()
    before = copy.deepcopy(plain.state_dict())
    batch = torch.randn(6, 1, 8, 8)
    by_batch = nn.functional.batch_norm(plain[0](batch), None, None, plain[1].weight, plain[1].bias, True)
    expected = {"running": copy.deepcopy(plain).eval()(batch), "batch": by_batch.mean((2, 3))}
    for statistics, wanted in expected.items():
        teacher = Teacher(copy.deepcopy(plain), RECIPE.changed({"teacher_statistics": statistics}))
        found = teacher(batch)
        assert torch.allclose(found, wanted, atol=1e-6)
        assert not found.requires_grad
        state = teacher.network.state_dict()
        assert all(torch.equal(value, before[name]) for name, value in state.items())
    assert not torch.allclose(expected["running"], expected["batch"], atol=0.01)


def test_a_teacher_exactly_where_one_is_learned_from(tmp_path):
    check_teacher(RECIPE, given=True)
    check_teacher(Recipe(), given=False)
    with pytest.raises(ResnexusError, match=r"learns from a teacher \(distillation='kl'\): name a trained network"):
        train(network(), images(), None, RECIPE, tmp_path / "none")
    with pytest.raises(ResnexusError, match="a teacher has no effect on this recipe"):
        train(network(), images(), None, Recipe(global_batch_size=12), tmp_path / "none", teacher=network(1))
    assert not (tmp_path / "none").exists()
