"""Translate a whole state between our names and another library's, strictly and in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.weights.layouts import PADDLE, TIMM, Layout, Storage

Array = np.ndarray


def from_paddle(model: str | Architecture, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Translate a Paddle state into the state dict of `create_model(model)`.

    Args:
        model: a name of the series, or a row.
        arrays: name -> array, as `read_pdparams` returns them. The number of classes and of image channels are the
            arrays' own.

    Returns:
        A state dict for `load_state_dict(..., strict=True)`, in the arrays' dtypes; tensors share no memory with
        the arrays.

    Raises:
        ResnexusError: names or shapes that are missing or left over, all listed at once.
    """
    return _from(PADDLE, model, arrays)


def to_paddle(model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Array]:
    """Translate the state dict of `create_model(model)` into Paddle's names and layout, the inverse of `from_paddle`.

    Raises:
        ResnexusError: names or shapes that are missing or left over, all listed at once.
    """
    return _to(PADDLE, model, state)


def from_timm(model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a timm or torchvision state dict into ours.

    A Res2Net must be the authors' variant (`cascade="authors"`): the published Paddle networks have the same shapes
    as timm's and compute another function.

    Raises:
        ResnexusError: a Res2Net of the Paddle variant, or names or shapes that are missing or left over.
    """
    arrays = {name: tensor.numpy(force=True) for name, tensor in state.items() if not name.endswith(_COUNTER)}
    return _from(TIMM, _same_function_as_timm(model), arrays)


def to_timm(model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate our state dict into timm's and torchvision's names, the inverse of `from_timm`.

    Raises:
        ResnexusError: as for `from_timm`.
    """
    arrays = _to(TIMM, _same_function_as_timm(model), state)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


_COUNTER = "num_batches_tracked"


@cache
def shapes(row: Architecture) -> dict[str, tuple[int, ...]]:
    """Return our entry name -> shape for 1000 classes and 3 image channels, in the order of our state."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in Network(row).state_dict().items()}


@cache
def names(layout: Layout, row: Architecture) -> dict[str, tuple[str, Storage]]:
    """Return our entry name -> (the other library's name, how it stores the entry), in the order of our state.

    Entries that the other library does not store are left out.
    """
    found = {name: _translate(layout, row, name) for name in shapes(row)}
    return {name: entry for name, entry in found.items() if entry is not None}


def _translate(layout: Layout, row: Architecture, name: str) -> tuple[str, Storage] | None:
    for rule in layout.rules:
        match = re.fullmatch(rule.ours, name)
        if match is None:
            continue
        if rule.theirs is None:
            return None
        numbers = {field: int(text) for field, text in match.groupdict().items()}
        return rule.theirs.format(**numbers, **layout.fields(row, numbers)), rule.storage
    raise LookupError(f"no rule of the {layout.name} layout fits {name!r}")


def _from(layout: Layout, model: str | Architecture, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    row = architecture(model)
    table = names(layout, row)
    _check_names(f"{layout.name} entries for {row.name}", arrays, [theirs for theirs, _ in table.values()])
    state = {
        ours: torch.from_numpy(np.array(_stored_as_ours(arrays[theirs], storage), order="C"))
        for ours, (theirs, storage) in table.items()
    }
    _check_shapes(row, state)
    for name in list(state):
        if name.endswith("running_var"):
            state[name.replace("running_var", _COUNTER)] = torch.tensor(0)
    return state


def _to(layout: Layout, model: str | Architecture, state: Mapping[str, Tensor]) -> dict[str, Array]:
    row = architecture(model)
    table = names(layout, row)
    stored = [name for name in state if not name.endswith(_COUNTER)]
    _check_names(f"entries for {row.name}", stored, table)
    _check_shapes(row, {name: state[name] for name in stored})
    return {
        theirs: np.array(_ours_stored_as(state[ours].numpy(force=True), storage), order="C")
        for ours, (theirs, storage) in table.items()
    }


def _stored_as_ours(array: Array, storage: Storage) -> Array:
    if storage == "transposed":
        return array.T
    if storage == "conv1x1":
        return array.reshape(array.shape[:2])
    return array


def _ours_stored_as(array: Array, storage: Storage) -> Array:
    if storage == "transposed":
        return array.T
    if storage == "conv1x1":
        return array[:, :, None, None]
    return array


def _same_function_as_timm(model: str | Architecture) -> Architecture:
    row = architecture(model)
    if row.block == "res2" and row.cascade == "paddle":
        raise ResnexusError(
            f"{row.name} computes another function than timm's Res2Net of the same shapes: it chains the splits of "
            "stage 0's first block and its pools do not count padding. Build it with cascade='authors' to exchange "
            "weights with timm"
        )
    return row


def _check_names(what: str, present: Iterable[str], expected: Iterable[str]) -> None:
    present, expected = list(present), list(expected)
    missing = [f"- {name}" for name in expected if name not in set(present)]
    left_over = [f"+ {name}" for name in present if name not in set(expected)]
    if missing or left_over:
        shown = "\n".join(missing + left_over)
        raise ResnexusError(f"{what}: {len(missing)} missing (-) and {len(left_over)} left over (+)\n{shown}")


def _check_shapes(row: Architecture, state: Mapping[str, Tensor]) -> None:
    first = next(name for name in state if name.startswith("stem."))
    in_chans = state[first].shape[1] if state[first].ndim == 4 else 3
    num_classes = len(state["head.bias"]) if state["head.bias"].ndim == 1 else 1000
    free = {
        first: (shapes(row)[first][0], in_chans, *shapes(row)[first][2:]),
        "head.weight": (num_classes, shapes(row)["head.weight"][1]),
        "head.bias": (num_classes,),
    }
    expected = shapes(row) | free
    wrong = [
        f"- {name} {expected[name]}\n+ {name} {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if tensor.shape != expected[name]
    ]
    if wrong:
        shown = "\n".join(wrong)
        raise ResnexusError(f"{row.name}: {len(wrong)} shapes differ, expected (-) and found (+)\n{shown}")
