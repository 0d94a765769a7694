"""Rows that our kernels know, drawn at random: every block, stem, shortcut and cascade, widths that fill no block."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any


def random_rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield the fields of so many rows, every time the same."""
    draw = random.Random(0)
    for _ in range(count):
        block = draw.choice(["basic", "bottleneck", "res2"])
        fields: dict[str, Any] = {
            "block": block,
            "depths": tuple(draw.choice([1, 1, 2]) for _ in range(draw.choice([1, 2, 2, 3]))),
            "stem": draw.choice(["conv7", "deep", "small"]),
            "stem_width": 2 * draw.randint(4, 40),
            "shortcut": draw.choice(["conv", "pool"]),
            "out_width": draw.choice([16, 24, 40, 64, 100, 256]),
        }
        if block == "basic":
            fields["width"] = fields["out_width"] = draw.randint(5, 64)
        elif block == "bottleneck":
            fields["groups"], fields["width"] = draw.choice(
                [(1, 24), (1, 100), (1, 256), (8, 4), (16, 8), (4, 16), (2, 32)]
            )
        else:
            fields |= {"scale": draw.randint(2, 6), "width": draw.randint(3, 40)}
            fields["cascade"] = draw.choice(["paddle", "authors"])
        if draw.random() < 0.4:
            fields["se_reduction"] = draw.choice([2, 4, 5, 16])
        yield fields
