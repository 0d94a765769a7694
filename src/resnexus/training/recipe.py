"""A training recipe: everything that a training depends on beside the network, the data and the machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, get_type_hints

from resnexus.errors import ResnexusError, unknown
from resnexus.records import from_plain
from resnexus.training.sections import Distil, Images, Optim, Rate, Step, Target, check_within


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe; the defaults are what the published recipes have in common.

    Every setting has a name of its own, so that `lr` and `optim.lr` mean the same.

    Attributes:
        source: where it was published, and the accuracy reported there; empty for your own.
        epochs: passes over the training images.
        global_batch_size: images per step, over all processes and accumulated batches.
        seed: of everything random.
        optim: how weights follow their gradients.
        rate: how the learning rate goes.
        target: what is asked of the logits.
        distil: what is learned from a teacher.
        images: how images are prepared.
        step: how a step is computed.

    Raises:
        ResnexusError: a value outside its range; names it and the range.
    """

    source: str = ""
    epochs: int = 200
    global_batch_size: int = 256
    seed: int = 0
    optim: Optim = field(default_factory=Optim)
    rate: Rate = field(default_factory=Rate)
    target: Target = field(default_factory=Target)
    distil: Distil = field(default_factory=Distil)
    images: Images = field(default_factory=Images)
    step: Step = field(default_factory=Step)

    def __post_init__(self) -> None:
        check_within(self, epochs=(1, math.inf), global_batch_size=(2, math.inf), seed=(0, 2**63 - 1))
        if self.rate.warmup_epochs >= self.epochs:
            raise ResnexusError(f"warmup_epochs={self.rate.warmup_epochs}: expected fewer than epochs={self.epochs}")

    @property
    def scaled_lr(self) -> float:
        """The learning rate for the global batch: lr x global_batch_size / lr_batch_size."""
        return self.optim.lr * self.global_batch_size / self.optim.lr_batch_size

    def flat(self) -> dict[str, Any]:
        """Return every setting by its own name, as JSON can hold it."""
        found: dict[str, Any] = {}
        for name, value in asdict(self).items():
            found |= value if name in SECTIONS else {name: value}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def differences(self) -> dict[str, Any]:
        """Return the settings that are not the defaults, by section, as a recipe's file holds them."""
        defaults, found = Recipe(), dict[str, Any]()
        for item in fields(self):
            own, default = getattr(self, item.name), getattr(defaults, item.name)
            if is_dataclass(own):
                own, default = asdict(own), asdict(default)  # type: ignore[arg-type]
                changed = {key: value for key, value in own.items() if value != default[key]}
                found |= {item.name: changed} if changed else {}
            elif own != default:
                found[item.name] = own
        return found

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return the recipe with some settings changed.

        Args:
            changes: `"lr"` or `"optim.lr"` -> plain value, or a section -> its changes.

        Raises:
            ResnexusError: an unknown setting, with the nearest; or a value that it does not take.
        """
        sections: dict[str, dict[str, Any]] = {}
        own: dict[str, Any] = {}
        for name, value in by_name(changes).items():
            section = SETTINGS[name]
            (own if section is None else sections.setdefault(section, {}))[name] = value
        hints = get_type_hints(Recipe)
        for section, values in sections.items():
            content = asdict(getattr(self, section)) | values
            own[section] = from_plain(hints[section], content, where=section)
        plain = {name: value for name, value in own.items() if name not in SECTIONS}
        checked = from_plain(_Own, {name: getattr(self, name) for name in _OWN} | plain, where="recipe")
        return replace(self, **asdict(checked), **{name: own[name] for name in own if name in SECTIONS})


SECTIONS = ("optim", "rate", "target", "distil", "images", "step")
_OWN = ("source", "epochs", "global_batch_size", "seed")


@dataclass(frozen=True, kw_only=True)
class _Own:
    """The settings that are in no section."""

    source: str
    epochs: int
    global_batch_size: int
    seed: int


def _places() -> dict[str, str | None]:
    hints = get_type_hints(Recipe)
    places: dict[str, str | None] = dict.fromkeys(_OWN)
    for section in SECTIONS:
        places |= {item.name: section for item in fields(hints[section])}
    return places


SETTINGS = _places()
"""Setting -> its section; None for those of the recipe itself."""


def by_name(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes of a recipe by the names of the settings alone: name -> plain value.

    Args:
        changes: as `Recipe.changed` takes them.

    Raises:
        ResnexusError: an unknown setting, with the nearest.
    """
    found: dict[str, Any] = {}
    for key, value in changes.items():
        if key in SECTIONS and isinstance(value, Mapping):
            found |= {_name(f"{key}.{name}"): inner for name, inner in value.items()}
        else:
            found[_name(key)] = value
    return found


def _name(key: str) -> str:
    """Return the setting that `"lr"` or `"optim.lr"` stands for."""
    section, dot, name = key.rpartition(".")
    if name not in SETTINGS:
        places = [*SETTINGS, *(f"{s}.{n}" for n, s in SETTINGS.items() if dot and s)]
        raise unknown("setting of a recipe", key, places, see="resnexus train --print-recipe")
    if dot and section != SETTINGS[name]:
        place = f"{SETTINGS[name]}.{name}" if SETTINGS[name] else name
        raise ResnexusError(f"setting {key!r}: {name} is not in {section!r}; write {name} or {place}")
    return name
