from __future__ import annotations

import shutil

import pytest
import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.onnxruntime import BACKEND
from resnexus.acceleration.planning.builds import Held
from resnexus.parity.agreement import agreement
from resnexus.rewrites.table import applicable, rewritten

pytest.importorskip("onnxruntime", reason="onnxruntime is optional: pip install 'resnexus[export]'")
pytest.importorskip("onnxscript", reason="onnxscript is optional: pip install 'resnexus[export]'")


@pytest.mark.filterwarnings("ignore")
def test_one_build_serves_every_batch_size(tiny, tiny_images, tmp_path, capfd):
    job = Job(batch_size=4, image_size=(16, 16), threads=1)
    BACKEND.build(rewritten(tiny, applicable(tiny.architecture)), job, {}, tmp_path, None)
    assert capfd.readouterr().out == ""
    for size in (1, 4):
        runner = BACKEND.load(tmp_path, Job(batch_size=size, image_size=(16, 16), threads=1), {})
        logits = runner(tiny_images[:size])
        kept = logits.clone()
        runner(-tiny_images[:size])
        assert torch.equal(logits, kept)
        with torch.inference_mode():
            assert agreement(tiny(tiny_images[:size]), logits).within(1e-5)
    # What is loaded goes on when its files are removed.
    held = Held(tmp_path)
    last = BACKEND.load(held.path, job, {})
    del held
    shutil.rmtree(tmp_path)
    assert torch.equal(last(tiny_images), logits)


def test_what_it_computes_in():
    assert BACKEND.precisions("cpu") == ("fp32",)
    assert BACKEND.precisions("cuda") == ()
