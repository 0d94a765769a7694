from __future__ import annotations

import pytest
import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.exporting import Prepared, exported
from resnexus.rewrites.folding import cast

JOB = Job(batch_size=1, image_size=(16, 16))


def test_a_program_for_any_batch_and_one_for_the_jobs_own(smallest, tiny_images):
    with torch.inference_mode():
        expected = smallest(tiny_images)
        any_batch = exported(smallest, JOB, any_batch=True).module()
        for size in (1, 2, 4):
            torch.testing.assert_close(any_batch(tiny_images[:size]), expected[:size], rtol=1e-5, atol=1e-5)
        one = exported(smallest, JOB, any_batch=False).module()
        torch.testing.assert_close(one(tiny_images[:1]), expected[:1], rtol=1e-5, atol=1e-5)
        with pytest.raises(AssertionError, match=r"size|shape"):
            one(tiny_images)


def test_prepared_networks_take_and_return_float32(smallest, tiny_images):
    prepared = Prepared(cast(smallest, torch.bfloat16), torch.bfloat16, torch.channels_last)
    seen = []
    prepared.network.stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        logits = prepared(tiny_images)
        torch.testing.assert_close(logits, smallest(tiny_images), rtol=0.05, atol=0.05)
    assert logits.dtype == torch.float32
    assert seen[0].dtype == torch.bfloat16
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
