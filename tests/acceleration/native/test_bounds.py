from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import resnexus
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.native import program as program_module
from resnexus.acceleration.native.bounds import BoundsError, check_bounds
from resnexus.acceleration.native.calls import KernelCalls
from resnexus.acceleration.native.placement import place
from resnexus.acceleration.native.program import Program, write_program
from resnexus.acceleration.native.record import NativeProgramRecord
from resnexus.records import read_json
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection

KERNELS = ("convolution", "winograd", "strassen", "grouped", "pool", "mean", "gated", "write")


@pytest.fixture(scope="module")
def written(random_network, tmp_path_factory):
    """Two programs that call every kernel between them, as they are written."""
    deep = {"stem": "deep", "stem_width": 32, "shortcut": "pool", "se_reduction": 4}
    rows = (
        {"block": "bottleneck", "depths": (1,), "groups": 16, "width": 16, "out_width": 256, **deep},
        {"block": "basic", "depths": (1, 1), "width": 16, "out_width": 16, **deep},
    )
    found = []
    for fields in rows:
        network = random_network(resnexus.Architecture(name="tiny", **fields)).float()
        network = gate_before_projection(network) if fields["block"] != "basic" else fold_batch_norm(network)
        calls = KernelCalls()
        images = place(lower(network), Job(batch_size=2, image_size=(64, 64)), calls)
        folder = tmp_path_factory.mktemp("written")
        write_program(calls, images, folder)
        numbers = np.fromfile(folder / "weights.bin", np.float32)
        found.append((folder, read_json(NativeProgramRecord, folder / "calls.json"), numbers))
    assert {call.kind for _, record, _ in found for call in record.calls} == set(KERNELS)
    return found


def test_what_is_written_is_inside(written):
    for _, record, numbers in written:
        check_bounds(record, numbers)


@pytest.mark.parametrize("kind", KERNELS)
def test_everything_outside_is_found(kind, written):
    tried = 0
    for _, record, numbers in written:
        for index, call in enumerate(record.calls):
            if call.kind != kind:
                continue
            changes = [
                *(
                    (f"tensors {name}", replace(call, tensors=call.tensors | {name: changed}))
                    for name, tensor in call.tensors.items()
                    for changed in _changed_tensors(tensor, record)
                ),
                *(
                    (f"numbers {name}", replace(call, numbers=call.numbers | {name: changed}))
                    for name in call.numbers
                    for changed in (-1, len(numbers))
                ),
                *((f"sizes {name}", replace(call, sizes=call.sizes | {name: -1})) for name in call.sizes),
                ("missing tensor", replace(call, tensors={})),
                ("another name", replace(call, sizes=call.sizes | {"other": 1})),
            ]
            for what, changed in changes:
                calls = (*record.calls[:index], changed, *record.calls[index + 1 :])
                changed_record = replace(record, calls=calls)
                assert re.match(f"call {index}, {kind}: expected ", _refusal(changed_record, numbers)), what
                tried += 1
            break
    assert tried >= 10


def _refusal(record, numbers) -> str:
    try:
        check_bounds(record, numbers)
    except BoundsError as error:
        return str(error)
    return "none"


def _changed_tensors(tensor, record):
    size = record.memories[tensor.memory]
    yield replace(tensor, memory=len(record.memories))
    yield replace(tensor, memory=-1)
    yield replace(tensor, start=-1)
    yield replace(tensor, start=size)
    yield replace(tensor, blocks=0)
    yield replace(tensor, height=tensor.height + size, row=max(1, tensor.row))
    yield replace(tensor, images=tensor.images + 1, image=size)
    yield replace(tensor, row=2**40)


@pytest.mark.parametrize("kind", ["convolution", "winograd", "strassen"])
@pytest.mark.parametrize("index", [-(10**6), 10**6])
def test_index_lists_that_lead_outside_are_found(kind, index, written):
    _, record, numbers = next(found for found in written if kind in {call.kind for call in found[1].calls})
    call = next(call for call in record.calls if call.kind == kind)
    damaged = numbers.copy()
    start = call.numbers["offsets" if kind == "convolution" else "channels"]
    damaged[start : start + 1].view(np.int32)[0] = index
    with pytest.raises(BoundsError, match=kind):
        check_bounds(record, damaged)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outputs": ((33,),)}, "write: expected a possible channels, found 7"),
        ({"outputs": ((0,),)}, r"expected outputs of \(classes,\) or"),
        ({"outputs": ((7, 2),)}, r"expected outputs of \(classes,\) or \(channels, height, width\), found \(7, 2\)"),
        ({"outputs": ((7, 2, 1),)}, "write: expected pixels as the output has them"),
        ({"outputs": ((7,), (7,))}, "expected every image written once to every output"),
        ({"memories": (-5,)}, "expected memories of at least one number"),
        ({"numbers": 3}, "expected 3 numbers, found"),
    ],
)
def test_what_a_program_is_as_a_whole(changed, message, written):
    _, record, numbers = written[0]
    with pytest.raises(BoundsError, match=message):
        check_bounds(replace(record, **changed), numbers)


def _no_kernels(*_):
    raise AssertionError("the kernels were loaded")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda record: "{", "is not JSON"),
        (lambda record: json.dumps(record | {"numbers": "7"}), "numbers: expected a whole number"),
        (lambda record: json.dumps(record | {"layers": []}), "unknown field of NativeProgramRecord 'layers'"),
        (lambda record: json.dumps(record | {"calls": [{"kind": "other"}]}), "calls"),
        (lambda record: json.dumps(record | {"numbers": 10**9}), "expected 1000000000 numbers"),
    ],
)
def test_a_damaged_file_is_one_error_and_no_crash(damage, message, written, tmp_path, monkeypatch):
    folder, _, numbers = written[0]
    record = json.loads((folder / "calls.json").read_text())
    (tmp_path / "calls.json").write_text(damage(record))
    numbers.tofile(tmp_path / "weights.bin")
    monkeypatch.setattr(program_module.library, "open_library", _no_kernels)
    with pytest.raises(BackendError, match=f"the built network in {re.escape(str(tmp_path))} is damaged: .*{message}"):
        Program(tmp_path, tmp_path / "none.so", 1)


def test_missing_and_empty_weights(written, tmp_path):
    folder, _, _ = written[0]
    (tmp_path / "calls.json").write_bytes((folder / "calls.json").read_bytes())
    with pytest.raises(BackendError, match=r"is damaged: .*No such file"):
        Program(tmp_path, tmp_path / "none.so", 1)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(BackendError, match="is damaged: "):
        Program(tmp_path, tmp_path / "none.so", 1)
