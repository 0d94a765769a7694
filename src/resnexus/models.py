"""Create a network by name or from a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal, overload

from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, unknown

OPTIONS = tuple(field.name for field in fields(Architecture) if field.name != "name")


@overload
def create_model(
    model: str | Architecture,
    *,
    num_classes: int = ...,
    in_chans: int = ...,
    features_only: Literal[False] = ...,
    **options: Any,
) -> Network: ...
@overload
def create_model(
    model: str | Architecture,
    *,
    in_chans: int = ...,
    features_only: Literal[True],
    out_indices: Sequence[int] | None = ...,
    **options: Any,
) -> FeatureNetwork: ...


def create_model(
    model: str | Architecture,
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **options: Any,
) -> Network | FeatureNetwork:
    """Create a network with freshly drawn weights, in training mode.

    Args:
        model: a name of the series (`list_models()`; upper and lower case are the same) or a row of your own.
        num_classes: outputs of the last layer, 0 for none.
        in_chans: channels of the image.
        features_only: return the feature maps of the stages instead of logits.
        out_indices: with `features_only`, the stages to return; all if None.
        **options: fields of `Architecture` to change, e.g. `stem="small"` or `cascade="authors"`.

    Returns:
        A `Network`, or a `FeatureNetwork` if `features_only`.

    Raises:
        ResnexusError: unknown name or option, or values that contradict each other.
    """
    row = architecture(model) if isinstance(model, str) else model
    for option in options:
        if option not in OPTIONS:
            raise unknown("option", option, OPTIONS)
    if options:
        row = replace(row, **options)
    if not features_only:
        if out_indices is not None:
            raise ResnexusError(f"out_indices={tuple(out_indices)} has no effect without features_only=True")
        return Network(row, num_classes=num_classes, in_chans=in_chans)
    if num_classes != 1000:
        raise ResnexusError(f"num_classes={num_classes} has no effect with features_only=True: there is no classifier")
    return FeatureNetwork(row, range(len(row.depths)) if out_indices is None else out_indices, in_chans=in_chans)
