"""Whole small networks through our kernels, by Triton's interpreter, in a process where nothing imported Triton yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from operations_seen import OperationsSeen
from small_rows import ROWS, arranged, record_of, row, weights_of

from resnexus.acceleration.cuda.choosing import unmeasured, ways_of
from resnexus.acceleration.cuda.our_ways import OURS, have_kernels
from resnexus.acceleration.cuda.program import Program
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.network import Network

pytest.importorskip("triton", reason="our kernels for GPUs need Triton")
pytest.importorskip("resnexus.acceleration.cuda.kernels", reason="the kernels are not here")

_INTERPRETED = """
import json, sys
import torch
sys.path.insert(0, sys.argv[1])
from small_rows import arranged, record_of, row, weights_of
from resnexus.acceleration.cuda.choosing import unmeasured, ways_of
from resnexus.acceleration.cuda.pairs import paired, pairs
from resnexus.acceleration.cuda.program import Program
from resnexus.parity.agreement import agreement
from resnexus.parity.golden import golden_network

found = {}
images = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(4))
for name, kind in json.loads(sys.argv[2]):
    network = golden_network(row(name), torch.float64)
    steps = arranged(network, torch.float32)
    record = record_of(steps)
    if kind == "pairs":
        record = paired(record, pairs(record))
    wanted = {"everywhere": lambda step: True, "pairs": lambda step: step.kind == "pair"}
    chosen = unmeasured(record, ours=True)
    if kind in wanted:
        chosen = tuple((ways_of(step, ours=wanted[kind](step))[-1], None) for step in record.steps)
    (logits,) = Program(record, weights_of(steps), chosen)(images.contiguous(memory_format=torch.channels_last))
    with torch.no_grad():
        within = agreement(network(images.double()), logits).max_rel
    found[f"{name}, {kind}"] = [within, sorted({way.name for way, _ in chosen})]
print(json.dumps(found))
"""


def _interpreted(asked):
    arguments = [str(Path(__file__).parent), json.dumps(asked)]
    command = [sys.executable, "-c", _INTERPRETED, *arguments]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _agrees(found):
    for what, (off, _) in found.items():
        assert off < 1e-5, what


@pytest.mark.thorough
@pytest.mark.timeout(1200)  # an interpreter, on a machine that may be busy
def test_gates_and_pools_and_heads_and_pairs_through_our_kernels():
    found = _interpreted([("se", "everywhere"), ("resnext", "pairs")])
    _agrees(found)
    assert {"pointwise", "grouped", "gate_excite", "head", "pools"} <= set(found["se, everywhere"][1])
    assert "grouped_pointwise" in found["resnext, pairs"][1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whole_networks_of_every_kind_through_our_kernels():
    found = _interpreted([(name, kind) for name in ROWS for kind in ("by default", "everywhere")])
    _agrees(found)
    assert {"cublaslt_gate_apply", "gate_excite", "head", "pools"} <= set(found["se, by default"][1])
    assert "res2" in found["res2, by default"][1]


def test_a_res2_network_is_products_and_pools_and_nothing_between_them(monkeypatch):
    from resnexus.acceleration.cuda.kernels import launching

    launched = Counter()
    monkeypatch.setattr(launching, "launch", lambda kernel, *_, **__: launched.update([kernel.__name__]))
    with torch.device("meta"):
        network = Network(CATALOG["Res2Net50_26w_4s"]).eval()
    steps = arranged(network, torch.float16)
    record = record_of(steps)
    ours = tuple((ways_of(step, ours=True)[-1], None) for step in record.steps)
    images = torch.empty(128, 3, 224, 224, dtype=torch.float16, device="meta", memory_format=torch.channels_last)
    program = Program(record, weights_of(steps), ours)
    with OperationsSeen() as seen:
        program(images)
    del launched["_add_parts"]  # of sums that are cut
    # Three 3x3 of each of 16 blocks; two 1x1 of each, four of shortcuts and the classifier; a maximum and three means.
    assert launched == {"_stem": 1, "_conv3x3": 48, "_conv1x1": 37, "_pool": 4, "_mean": 1}
    assert not seen.names.keys() & {"copy_", "_to_copy", "clone", "cat", "add", "add_", "convolution", "relu"}


def test_kernels_run_on_the_cpu_only_where_they_are_interpreted(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not have_kernels("cpu")
    assert have_kernels("cuda")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert have_kernels("cpu")


@pytest.mark.parametrize("name", ROWS)
def test_what_is_one_pass_is_ours_by_default_and_products_are_the_libraries(name, random_network):
    record = record_of(arranged(random_network(row(name), dtype=torch.float32), torch.float16))
    chosen = unmeasured(record, ours=True)
    for step, (way, row_of_table) in zip(record.steps, chosen, strict=True):
        assert row_of_table is None
        assert way in ways_of(step, ours=True)
        if step.kind in ("pool", "excite", "apply", "classify"):
            assert way.ours
        if step.copy is not None:
            assert way.name == "pointwise"  # the libraries copy in a pass of its own
        elif step.kind == "convolve" and step.kernel == 1:
            assert way.name in ("cudnn", "cublaslt", "cublaslt_gate_apply")
    assert not any(way.ours for way, _ in unmeasured(record, ours=False))
    of_steps = Counter(way.name for way, _ in chosen)
    if "res2" in name:
        assert of_steps["res2"] >= 4
    assert {way.kind for way in OURS} == {"pool", "excite", "apply", "classify", "convolve", "pair"}
