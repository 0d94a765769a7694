"""The description of one network: a frozen row from which everything else is derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from resnexus.errors import ResnexusError, unknown

Block = Literal["basic", "bottleneck", "res2"]
Stem = Literal["conv7", "deep", "small"]
Shortcut = Literal["conv", "pool"]
Cascade = Literal["paddle", "authors"]

MAX_STAGES = 4


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network of the series, or one of your own.

    Widths double from stage to stage. Creating a row checks it, so a row that exists can be built.

    Attributes:
        name: how the network is called.
        block: `"basic"` (two 3x3), `"bottleneck"` (1x1, 3x3, 1x1) or `"res2"`
            (1x1, a cascade of 3x3 over `scale` splits, 1x1).
        depths: blocks per stage, one to four stages.
        width: channels of the 3x3 convolution in stage 0, per group and per split.
        out_width: channels that leave stage 0.
        groups: groups of the 3x3 convolution (the cardinality of ResNeXt).
        scale: splits of a `"res2"` block; 1 for the other blocks.
        se_reduction: squeeze-and-excitation bottleneck, C -> C // se_reduction -> C; None for no gate.
        stem: `"conv7"` (7x7 stride 2, then max pool), `"deep"` (three 3x3, the first stride 2, then max
            pool) or `"small"` (one 3x3 stride 1, no pool: for images up to 64 pixels).
        stem_width: channels that leave the stem; a deep stem starts with half of them.
        shortcut: of a block that halves the image, `"conv"` (1x1 with the stride) or `"pool"`
            (2x2 average pool, then 1x1).
        cascade: which blocks of a `"res2"` network chain their splits. `"paddle"`: those of stride 1.
            `"authors"`: those that are not first in a stage, and the average pool counts its padding;
            the layout of the Res2Net authors and of timm. Same shapes, another function.

    Raises:
        ResnexusError: a value is outside what is stated above, or fields contradict each other.
    """

    name: str
    block: Block
    depths: tuple[int, ...]
    width: int
    out_width: int
    groups: int = 1
    scale: int = 1
    se_reduction: int | None = None
    stem: Stem = "conv7"
    stem_width: int = 64
    shortcut: Shortcut = "conv"
    cascade: Cascade = "paddle"

    def __post_init__(self) -> None:
        for field, accepted in (("block", Block), ("stem", Stem), ("shortcut", Shortcut), ("cascade", Cascade)):
            if getattr(self, field) not in get_args(accepted):
                raise unknown(field, getattr(self, field), get_args(accepted))
        object.__setattr__(self, "depths", tuple(self.depths))
        self._check_numbers()
        self._check_block()

    def _check_numbers(self) -> None:
        if not 1 <= len(self.depths) <= MAX_STAGES:
            raise ResnexusError(f"depths={self.depths}: give the blocks of 1 to {MAX_STAGES} stages")
        counts = {f"depths[{i}]": depth for i, depth in enumerate(self.depths)}
        counts |= {field: getattr(self, field) for field in ("width", "out_width", "groups", "scale", "stem_width")}
        if self.se_reduction is not None:
            counts["se_reduction"] = self.se_reduction
        for field, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ResnexusError(f"{field}={value!r}: expected a whole number of at least 1")

    def _check_block(self) -> None:
        if self.block == "basic" and (self.groups != 1 or self.width != self.out_width):
            raise ResnexusError(
                f"a basic block has one width and no groups: width={self.width}, out_width={self.out_width}, "
                f"groups={self.groups}; set width equal to out_width and groups=1, or use block='bottleneck'"
            )
        if (self.scale > 1) != (self.block == "res2"):
            raise ResnexusError(
                f"scale={self.scale} with block={self.block!r}: a 'res2' block needs scale of at least 2, "
                "the other blocks need scale=1"
            )
        if self.cascade == "authors" and self.block != "res2":
            raise ResnexusError(f"cascade='authors' has no effect on block={self.block!r}: only 'res2' has a cascade")
        if self.se_reduction is not None and self.se_reduction > self.out_width:
            raise ResnexusError(
                f"se_reduction={self.se_reduction} leaves no channel of out_width={self.out_width}: at most out_width"
            )
        if self.stem == "deep" and self.stem_width % 2:
            raise ResnexusError(f"stem_width={self.stem_width}: a deep stem needs an even width")

    @property
    def family(self) -> str:
        """`"Res2Net"`, `"SENet"` (anything gated), `"ResNeXt"` or `"ResNet"`."""
        if self.block == "res2":
            return "Res2Net"
        if self.se_reduction is not None:
            return "SENet"
        return "ResNeXt" if self.groups > 1 else "ResNet"

    def inner_width(self, stage: int) -> int:
        """Channels inside a block of `stage`: groups x width x scale, doubled per stage."""
        return self.groups * self.width * self.scale << stage

    def outer_width(self, stage: int) -> int:
        """Channels that leave a block of `stage`."""
        return self.out_width << stage

    def in_width(self, stage: int) -> int:
        """Channels that enter `stage`."""
        return self.stem_width if stage == 0 else self.outer_width(stage - 1)

    @property
    def reductions(self) -> tuple[int, ...]:
        """Image pixels per feature pixel after each stage: 4, 8, 16, 32, or 1, 2, 4, 8 with a small stem."""
        first = 1 if self.stem == "small" else 4
        return tuple(first << stage for stage in range(len(self.depths)))

    @staticmethod
    def stride(stage: int, block: int) -> int:
        """Stride of a block: 2 for the first block of every stage but the first."""
        return 2 if stage > 0 and block == 0 else 1
