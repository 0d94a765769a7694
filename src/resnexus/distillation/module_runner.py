"""A torch module of anybody's as what answers for a pool: logits, and what its last layer sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from resnexus.devices import device_named
from resnexus.errors import ResnexusError
from resnexus.prediction.runner import Answers, Card
from resnexus.prediction.settings import PredictionSettings
from resnexus.teachers import TeacherModule
from resnexus.training.answers import count_answers

_NOT_HERE = ("architecture", "weights", "engine", "precision")
"""Settings that are for networks of the series: a module is asked as it is."""


class ModuleRunner:
    """Runs a torch module; keeps the contract of `resnexus.prediction.runner.Runner`.

    Features are what the module's last `nn.Linear` of as many outputs as there are classes takes, (N, channels); where
    there is none, or it takes something else, they are the logits.

    Args:
        teacher: the module, with what is known of it; put in evaluation mode and moved, in place.
        asking: device and batch size.

    Raises:
        ResnexusError: a setting that has no effect on a module, or one that does not answer such images with logits.
    """

    def __init__(self, teacher: TeacherModule, asking: PredictionSettings) -> None:
        plain = PredictionSettings()
        for name in _NOT_HERE:
            if getattr(asking, name) != getattr(plain, name):
                raise ResnexusError(f"{name}={getattr(asking, name)!r} has no effect on {teacher.name}: leave it out")
        self._network = teacher.network.eval()
        notes = () if teacher.classes else (f"{teacher.name}: nothing is said of the classes: they have numbers only",)
        count = count_answers(self._network, f"teacher {teacher.name}", teacher.preprocess)
        self.card = Card(
            name=teacher.name,
            architecture=teacher.name,
            weights=teacher.sha256,
            num_classes=count,
            classes=teacher.classes,
            preprocess=teacher.preprocess,
            batch_size=asking.batch_size,
            notes=notes,
        )
        self._device = device_named(asking.device)
        self._network.to(self._device)
        self._seen: list[Tensor] = []
        linear = [one for one in self._network.modules() if isinstance(one, nn.Linear) and one.out_features == count]
        self._hook = linear[-1].register_forward_pre_hook(self._see) if linear else None

    def __call__(self, images: Tensor) -> Answers:
        """Answer with logits and features."""
        self._seen.clear()
        with torch.inference_mode():
            logits = self._network(images.to(self._device)).float()
            seen = [one for one in self._seen if one.ndim == 2 and len(one) == len(logits)]
            features = seen[-1].float() if seen else logits
            return Answers(logits=logits.cpu(), embeddings=features.cpu())

    def close(self) -> None:
        """Look no longer into the module, which is the caller's."""
        if self._hook is not None:
            self._hook.remove()

    def _see(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen += [one for one in inputs[:1] if isinstance(one, Tensor)]
