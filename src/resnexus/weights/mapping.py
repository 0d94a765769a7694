"""Translate a whole state between our names and another library's, strictly and in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, printable
from resnexus.weights.layouts import PADDLE, TIMM, Layout, Storage

Array = np.ndarray[Any, np.dtype[Any]]
Shape: TypeAlias = tuple[int, ...]

FIRST_CONV = "stem.0.conv.weight"
HEAD = ("head.weight", "head.bias")
COUNTER = "num_batches_tracked"
"""Last part of the name of a normalisation's counter, which PyTorch keeps and no network needs."""


def from_paddle(model: str | Architecture, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Translate a Paddle state into the state dict of `create_model(model)`.

    Args:
        model: a name of the series, or a row.
        arrays: name -> array, as `read_pdparams` returns them. The number of classes and of image channels are the
            arrays' own; without the last layer's two entries there are no classes.

    Returns:
        A state dict for `load_state_dict(..., strict=True)`, in the arrays' dtypes; tensors share no memory with
        the arrays.

    Raises:
        ResnexusError: a Res2Net of the authors' variant; or names or shapes that are missing or left over, all listed
            at once.
    """
    row = same_function(PADDLE, architecture(model))
    return from_layout(PADDLE, row, {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})


def to_paddle(model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Array]:
    """Translate the state dict of `create_model(model)` into Paddle's names and layout, the inverse of `from_paddle`.

    Raises:
        ResnexusError: as for `from_paddle`.
    """
    entries = to_layout(PADDLE, same_function(PADDLE, architecture(model)), state)
    return {name: np.array(tensor.numpy(force=True), order="C") for name, tensor in entries.items()}


def from_timm(model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a timm or torchvision state dict into ours.

    A Res2Net must be the authors' variant (`cascade="authors"`): the published Paddle networks have the same shapes
    as timm's and compute another function.

    Raises:
        ResnexusError: a Res2Net of the Paddle variant, or names or shapes that are missing or left over.
    """
    row = same_function(TIMM, architecture(model))
    return from_layout(TIMM, row, {name: tensor.detach().clone() for name, tensor in state.items()})


def to_timm(model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate our state dict into timm's and torchvision's names, the inverse of `from_timm`.

    Raises:
        ResnexusError: as for `from_timm`.
    """
    entries = to_layout(TIMM, same_function(TIMM, architecture(model)), state)
    return {name: tensor.detach().cpu().clone() for name, tensor in entries.items()}


def same_function(layout: Layout, row: Architecture) -> Architecture:
    """Return `row`, if its weights mean the same in a layout.

    Raises:
        ResnexusError: they would give another function there; says which.
    """
    if reason := layout.refusal(row):
        raise ResnexusError(reason)
    return row


def from_layout(layout: Layout, row: Architecture, entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names and the storage of a state in any layout into ours, whatever function it had there.

    Args:
        layout: whose names the entries have.
        row: the network.
        entries: name -> tensor. Counters may be missing, and are then 0.

    Returns:
        A state dict for `load_state_dict(..., strict=True)`; its tensors are contiguous and may be those of `entries`.

    Raises:
        ResnexusError: names or shapes that are missing or left over, all listed at once.
    """
    table = _tensors(names(layout, row))
    if not any(table[name][0] in entries for name in HEAD):
        table = {name: entry for name, entry in table.items() if name not in HEAD}
    found = [name for name in entries if not name.endswith(COUNTER)]
    _check_names(f"{layout.name} entries for {row.name}", found, [theirs for theirs, _ in table.values()])
    state = {ours: _restored(entries[theirs], storage) for ours, (theirs, storage) in table.items()}
    _check_shapes(row, state)
    for ours, (theirs, _) in table.items():
        if ours.endswith("running_var"):
            state[_counter(ours)] = entries.get(_counter(theirs), torch.tensor(0))
    return state


def to_layout(layout: Layout, row: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate our state into the names and the storage of any layout, the inverse of `from_layout`.

    Counters go along where the layout has a place for them.

    Raises:
        ResnexusError: as for `from_layout`.
    """
    table = names(layout, row)
    tensors = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}
    expected = [name for name in _tensors(table) if name not in HEAD or any(part in state for part in HEAD)]
    _check_names(f"entries for {row.name}", tensors, expected)
    _check_shapes(row, tensors)
    stored = ((table[name], tensor) for name, tensor in state.items() if name in table)
    return {theirs: _stored(tensor, storage) for (theirs, storage), tensor in stored}


@cache
def shapes(row: Architecture) -> dict[str, Shape]:
    """Return our entry name -> shape for 1000 classes and 3 image channels, in the order of our state."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in Network(row).state_dict().items()}


@cache
def names(layout: Layout, row: Architecture) -> dict[str, tuple[str, Storage]]:
    """Return our entry name -> (the name in a layout, how it stores the entry), in the order of our state.

    Entries that the layout does not store are left out.
    """
    found = {name: _translate(layout, row, name) for name in shapes(row)}
    return {name: entry for name, entry in found.items() if entry is not None}


def stored_shapes(layout: Layout, row: Architecture, num_classes: int = 1000, in_chans: int = 3) -> dict[str, Shape]:
    """Return the entries of a state in a layout but for its counters, name -> shape; no last layer for 0 classes."""
    ours = _fitted_shapes(row, num_classes, in_chans)
    table = _tensors(names(layout, row))
    return {theirs: _stored_shape(ours[name], storage) for name, (theirs, storage) in table.items() if name in ours}


def _translate(layout: Layout, row: Architecture, name: str) -> tuple[str, Storage] | None:
    for rule in layout.rules:
        match = re.fullmatch(rule.ours, name)
        if match is None:
            continue
        if rule.theirs is None:
            return None
        numbers = {field: int(text) for field, text in match.groupdict().items()}
        return rule.theirs.format(ours=name, **numbers, **layout.fields(row, numbers)), rule.storage
    raise LookupError(f"no rule of the {layout.name} layout fits {name!r}")


def _tensors(table: dict[str, tuple[str, Storage]]) -> dict[str, tuple[str, Storage]]:
    return {name: entry for name, entry in table.items() if not name.endswith(COUNTER)}


def _counter(name: str) -> str:
    return f"{name.rpartition('.')[0]}.{COUNTER}"


def _restored(tensor: Tensor, storage: Storage) -> Tensor:
    if storage == "transposed" and tensor.ndim == 2:
        return tensor.T.contiguous()
    if storage == "conv1x1" and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        return tensor[:, :, 0, 0].contiguous()
    return tensor.contiguous()


def _stored(tensor: Tensor, storage: Storage) -> Tensor:
    if storage == "transposed":
        return tensor.T.contiguous()
    return tensor[:, :, None, None].contiguous() if storage == "conv1x1" else tensor


def _stored_shape(shape: Shape, storage: Storage) -> Shape:
    if storage == "transposed":
        return shape[::-1]
    return (*shape, 1, 1) if storage == "conv1x1" else shape


def _check_names(what: str, present: Iterable[str], expected: Iterable[str]) -> None:
    there, wanted = dict.fromkeys(present), dict.fromkeys(expected)
    missing = [f"- {name}" for name in wanted if name not in there]
    left_over = [f"+ {printable(name)}" for name in there if name not in wanted]
    if missing or left_over:
        shown = "\n".join(missing + left_over)
        raise ResnexusError(f"{what}: {len(missing)} missing (-) and {len(left_over)} left over (+)\n{shown}")


def _fitted_shapes(row: Architecture, num_classes: int, in_chans: int) -> dict[str, Shape]:
    found = dict(shapes(row))
    found[FIRST_CONV] = (found[FIRST_CONV][0], in_chans, *found[FIRST_CONV][2:])
    weight, bias = HEAD
    found |= {weight: (num_classes, found[weight][1]), bias: (num_classes,)}
    return found if num_classes else {name: shape for name, shape in found.items() if name not in HEAD}


def _check_shapes(row: Architecture, state: Mapping[str, Tensor]) -> None:
    in_chans = state[FIRST_CONV].shape[1] if state[FIRST_CONV].ndim == 4 else 3
    bias = state.get(HEAD[1])
    num_classes = 0 if bias is None else len(bias) if bias.ndim == 1 else 1000
    expected = _fitted_shapes(row, num_classes, in_chans)
    wrong = [
        f"- {name} {expected.get(name)}\n+ {name} {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if tensor.shape != expected.get(name)
    ]
    if wrong:
        shown = "\n".join(wrong)
        raise ResnexusError(f"{row.name}: {len(wrong)} shapes differ, expected (-) and found (+)\n{shown}")
