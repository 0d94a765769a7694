"""Create a network by name or from a row, with trained weights or fresh ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, overload

import torch

from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.progress import Progress

_log = logging.getLogger("resnexus")

OPTIONS = tuple(field.name for field in fields(Architecture) if field.name != "name")
DEFAULT_CHANNELS = 3
RANDOM = "random"
"""What is given for weights where freshly drawn ones are meant."""
_ARGUMENTS = ("pretrained", "num_classes", "in_chans", "features_only", "out_indices", "output_stride")


@overload
def create_model(
    model: str | Architecture,
    pretrained: bool | str | os.PathLike[str] = ...,
    *,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    features_only: Literal[False] = ...,
    output_stride: int | None = ...,
    **options: Any,
) -> Network: ...
@overload
def create_model(
    model: str | Architecture,
    pretrained: bool | str | os.PathLike[str] = ...,
    *,
    in_chans: int | None = ...,
    features_only: Literal[True],
    out_indices: Sequence[int] | None = ...,
    output_stride: int | None = ...,
    **options: Any,
) -> FeatureNetwork: ...


def create_model(
    model: str | Architecture,
    pretrained: bool | str | os.PathLike[str] = False,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
    **options: Any,
) -> Network | FeatureNetwork:
    """Create a network in training mode, with trained weights or freshly drawn ones.

    Args:
        model: a name (`list_models()`, and the small siblings; upper and lower case are the same) or a row of your
            own.
        pretrained: True for the published weights of ImageNet-1k; a tag, `"imagenet"` or `"ssld"`; or a file of
            weights (`.safetensors`, `.pdparams`, `.pth`) as a path object or as a string with a folder or suffix.
            Published weights are fetched on first use, see `resnexus.weights.store.fetch`.
        num_classes: outputs of the last layer, 0 for none; if None, those of the trained weights, else 1000. If it
            is not what the weights were trained for, the trained last layer is replaced by a freshly drawn one, and
            the logger `resnexus` warns.
        in_chans: channels of the image; if None, those of the trained weights, else 3. Trained weights for 3 are
            fitted to others: see `resnexus.weights.pretrained.fold_channels`.
        features_only: return feature maps instead of logits.
        out_indices: with `features_only`, the maps to return, numbered as timm's: 0 is the stem's at stride 2 (1 with a
            small stem), 1 to 4 are those of the stages at strides 4, 8, 16 and 32; all if None.
        output_stride: 8 or 16 for maps that stay as large as at that stride, by dilation in place of strides; every
            so many pixels they hold what they hold without, but for networks with gates: see
            `resnexus.architectures.dilation`. The row's own, 32, if None.
        **options: fields of `Architecture` to change, e.g. `stem="small"` or `cascade="authors"`.

    Returns:
        A `Network`, or a `FeatureNetwork` if `features_only`. Call its `eval()` before you predict.

    Raises:
        ResnexusError: unknown name, option or tag, values that contradict each other, or weights that cannot be had
            or do not fit.
    """
    row = architecture(model)
    for option in options:
        if option not in OPTIONS:
            raise unknown("option", option, _ARGUMENTS + OPTIONS)
    if options:
        row = replace(row, **options)
    if features_only and num_classes is not None:
        raise ResnexusError(f"num_classes={num_classes} has no effect with features_only=True: there is no classifier")
    if not features_only and out_indices is not None:
        raise ResnexusError(f"out_indices={out_indices} has no effect without features_only=True")

    def build(channels: int) -> Network | FeatureNetwork:
        if features_only:
            return FeatureNetwork(row, out_indices, channels, output_stride)
        return Network(row, 1000 if num_classes is None else num_classes, channels, output_stride)

    if pretrained is False:
        return build(DEFAULT_CHANNELS if in_chans is None else in_chans)
    return _trained(row, pretrained, num_classes, in_chans, build)


def open_trained(
    model: str | os.PathLike[str], architecture: str | None = None, progress: Progress | None = None
) -> tuple[Network, Path]:
    """Return a network with trained weights, in evaluation mode, and the file that they are in.

    Args:
        model: a published network, `NETWORK`, `NETWORK:TAG` or a checkpoint's name; or a file of weights: a path
            object, or a string with a folder or the suffix of such a file.
        architecture: the network of a file, where names and shapes cannot tell.
        progress: told of a download.

    Raises:
        ResnexusError: no such network or file, weights that fit no network, or no last layer.
    """
    from resnexus.weights.convert import load_state, ours
    from resnexus.weights.pretrained import names_file
    from resnexus.weights.store import fetch, find_checkpoint

    if names_file(model):
        path = Path(model)
        found, _ = ours(load_state(path), architecture)
        network = create_model(found.architecture, pretrained=path)
    else:
        if architecture is not None:
            raise ResnexusError(
                f"architecture={architecture!r} has no effect on {model!r}: it is for a file of weights"
            )
        checkpoint = find_checkpoint(str(model))
        path = fetch(checkpoint, progress=progress)
        network = create_model(checkpoint.architecture, pretrained=checkpoint.tag)
    if not network.num_classes:
        raise ResnexusError(f"{printable(model)}: the network has no last layer, so that it names no class")
    return network.eval(), path


def starting_weights(weights: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return what a training starts from where random weights have a name: a tag or a file, None for random ones.

    Args:
        weights: a tag or a file; `"random"`, or None, which means the same.
    """
    return None if weights == RANDOM else weights


def _trained(
    row: Architecture,
    source: bool | str | os.PathLike[str],
    num_classes: int | None,
    in_chans: int | None,
    build: Callable[[int], Network | FeatureNetwork],
) -> Network | FeatureNetwork:
    """Build a network around trained weights; none are drawn but those of a head that is replaced."""
    from resnexus.weights.pretrained import assign, trained

    with torch.device("meta"):
        # Before the weights are fetched, so that wrong arguments are told at once.
        build(DEFAULT_CHANNELS if in_chans is None else in_chans)
    weights = trained(row, source)
    in_chans = weights.in_chans if in_chans is None else in_chans
    if weights.in_chans != in_chans:
        _log.info("%s: the first convolution is fitted from %d to %d channels", row.name, weights.in_chans, in_chans)
        weights = weights.for_channels(in_chans)
    with torch.device("meta"):
        network = build(in_chans)
        if isinstance(network, Network):
            network.reset_classifier(weights.num_classes)
    dropped = sorted({_module(name) for name in weights.state.keys() - network.state_dict().keys()})
    if dropped:
        _log.info("%s: %s of %s are not needed", row.name, ", ".join(dropped), weights.origin)
    assign(network, weights.state)
    network.record = weights.record
    if isinstance(network, Network) and num_classes not in (None, weights.num_classes):
        network.reset_classifier(num_classes)
        _log.warning("%s: head of %d classes replaced by a fresh one of %d", row.name, weights.num_classes, num_classes)
    return network


def _module(name: str) -> str:
    return ".".join(name.split(".")[:2]) if name.startswith("stages.") else name.partition(".")[0]
