from __future__ import annotations

import random

import pytest
import torch

import resnexus
from random_rows import random_rows
from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.native import BACKEND
from resnexus.acceleration.native import compiler
from resnexus.parity.agreement import agreement
from resnexus.rewrites.folding import cast, fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection

ROWS, JOBS = 509, 822  # a row has one job or two
WORST = 3e-5  # of the largest logit; float32 itself, layer by layer, comes to about a third


def _job(draw: random.Random, row, in_chans: int) -> Job:
    most = 40 if row.stem == "small" else 100
    threads, size = draw.choice([1, 2, 3]), draw.randint(1, 5)
    return Job(
        batch_size=size,
        in_chans=in_chans,
        image_size=(draw.randint(20, most), draw.randint(20, most)),
        threads=threads,
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(compiler.find_compiler() is None, reason="there is no C++ compiler")
def test_random_rows_against_float64(random_network, tmp_path):
    draw = random.Random(1)
    worst, jobs = 0.0, 0
    for number, fields in enumerate(random_rows(ROWS)):
        row = resnexus.Architecture(name="tiny", **fields)
        network = random_network(
            row, dtype=torch.float64, num_classes=draw.randint(1, 40), in_chans=draw.choice([1, 3, 4])
        )
        single = cast(network, torch.float32)
        gated = has_gated_projection(row) and draw.random() < 0.5
        rewritten = gate_before_projection(single) if gated else fold_batch_norm(single)
        for again in range(2 if number < JOBS - ROWS else 1):
            job = _job(draw, row, network.in_chans)
            options = draw.choice([{}, {}, {"products": "direct"}])
            folder = tmp_path / f"{number}-{again}"
            folder.mkdir()
            BACKEND.build(rewritten, job, options, folder, None)
            images = torch.randn(*job.shape, generator=torch.Generator().manual_seed(number))
            logits = BACKEND.load(folder, job, options)(images)
            with torch.inference_mode():
                found = agreement(network(images.double()), logits)
            assert found.within(WORST), (row, job, options, found)
            worst, jobs = max(worst, found.max_rel), jobs + 1
            for path in folder.iterdir():
                path.unlink()
    print(f"{ROWS} rows, {jobs} jobs, worst {worst:.2g} of the largest logit")
    assert jobs == JOBS
    assert worst > 1e-7  # they were compared
