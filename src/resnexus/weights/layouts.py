"""How libraries name and store the entries of a network's state: one row per library, ours among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from resnexus.architectures.spec import Architecture
from resnexus.errors import printable

Storage = Literal["same", "transposed", "conv1x1"]


@dataclass(frozen=True)
class Rule:
    """One pattern of names on our side and what it is called on the other.

    Attributes:
        ours: regular expression for a whole entry name; its named groups are numbers.
        theirs: the other name, a format string over the groups, the layout's fields and the whole name `ours`; None
            if the entry is not stored there.
        storage: how the other side stores a linear weight: the `"same"` (out, in), `"transposed"` (in, out), or
            as the `"conv1x1"` (out, in, 1, 1).
    """

    ours: str
    theirs: str | None
    storage: Storage = "same"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The names of one library.

    Attributes:
        name: how the layout is called in arguments and messages.
        title: what the names are, for messages.
        telling: regular expression for an entry that every state in this layout has and no other.
        head: our last layer.
        first_convs: the names that the first convolution has, by stem.
        rules: the first that matches an entry is used.
        fields: row and the numbers in our name -> further fields for `Rule.theirs`.
        refusal: why a row's weights mean something else there, or None if they mean the same.
    """

    name: str
    title: str
    telling: str
    head: str
    first_convs: tuple[str, ...]
    rules: tuple[Rule, ...]
    fields: Callable[[Architecture, dict[str, int]], dict[str, object]] = lambda row, numbers: {}
    refusal: Callable[[Architecture], str | None] = lambda row: None


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """Names of networks that look like ours and compute something else.

    Attributes:
        telling: regular expression for an entry that every such state has and no other.
        reason: whose names they are and why the weights are of no use, a sentence.
    """

    telling: str
    reason: str


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


def _paddle_refusal(row: Architecture) -> str | None:
    if row.cascade == "paddle":
        return None
    return (
        f"{printable(row.name)} with cascade='authors' computes another function than Paddle's Res2Net of the same "
        "shapes: leave cascade='authors' out to exchange weights with Paddle"
    )


PADDLE = Layout(
    name="paddle",
    title="Paddle's names",
    telling=r".*\._batch_norm\._mean",
    head="out",
    first_convs=("conv1_1._conv.weight", "conv._conv.weight", "conv1._conv.weight"),
    rules=(
        Rule(r".*\.num_batches_tracked", None),
        *_paddle_conv_norm(r"stem\.(?P<layer>\d+)", "{stem}"),
        *_paddle_conv_norm(rf"{_BLOCK}\.branch\.conv(?P<conv>\d+)", "bb_{stage}_{block}.conv{conv}"),
        *_paddle_conv_norm(rf"{_BLOCK}\.branch\.splits\.(?P<split>\d+)", "bb_{stage}_{block}.{split_name}"),
        *_paddle_conv_norm(rf"{_BLOCK}\.shortcut\.proj", "bb_{stage}_{block}.short"),
        *_linear(rf"{_BLOCK}\.gate\.squeeze", "bb_{stage}_{block}.scale.squeeze", "transposed"),
        *_linear(rf"{_BLOCK}\.gate\.excite", "bb_{stage}_{block}.scale.excitation", "transposed"),
        *_linear("head", "out", "transposed"),
    ),
    fields=_paddle_fields,
    refusal=_paddle_refusal,
)

RESNEXUS = Layout(
    name="resnexus",
    title="Resnexus's names",
    telling=r"stages\.\d+\.\d+\.branch\..*",
    head="head",
    first_convs=("stem.0.conv.weight",),
    rules=(Rule(r".*", "{ours}"),),
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


def _timm_refusal(row: Architecture) -> str | None:
    if row.block != "res2" or row.cascade == "authors":
        return None
    return (
        f"{printable(row.name)} computes another function than timm's Res2Net of the same shapes: it chains the splits "
        "of stage 0's first block and its pools do not count padding. Build it with cascade='authors' to exchange "
        "weights with timm"
    )


# torchvision names its ResNeXt the same way; it has no gates, deep stems or Res2 blocks.
TIMM = Layout(
    name="timm",
    title="the names of timm and torchvision",
    telling=r"layer\d+\.\d+\.conv1\.weight",
    head="fc",
    first_convs=("conv1.0.weight", "conv1.weight"),
    rules=(
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
    fields=_timm_fields,
    refusal=_timm_refusal,
)

LAYOUTS = {layout.name: layout for layout in (PADDLE, RESNEXUS, TIMM)}

UNLIKE = (
    Unlike(
        telling=r"layer0\.conv1\.weight",
        reason="they are those of timm's legacy_* SENets, which were converted from Caffe: their max pool begins "
        "inside the image (ceil_mode=True in the place of padding=1), so that no network here computes their "
        "function. timm's seresnext50_32x4d and seresnext101_32x4d convert",
    ),
)
