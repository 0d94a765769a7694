from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import resnexus
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.native import BACKEND
from resnexus.acceleration.native import compiler
from resnexus.parity.agreement import agreement
from resnexus.rewrites.folding import cast, fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection

ROWS = 400
WORST = 3e-5  # of the largest logit; float32 itself, layer by layer, comes to about a third


def _rows(count: int) -> Iterator[dict[str, Any]]:
    """Draw rows that the kernels know: every block, stem, shortcut and cascade, widths that fill no block."""
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


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(compiler.find_compiler() is None, reason="there is no C++ compiler")
def test_random_rows_against_float64(random_network, tmp_path):
    draw = random.Random(1)
    worst = 0.0
    for number, fields in enumerate(_rows(ROWS)):
        row = resnexus.Architecture(name="tiny", **fields)
        network = random_network(
            row, dtype=torch.float64, num_classes=draw.randint(1, 40), in_chans=draw.choice([1, 3, 4])
        )
        single = cast(network, torch.float32)
        gated = has_gated_projection(row) and draw.random() < 0.5
        rewritten = gate_before_projection(single) if gated else fold_batch_norm(single)
        threads, size = draw.choice([1, 2, 3]), draw.randint(1, 5)
        most = 40 if row.stem == "small" else 100
        job = Job(
            batch_size=size,
            in_chans=network.in_chans,
            image_size=(draw.randint(20, most), draw.randint(20, most)),
            threads=threads,
        )
        options = draw.choice([{}, {}, {"products": "direct"}])
        folder = tmp_path / str(number)
        folder.mkdir()
        BACKEND.build(rewritten, job, options, folder, None)
        images = torch.randn(*job.shape, generator=torch.Generator().manual_seed(number))
        logits = BACKEND.load(folder, job, options)(images)
        with torch.inference_mode():
            found = agreement(cast(network, torch.float64)(images.double()), logits)
        assert found.within(WORST), (row, job, options, found)
        worst = max(worst, found.max_rel)
        for path in folder.iterdir():
            path.unlink()
    print(f"{ROWS} rows, worst {worst:.2g} of the largest logit")
    assert worst > 1e-7  # they were compared
