"""Trained weights for `create_model`: by tag or from a file, and fitted to other images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, printable
from resnexus.progress import Shown
from resnexus.weights.checkpoint_file import CheckpointRecord, read_checkpoint, read_record
from resnexus.weights.convert import SUFFIXES, load_state, ours
from resnexus.weights.detect import differing_fields
from resnexus.weights.mapping import FIRST_CONV, HEAD
from resnexus.weights.store import fetch, find_tag


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Trained weights in our names.

    Attributes:
        origin: where they come from, for messages.
        state: the state dict of `create_model`.
        record: what is known of them, their network included.
    """

    origin: str
    state: dict[str, Tensor]
    record: CheckpointRecord

    @property
    def num_classes(self) -> int:
        """Outputs of the last layer, 0 if there is none."""
        return len(self.state[HEAD[1]]) if HEAD[1] in self.state else 0

    @property
    def in_chans(self) -> int:
        """Channels of the images."""
        return self.state[FIRST_CONV].shape[1]

    def for_channels(self, in_chans: int) -> Pretrained:
        """Return the weights with a first convolution for images of other channels, by `fold_channels`.

        The record then has no preprocessing: that was for the channels of before.
        """
        if in_chans == self.in_chans:
            return self
        state = self.state | {FIRST_CONV: fold_channels(self.state[FIRST_CONV], in_chans)}
        return replace(self, state=state, record=replace(self.record, preprocess=None))


def trained(row: Architecture, source: bool | str | os.PathLike[str]) -> Pretrained:
    """Return trained weights for a network.

    Args:
        row: the network.
        source: True for the tag `imagenet`; a tag; or a file, which is a path object or a string that has a folder
            or the suffix of a file of weights.

    Raises:
        ResnexusError: no such weights, or they are another network's.
    """
    if names_file(source):
        loaded = load_state(source)
        state = ours(loaded, row)[1]
        record = loaded.record
        if record.source is None and record.version is None:
            record = replace(record, source=printable(loaded.path.name))
        return Pretrained(origin=printable(loaded.path), state=state, record=replace(record, architecture=row))
    published = find_tag(row.name, "imagenet" if source is True else str(source))
    if changed := differing_fields(row, CATALOG[row.name]):
        raise ResnexusError(
            f"{changed}: the weights {published.tag!r} are those of the published {row.name}; leave that out, or give "
            "pretrained= a file of weights that fit"
        )
    path = fetch(published, progress=Shown())
    return Pretrained(origin=f"{row.name}:{published.tag}", state=read_checkpoint(path), record=read_record(path))


def assign(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network built on the meta device its weights, in its own dtypes, on the default device.

    Nothing is drawn first and nothing is copied that has the right dtype and device. Entries that the network does
    not have are left out.
    """
    device = torch.get_default_device()
    wanted = network.state_dict()
    network.load_state_dict({name: state[name].to(device, like.dtype) for name, like in wanted.items()}, assign=True)


def fold_channels(weight: Tensor, in_chans: int) -> Tensor:
    """Fit a first convolution for RGB to images of `in_chans` channels.

    One channel: the sum over R, G and B, so that a grey image gives what it gave as three equal channels. Others:
    the three repeated in turn, times 3 / in_chans, so that equal channels keep their sum where in_chans is a
    multiple of 3. It is the rule of timm.

    Args:
        weight: (width, 3, k, k).
        in_chans: at least 1.

    Returns:
        (width, in_chans, k, k).

    Raises:
        ResnexusError: the weight is not for three channels.
    """
    if weight.shape[1] != 3:
        raise ResnexusError(
            f"in_chans={in_chans}: the weights are for {weight.shape[1]} image channels, and only those for 3 can be "
            "fitted to others"
        )
    if in_chans == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [channel % 3 for channel in range(in_chans)]] * (3 / in_chans)


def names_file(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether what is given for weights is a file: a path object, or a text with a folder or the suffix of one."""
    if not isinstance(source, str):
        return isinstance(source, os.PathLike)
    return Path(source).suffix in SUFFIXES or os.sep in source or (os.altsep is not None and os.altsep in source)
