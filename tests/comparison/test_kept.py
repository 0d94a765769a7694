"""Weights and record are one unit."""

from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError
from resnexus.comparison.kept import Finished, finished, keep, record_path, trained_network, weights_path
from resnexus.records import read_json, write_json
from resnexus.report.record import Run
from resnexus.weights.checkpoint_file import sha256

RUN = Run(
    seed=0, top1=0.5, top5=1.0, images=8, skipped=("a.jpg: is empty",), skipped_in_training=(), epochs=1, seconds=0.5
)


@pytest.fixture
def job(jobs):
    return jobs()[0]


def test_what_is_kept_is_found_again(job, tmp_path):
    assert finished(job, tmp_path) is None
    network = job.network()
    keep(job, network, RUN, tmp_path)
    assert finished(job, tmp_path) == RUN
    again = trained_network(job, tmp_path)
    assert not again.training
    assert again.architecture == job.row
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.state_dict().items())
    record = read_json(Finished, record_path(job, tmp_path))
    assert record == Finished(key=job.key, weights_sha256=sha256(weights_path(job, tmp_path)), run=RUN)


def test_other_conditions_leave_it_alone(job, jobs, tmp_path):
    keep(job, job.network(), RUN, tmp_path)
    other = jobs(seeds=2)[2]
    assert finished(other, tmp_path) is None
    keep(other, other.network(), replace(RUN, seed=1), tmp_path)
    assert finished(job, tmp_path) == RUN


def test_half_of_a_unit_is_nothing(job, tmp_path):
    keep(job, job.network(), RUN, tmp_path)
    weights, record = weights_path(job, tmp_path), record_path(job, tmp_path)
    content = weights.read_bytes()
    weights.unlink()
    assert finished(job, tmp_path) is None
    weights.write_bytes(content)
    assert finished(job, tmp_path) == RUN
    record.unlink()
    assert finished(job, tmp_path) is None


def test_a_record_is_believed_only_with_its_own_weights(job, tmp_path):
    keep(job, job.network(), RUN, tmp_path)
    weights = weights_path(job, tmp_path)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ResnexusError, match=r"plain-seed0-.*safetensors was changed after its training: .*remove both"):
        finished(job, tmp_path)


def test_the_key_counts_and_not_the_name(job, tmp_path):
    keep(job, job.network(), RUN, tmp_path)
    path = record_path(job, tmp_path)
    write_json(replace(read_json(Finished, path), key="another"), path)
    assert finished(job, tmp_path) is None


def test_a_damaged_record_is_named(job, tmp_path):
    keep(job, job.network(), RUN, tmp_path)
    path = record_path(job, tmp_path)
    path.write_text(path.read_text()[:30])
    with pytest.raises(ResnexusError, match=r"plain-seed0-.*json is not JSON"):
        finished(job, tmp_path)
