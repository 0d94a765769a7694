"""The sections of a recipe: optimiser, schedule, targets, teacher, images, and how a step is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from resnexus.data.augment import Augment
from resnexus.data.policies import Policy
from resnexus.errors import ResnexusError, unknown

Optimizer = Literal["sgd", "adamw", "lamb"]
Schedule = Literal["cosine", "step"]
Loss = Literal["cross_entropy", "binary_cross_entropy"]
Interpolation = Literal["bilinear", "bicubic"]
Precision = Literal["fp32", "bf16", "fp16"]
Unscaled = Literal["none", "vectors"]
Distillation = Literal["none", "kl", "cross_entropy", "symmetric_kl", "jensen_shannon"]
Statistics = Literal["running", "batch"]


@dataclass(frozen=True, kw_only=True)
class Optim:
    """How weights follow their gradients.

    Attributes:
        optimizer: `"sgd"`, whose decay is L2 added to the gradient; `"adamw"` and `"lamb"`, whose decay is decoupled.
        lr: learning rate for a global batch of `lr_batch_size`; it grows in proportion to the global batch.
        lr_batch_size: see `lr`.
        momentum: of SGD.
        nesterov: of SGD; needs a momentum.
        betas: of AdamW and LAMB.
        eps: of AdamW and LAMB.
        weight_decay: see `optimizer`.
        without_decay: `"vectors"` leaves out normalisations and biases; `"none"` decays everything, as published.
        clip_norm: largest norm of the gradient of all weights together, above 0; None for any.
        stage_lr: factors of the learning rate for the stem with stage 0, the further stages, and the head; empty for
            one rate everywhere. As many as the network has stages, and one.
        stage_lr_decay: the rate of each of these parts relative to that of the next one, counted from the head, which
            has the whole rate: for any number of stages, in place of `stage_lr`. 1 for one rate everywhere.
        freeze_stages: how many parts stay as they are: 1 the stem, 2 the stem and stage 0, and so on.
    """

    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    lr_batch_size: int = 256
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-4
    without_decay: Unscaled = "none"
    clip_norm: float | None = None
    stage_lr: tuple[float, ...] = ()
    stage_lr_decay: float = 1.0
    freeze_stages: int = 0

    def __post_init__(self) -> None:
        check_known(self, optimizer=Optimizer, without_decay=Unscaled)
        check_within(self, lr=(0, math.inf), lr_batch_size=(1, math.inf), momentum=(0, 1), eps=(0, 1))
        check_within(self, weight_decay=(0, math.inf), clip_norm=(0, math.inf), freeze_stages=(0, 5))
        check_within(self, stage_lr_decay=(0, 1))
        if self.clip_norm == 0:
            raise ResnexusError("clip_norm=0: expected more than 0, or null for a gradient of any norm")
        if self.nesterov and not self.momentum:
            raise ResnexusError("nesterov=True with momentum=0: expected a momentum above 0; set one of them")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ResnexusError(f"betas={self.betas}: expected two numbers, each at least 0 and below 1")
        if any(not factor >= 0 for factor in self.stage_lr):
            raise ResnexusError(f"stage_lr={self.stage_lr}: expected factors of at least 0")
        if self.stage_lr and self.stage_lr_decay != 1:
            raise ResnexusError(
                f"stage_lr={self.stage_lr} and stage_lr_decay={self.stage_lr_decay}: expected one of them; set "
                "stage_lr_decay=1, or stage_lr=[]"
            )


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How the learning rate goes, step by step.

    Attributes:
        lr_schedule: `"cosine"` falls to `lr_end` over all steps after the warm-up; `"step"` multiplies by `lr_gamma`
            at each of `lr_milestones`.
        lr_milestones: epochs, ascending; only of `"step"`.
        lr_gamma: see `lr_schedule`.
        lr_end: at the end of the cosine, as a fraction of the rate.
        warmup_epochs: during which the rate rises in proportion to the step, from `warmup_start`.
        warmup_start: as a fraction of the rate.
    """

    lr_schedule: Schedule = "cosine"
    lr_milestones: tuple[int, ...] = ()
    lr_gamma: float = 0.1
    lr_end: float = 0.0
    warmup_epochs: float = 0.0
    warmup_start: float = 0.0

    def __post_init__(self) -> None:
        check_known(self, lr_schedule=Schedule)
        check_within(self, lr_gamma=(0, 1), lr_end=(0, 1), warmup_epochs=(0, math.inf), warmup_start=(0, 1))
        if (self.lr_schedule == "step") != bool(self.lr_milestones):
            raise ResnexusError(
                f"lr_milestones={self.lr_milestones} with lr_schedule={self.lr_schedule!r}: the step schedule needs "
                "milestones, the cosine has none"
            )
        if list(self.lr_milestones) != sorted(set(self.lr_milestones)):
            raise ResnexusError(f"lr_milestones={self.lr_milestones}: expected ascending epochs")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked of the logits.

    Attributes:
        loss: `"cross_entropy"`, or `"binary_cross_entropy"` of every class on its own (the mean over classes and
            images, with 1 wherever the target is above 0; Wightman et al. 2021, arXiv:2110.00476).
        label_smoothing: share of the target that is spread over all classes.
        mixup_alpha: of the Beta distribution of mixup's share; 0 for none.
        cutmix_alpha: likewise of CutMix; with both, each batch gets one of them, by a fair coin.
    """

    loss: Loss = "cross_entropy"
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0

    def __post_init__(self) -> None:
        check_known(self, loss=Loss)
        check_within(self, label_smoothing=(0, 1), mixup_alpha=(0, math.inf), cutmix_alpha=(0, math.inf))


@dataclass(frozen=True, kw_only=True)
class Distil:
    """What is learned from a teacher, a trained network whose answers to the same images are aimed at.

    Without a teacher, `distillation="none"`, the rest of this section has no effect.

    Attributes:
        distillation: how far the network is from its teacher, one of `resnexus.training.losses.DIVERGENCES`: `"kl"`,
            KL(teacher || network); `"cross_entropy"`, the same but for the teacher's entropy, with the same gradient;
            `"symmetric_kl"`, the mean of both directions, as SSLD's code computes; `"jensen_shannon"`, as SSLD's
            description says.
        distillation_weight: of that in the loss.
        label_weight: of the labels' loss in it; 0 leaves the labels out. A picture without a label adds nothing to it.
        temperature: by which both sides' logits are divided; the distance is multiplied by its square, so that
            gradients stay as large (Hinton et al. 2015, arXiv:1503.02531).
        teacher_statistics: `"running"`, or `"batch"` for a teacher whose normalisations go by the batch, as SSLD's.
    """

    distillation: Distillation = "none"
    distillation_weight: float = 1.0
    label_weight: float = 1.0
    temperature: float = 1.0
    teacher_statistics: Statistics = "running"

    def __post_init__(self) -> None:
        check_known(self, distillation=Distillation, teacher_statistics=Statistics)
        check_within(self, distillation_weight=(0, math.inf), label_weight=(0, math.inf), temperature=(0.01, 1000))
        if not self.distillation_weight:
            raise ResnexusError("distillation_weight=0: the teacher is then not learned from; set distillation=none")


@dataclass(frozen=True, kw_only=True)
class Images:
    """How images are prepared.

    Attributes:
        image_size: pixels on a side of a training image.
        crop_area: smallest and largest area of the random crop, as fractions of the image.
        crop_aspect: smallest and largest width / height of the crop.
        flip: probability of a left-right flip.
        policy: further augmentation through torchvision: `"rand_augment"`, `"trivial_augment"`, `"auto_augment"`.
        policy_magnitude: of RandAugment, 0 to 30 as in torchvision, where 30 turns by 30 degrees. timm counts to 10:
            its `m7` is 21 here.
        policy_operations: of RandAugment, per image.
        erasing: probability of erasing a rectangle.
        repeats: how often an image is drawn in one epoch, each time augmented anew; the epoch stays as long.
        eval_size: pixels on a side of an image that is evaluated.
        resize_short: length of the short side before the centre crop of an image that is evaluated.
        interpolation: of both; `"bicubic"` needs `antialias`.
        antialias: of both; the published networks are without.
    """

    image_size: int = 224
    crop_area: tuple[float, ...] = (0.08, 1.0)
    crop_aspect: tuple[float, ...] = (3 / 4, 4 / 3)
    flip: float = 0.5
    policy: Policy = "none"
    policy_magnitude: int = 9
    policy_operations: int = 2
    erasing: float = 0.0
    repeats: int = 1
    eval_size: int = 224
    resize_short: int = 256
    interpolation: Interpolation = "bilinear"
    antialias: bool = False

    def __post_init__(self) -> None:
        check_known(self, policy=Policy, interpolation=Interpolation)
        check_within(self, image_size=(1, 4096), eval_size=(1, 4096), resize_short=(self.eval_size, 4096), flip=(0, 1))
        check_within(self, erasing=(0, 1), repeats=(1, 100))
        Augment(  # which checks them
            crop_area=self.crop_area,  # type: ignore[arg-type]
            crop_aspect=self.crop_aspect,  # type: ignore[arg-type]
            policy_magnitude=self.policy_magnitude,
            policy_operations=self.policy_operations,
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """How a step is computed.

    Attributes:
        precision: `"bf16"` and `"fp16"` run the network under autocast.
        accumulate: batches whose gradients make up one step; the global batch counts them all.
        channels_last: the memory format of network and images.
        compile: run the network through `torch.compile`.
        grad_checkpointing: recompute blocks in the backward pass instead of keeping their activations.
        sync_batch_norm: normalise over the images of all processes.
        zero_init_residual: a network with random weights begins with blocks that are their shortcuts; not for a torch
            module, which brings its own.
        drop_path: largest probability of leaving out a block's branch; it grows from 0 along the depth.
        ema_decay: of the moving average of the weights, which is then evaluated and kept; 0 for none.
        workers: processes that read images.
    """

    precision: Precision = "fp32"
    accumulate: int = 1
    channels_last: bool = True
    compile: bool = False
    grad_checkpointing: bool = False
    sync_batch_norm: bool = False
    zero_init_residual: bool = False
    drop_path: float = 0.0
    ema_decay: float = 0.0
    workers: int = 0

    def __post_init__(self) -> None:
        check_known(self, precision=Precision)
        check_within(self, accumulate=(1, math.inf), drop_path=(0, 0.99), ema_decay=(0, 0.9999999), workers=(0, 1024))


def check_known(record: object, **accepted: Any) -> None:
    """Refuse a field that is none of the values of its literal."""
    for name, literal in accepted.items():
        if getattr(record, name) not in get_args(literal):
            raise unknown(name, getattr(record, name), get_args(literal))


def check_within(record: object, **ranges: tuple[float, float]) -> None:
    """Refuse a field below the least or above the largest that it may be; None is any."""
    for name, (low, high) in ranges.items():
        value = getattr(record, name)
        if value is not None and (not low <= value <= high or math.isinf(value)):
            at_most = "" if math.isinf(high) else f" and at most {high:g}"
            raise ResnexusError(f"{name}={value!r}: expected at least {low:g}{at_most}")
