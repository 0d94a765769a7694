from __future__ import annotations

from dataclasses import replace

import pytest

import resnexus
from resnexus.acceleration.backends.contract import Candidate, Job
from resnexus.acceleration.planning.building import Builder
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE
from resnexus.acceleration.planning.digests import digest
from resnexus.errors import ResnexusError
from resnexus.progress import Silent

JOB = Job(batch_size=2, image_size=(16, 16), threads=1)


def test_builders_find_what_the_cache_keeps(tiny, tmp_path, recorded):
    cache = EngineCache(tmp_path)
    builder = Builder(tiny, cache, None, recorded)
    with cache.scratch() as scratch:
        built = builder.files(PLAIN_CANDIDATE, JOB, scratch)
        assert builder.files(PLAIN_CANDIDATE, JOB, scratch) == built
        kept = cache.keep_build(builder.key(PLAIN_CANDIDATE, JOB), built)
    assert builder.files(PLAIN_CANDIDATE, JOB, tmp_path / "unused") == kept
    assert len(recorded.said) == 1
    assert builder.key(PLAIN_CANDIDATE, JOB) != builder.key(Candidate("torch", (), {"mode": "eager"}), JOB)


@pytest.mark.parametrize(
    ("backend", "options", "change", "shared"),
    [
        ("torch", {"mode": "plain"}, {"precision": "bf16"}, True),
        ("torch", {"mode": "plain"}, {"batch_size": 3}, True),
        ("torch", {"mode": "eager"}, {"batch_size": 3}, True),
        ("torch", {"mode": "eager"}, {"precision": "bf16"}, False),
        ("torch", {"mode": "compiled"}, {"batch_size": 3}, False),
        ("torch", {"mode": "compiled"}, {"threads": 2}, False),
        ("openvino", {}, {"precision": "bf16"}, True),
        ("openvino", {}, {"precision": "int8"}, False),
        ("openvino", {"parts": "2"}, {"batch_size": 4, "threads": 2}, True),
        ("onnxruntime", {}, {"batch_size": 4}, True),
        ("onnxruntime", {}, {"image_size": (32, 32)}, False),
    ],
)
def test_jobs_share_what_does_not_depend_on_them(backend, options, change, shared, smallest, tmp_path):
    pytest.importorskip(backend, reason="optional: pip install 'resnexus[export]'")
    builder = Builder(smallest, EngineCache(tmp_path), None, Silent())
    candidate = Candidate(backend, (), options)
    assert (builder.key(candidate, JOB) == builder.key(candidate, replace(JOB, **change))) == shared


def test_a_build_that_fails_leaves_nothing_behind(tiny, tmp_path):
    builder = Builder(tiny, EngineCache(tmp_path / "cache"), None, Silent())
    with pytest.raises(ResnexusError, match=r"unknown rewrite 'no_such_rewrite'"):
        builder.files(Candidate("torch", ("no_such_rewrite",), {"mode": "eager"}), JOB, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_network_is_copied_once_and_left_as_it_is(random_network, tmp_path):
    network = random_network("SE_ResNet18_vd", depths=(1,)).train()
    builder = Builder(network, EngineCache(tmp_path), None, Silent())
    assert builder.network is builder.network
    assert not builder.network.training
    assert network.training
    assert next(builder.network.parameters()).dtype.itemsize == 4
    assert next(network.parameters()).dtype.itemsize == 8


def test_logits_and_every_choice_of_maps_are_kept_apart(smallest, tmp_path):
    row = replace(smallest.architecture, depths=(1, 1))
    network = resnexus.create_model(row, num_classes=0)
    maps = ({}, {"out_indices": (0, 2)}, {"out_indices": (2, 0)}, {"out_indices": (2,)}, {"output_stride": 1})
    networks = [network, resnexus.create_model(row, num_classes=0, output_stride=1)]
    networks += [resnexus.create_model(row, features_only=True, **options) for options in maps]
    for other in networks:
        other.load_state_dict(network.state_dict())
    builders = [Builder(other, EngineCache(tmp_path), None, Silent()) for other in networks]
    for keys in (
        [digest(found.key(PLAIN_CANDIDATE, JOB)) for found in builders],
        [digest(b.function) for b in builders],
    ):
        assert len(set(keys)) == len(networks)
