"""How other libraries name and store the entries of a network's state: ordered rules, one layout per library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from resnexus.architectures.spec import Architecture

Storage = Literal["same", "transposed", "conv1x1"]


@dataclass(frozen=True)
class Rule:
    """One pattern of names on our side and what it is called on the other.

    Attributes:
        ours: regular expression for a whole entry name; its named groups are numbers.
        theirs: the other name, a format string over the groups and the layout's fields; None if the entry is not
            stored there.
        storage: how the other side stores a linear weight: the `"same"` (out, in), `"transposed"` (in, out), or
            as the `"conv1x1"` (out, in, 1, 1).
    """

    ours: str
    theirs: str | None
    storage: Storage = "same"


@dataclass(frozen=True)
class Layout:
    """The names of one library.

    Attributes:
        name: how the library is called in messages.
        rules: the first that matches an entry is used.
        fields: row and the numbers in our name -> further fields for `Rule.theirs`.
    """

    name: str
    rules: tuple[Rule, ...]
    fields: Callable[[Architecture, dict[str, int]], dict[str, object]]


def _conv_norm(ours: str, conv: str, norm: str, *, statistics: tuple[str, str]) -> tuple[Rule, ...]:
    """Return the rules of one ConvNorm: its convolution, and its normalisation's four stored entries."""
    mean, variance = statistics
    return (
        Rule(rf"{ours}\.conv\.weight", f"{conv}.weight"),
        Rule(rf"{ours}\.norm\.weight", f"{norm}.weight"),
        Rule(rf"{ours}\.norm\.bias", f"{norm}.bias"),
        Rule(rf"{ours}\.norm\.running_mean", f"{norm}.{mean}"),
        Rule(rf"{ours}\.norm\.running_var", f"{norm}.{variance}"),
    )


def _linear(ours: str, theirs: str, storage: Storage) -> tuple[Rule, ...]:
    return Rule(rf"{ours}\.weight", f"{theirs}.weight", storage), Rule(rf"{ours}\.bias", f"{theirs}.bias")


def _paddle_conv_norm(ours: str, theirs: str) -> tuple[Rule, ...]:
    return _conv_norm(ours, f"{theirs}._conv", f"{theirs}._batch_norm", statistics=("_mean", "_variance"))


def _torch_conv_norm(ours: str, conv: str, norm: str) -> tuple[Rule, ...]:
    return _conv_norm(ours, conv, norm, statistics=("running_mean", "running_var"))


_BLOCK = r"stages\.(?P<stage>\d+)\.(?P<block>\d+)"


def _paddle_fields(row: Architecture, numbers: dict[str, int]) -> dict[str, object]:
    fields: dict[str, object] = {}
    if "layer" in numbers:  # of the stem
        plain = "conv1" if row.block == "res2" else "conv"
        fields["stem"] = f"conv1_{numbers['layer'] + 1}" if row.stem == "deep" else plain
    if "split" in numbers:
        # Blocks are lettered a, b, c, ...; in a long stage 2 they are a, b1, b2, ...
        stage, block = numbers["stage"], numbers["block"]
        numbered = stage == 2 and row.depths[2] > 6 and block > 0
        letter = f"b{block}" if numbered else chr(ord("a") + block)
        fields["split_name"] = f"res{stage + 2}{letter}_branch2b_{numbers['split'] + 1}"
    return fields


PADDLE = Layout(
    "Paddle",
    (
        Rule(r".*\.num_batches_tracked", None),
        *_paddle_conv_norm(r"stem\.(?P<layer>\d+)", "{stem}"),
        *_paddle_conv_norm(rf"{_BLOCK}\.branch\.conv(?P<conv>\d+)", "bb_{stage}_{block}.conv{conv}"),
        *_paddle_conv_norm(rf"{_BLOCK}\.branch\.splits\.(?P<split>\d+)", "bb_{stage}_{block}.{split_name}"),
        *_paddle_conv_norm(rf"{_BLOCK}\.shortcut\.proj", "bb_{stage}_{block}.short"),
        *_linear(rf"{_BLOCK}\.gate\.squeeze", "bb_{stage}_{block}.scale.squeeze", "transposed"),
        *_linear(rf"{_BLOCK}\.gate\.excite", "bb_{stage}_{block}.scale.excitation", "transposed"),
        *_linear("head", "out", "transposed"),
    ),
    _paddle_fields,
)


def _timm_fields(row: Architecture, numbers: dict[str, int]) -> dict[str, object]:
    fields: dict[str, object] = {}
    if "layer" in numbers:  # of the stem
        layer = numbers["layer"]
        # A deep stem is a Sequential of conv, norm, relu, conv, norm, relu, conv; its last norm stands outside.
        fields["stem_conv"] = f"conv1.{3 * layer}" if row.stem == "deep" else "conv1"
        fields["stem_norm"] = f"conv1.{3 * layer + 1}" if row.stem == "deep" and layer < 2 else "bn1"
    if "stage" in numbers:
        pooled = row.shortcut == "pool"  # the pool, or an identity in its place, is element 0
        fields |= {"timm_stage": numbers["stage"] + 1, "down_conv": int(pooled), "down_norm": int(pooled) + 1}
    if "conv" in numbers:
        fields["timm_conv"] = numbers["conv"] + 1
    return fields


_TIMM_BLOCK = "layer{timm_stage}.{block}"

# torchvision names its ResNeXt the same way; it has no gates, deep stems or Res2 blocks.
TIMM = Layout(
    "timm",
    (
        Rule(r".*\.num_batches_tracked", None),
        *_torch_conv_norm(r"stem\.(?P<layer>\d+)", "{stem_conv}", "{stem_norm}"),
        *_torch_conv_norm(
            rf"{_BLOCK}\.branch\.conv(?P<conv>\d+)",
            f"{_TIMM_BLOCK}.conv{{timm_conv}}",
            f"{_TIMM_BLOCK}.bn{{timm_conv}}",
        ),
        *_torch_conv_norm(
            rf"{_BLOCK}\.branch\.splits\.(?P<split>\d+)",
            f"{_TIMM_BLOCK}.convs.{{split}}",
            f"{_TIMM_BLOCK}.bns.{{split}}",
        ),
        *_torch_conv_norm(
            rf"{_BLOCK}\.shortcut\.proj",
            f"{_TIMM_BLOCK}.downsample.{{down_conv}}",
            f"{_TIMM_BLOCK}.downsample.{{down_norm}}",
        ),
        *_linear(rf"{_BLOCK}\.gate\.squeeze", f"{_TIMM_BLOCK}.se.fc1", "conv1x1"),
        *_linear(rf"{_BLOCK}\.gate\.excite", f"{_TIMM_BLOCK}.se.fc2", "conv1x1"),
        *_linear("head", "fc", "same"),
    ),
    _timm_fields,
)
