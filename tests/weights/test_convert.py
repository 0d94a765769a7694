"""What is in a file is found out, converted without loss, and written whole or not at all."""

import errno
import gzip
import hashlib
import json
import pickle
import resource
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

import resnexus
from resnexus import Architecture, ResnexusError, architecture, create_model
from resnexus.architectures.siblings import SIBLINGS
from resnexus.data.preprocess import Preprocess
from resnexus.records import RecordError, to_json
from resnexus.weights import to_paddle
from resnexus.weights.checkpoint_file import (
    CheckpointFileError,
    CheckpointRecord,
    read_checkpoint,
    read_record,
    write_checkpoint,
)
from resnexus.weights.convert import convert, load_state, ours
from resnexus.weights.detect import detect
from resnexus.weights.layouts import LAYOUTS
from resnexus.weights.mapping import from_layout, to_timm

SMALL = [SIBLINGS[name] for name in ("SE_ResNeXt_small", "Res2Net_small")]
ROW = SIBLINGS["SE_ResNet_small"]
AUTHORS = replace(SIBLINGS["Res2Net_small"], cascade="authors")


def state_of(row, **arguments):
    network = create_model(row, **arguments)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean)
    return network.state_dict()


def write_pdparams(path, row, **arguments):
    path.write_bytes(pickle.dumps(to_paddle(row, state_of(row, **arguments)), 2))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


class Shaped:
    def __init__(self, shape):
        self.shape = tuple(shape)


def test_every_published_state_is_recognised():
    path = Path(__file__).parents[1] / "golden" / "states.json.gz"
    for name, entries in json.loads(gzip.decompress(path.read_bytes())).items():
        found = detect({entry: Shaped(shape) for entry, shape in entries})
        assert found.candidates == (architecture(name),)
        assert (found.layout, found.num_classes, found.in_chans) == ("paddle", 1000, 3)


@pytest.mark.parametrize("row", SIBLINGS.values(), ids=lambda row: row.name)
def test_every_sibling_is_recognised_with_its_classes_and_channels(row):
    state = state_of(row, num_classes=7, in_chans=5)
    theirs = detect(to_paddle(row, state))
    assert (theirs.architecture, theirs.layout, theirs.num_classes, theirs.in_chans) == (row, "paddle", 7, 5)
    mine = detect(state)
    assert mine.candidates[0] == row
    assert (mine.layout, mine.num_classes, mine.in_chans) == ("resnexus", 7, 5)
    assert detect(state_of(row, num_classes=0), row).num_classes == 0


def test_a_classifier_of_the_width_of_another_axis_is_no_trouble():
    row = replace(ROW, name="wide", out_width=250)
    assert detect(to_paddle(row, state_of(row, num_classes=3)), row).num_classes == 3


def test_what_it_found_is_said():
    assert str(detect(state_of(ROW))) == "SE_ResNet_small in Resnexus's names, 1000 classes, 3 image channels"


def test_our_names_cannot_tell_the_cascades_apart(tmp_path):
    state = state_of(AUTHORS)
    assert [row.cascade for row in detect(state).candidates] == ["paddle", "authors"]
    with pytest.raises(
        ResnexusError, match=r"published cascade and of the authors' alike.*architecture='Res2Net_small'"
    ):
        detect(state).architecture  # noqa: B018
    save_file(state, tmp_path / "bare.safetensors")
    with pytest.raises(ResnexusError, match="different functions"):
        convert(tmp_path / "bare.safetensors", tmp_path / "out.pth")
    convert(tmp_path / "bare.safetensors", tmp_path / "marked.safetensors", architecture=AUTHORS)
    assert convert(tmp_path / "marked.safetensors", tmp_path / "out.pth").found.architecture == AUTHORS
    with pytest.raises(
        ResnexusError, match=r"written for a network with cascade='authors', not for this Res2Net_small"
    ):
        convert(tmp_path / "marked.safetensors", tmp_path / "out.pdparams", architecture="Res2Net_small")


def test_a_published_res2net_is_not_written_in_the_names_of_timm(tmp_path):
    row = SIBLINGS["Res2Net_small"]
    write_pdparams(tmp_path / "in.pdparams", row)
    with pytest.raises(ResnexusError, match="computes another function than timm's Res2Net"):
        convert(tmp_path / "in.pdparams", tmp_path / "out.pth", layout="timm")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pdparams"]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_is_listed(data):
    state = {name: Shaped(tensor.shape) for name, tensor in _STATE.items()}
    kept = [name for name in state if not name.startswith(("head", "stem.0.conv"))]
    gone, changed = data.draw(st.lists(st.sampled_from(kept), min_size=2, max_size=2, unique=True))
    del state[gone]
    state["left.over"] = Shaped((3,))
    state[changed] = Shaped((*state[changed].shape, 2))
    with pytest.raises(ResnexusError) as caught:
        detect(state, ROW)
    lines = str(caught.value).splitlines()[1:]
    expected = {
        f"- {gone} {tuple(_STATE[gone].shape)}",
        f"- {changed} {tuple(_STATE[changed].shape)}",
        f"+ {changed} {(*_STATE[changed].shape, 2)}",
        "+ left.over (3,)",
    }
    assert set(lines) == expected
    assert len(lines) == 4


_STATE = {name: tensor for name, tensor in create_model(ROW).state_dict().items() if not name.endswith("tracked")}


def test_the_nearest_network_is_named():
    state = to_paddle(ROW, state_of(ROW))
    state["bb_1_0.extra"] = np.zeros(3, np.float32)
    del state["bb_1_0.conv2._conv.weight"]
    with pytest.raises(
        ResnexusError, match=r"nearest is SE_ResNet_small: expected \(-\) and found \(\+\)\n- bb_1_0"
    ) as caught:
        detect(state)
    assert str(caught.value).endswith("+ bb_1_0.extra (3,)")
    with pytest.raises(ResnexusError, match=r"not the names of any library known.*the first of 2 entries: a, b"):
        detect({"a": np.zeros(1), "b": np.zeros(1)})
    with pytest.raises(ResnexusError, match="the names of several libraries at once"):
        detect(state | state_of(ROW))
    with pytest.raises(ResnexusError, match=r"\n- \.\.\. and \d+ more\n(.|\n)*\n\+ \.\.\. and \d+ more"):
        detect(state, "SE_ResNet18_vd")


def test_another_network_is_named():
    with pytest.raises(ResnexusError, match="the weights are those of SE_ResNet_small, not of ResNet_small"):
        detect(state_of(ROW), "ResNet_small")


def test_a_file_cannot_have_a_huge_network_built():
    huge = replace(ROW, depths=(10**9, 2, 2))
    with pytest.raises(ResnexusError, match="entries in Resnexus's names are far from the size of SE_ResNet_small"):
        detect(state_of(ROW), huge)
    with pytest.raises(ResnexusError, match="far from the size"):
        detect(state_of(ROW), replace(ROW, stem_width=10**12))
    split = SIBLINGS["Res2Net_small"]
    with pytest.raises(ResnexusError, match="far from the size"):
        detect(state_of(split), replace(split, scale=3_000_000))


@pytest.mark.parametrize("row", SMALL, ids=lambda row: row.name)
def test_paddle_to_ours_and_back_loses_nothing(row, tmp_path):
    arrays = to_paddle(row, state_of(row, num_classes=11))
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(arrays, 4))
    conversion = convert(tmp_path / "a.pdparams", tmp_path / "b.safetensors")
    assert conversion.found.architecture == row
    assert conversion.entries == len(create_model(row).state_dict())
    convert(tmp_path / "b.safetensors", tmp_path / "c.pth")
    convert(tmp_path / "c.pth", tmp_path / "d.pdparams", architecture=row)
    back = load_state(tmp_path / "d.pdparams").entries
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].numpy().dtype == array.dtype
        assert np.array_equal(back[name].numpy(), array), name


@pytest.mark.thorough
def test_timm_to_ours_and_back_loses_nothing(tmp_path):
    row = architecture("SE_ResNeXt50_32x4d")
    theirs = to_timm(row, state_of(row, num_classes=5))
    torch.save(theirs, tmp_path / "a.pth")
    conversion = convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert str(conversion).startswith(
        f"{tmp_path / 'a.pth'}: SE_ResNeXt50_32x4d in the names of timm and torchvision, 5 classes, 3 image channels\n"
    )
    convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", layout="timm")
    assert_same(read_checkpoint(tmp_path / "c.safetensors"), theirs)


def test_paddle_itself_reads_what_is_written_and_writes_what_is_read(tmp_path):
    paddle = pytest.importorskip("paddle", reason="paddlepaddle is the reference for .pdparams: make test installs it")
    arrays = to_paddle(ROW, state_of(ROW))
    state = {name: paddle.to_tensor(array) for name, array in arrays.items()}
    for protocol in (2, 3, 4):
        paddle.save(state, str(tmp_path / "theirs.pdparams"), protocol=protocol)
        found, mine = ours(load_state(tmp_path / "theirs.pdparams"))
        assert found.architecture == ROW
        assert all(np.array_equal(array, arrays[name]) for name, array in to_paddle(ROW, mine).items())
    convert(tmp_path / "theirs.pdparams", tmp_path / "ours.pdparams")
    read = paddle.load(str(tmp_path / "ours.pdparams"))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert isinstance(read[name], paddle.Tensor)
        assert np.array_equal(read[name].numpy(), array), name


def test_the_record_goes_along(tmp_path):
    write_pdparams(tmp_path / "in.pdparams", ROW)
    convert(tmp_path / "in.pdparams", tmp_path / "one.safetensors")
    convert(tmp_path / "one.safetensors", tmp_path / "two.safetensors")
    record = read_record(tmp_path / "two.safetensors")
    assert record.source == "in.pdparams"
    assert record.source_sha256 == hashlib.sha256((tmp_path / "in.pdparams").read_bytes()).hexdigest()
    assert record.architecture == ROW
    save_file(state_of(ROW), tmp_path / "foreign.safetensors")
    assert read_record(tmp_path / "foreign.safetensors") == CheckpointRecord(version=None)


RECORD = CheckpointRecord(
    architecture=ROW,
    classes=("cat", "dog", "Käfer"),
    preprocess=Preprocess(size=33, resize_short=47),
    recipe={"epochs": 3, "crops": (0.5, 1), "nested": {"mixup": None}},
    metrics={"top1": 0.75},
    source="https://example.invalid/a",
    source_sha256="0" * 64,
    licence="MIT",
)


def test_a_record_comes_back_and_survives_conversion(tmp_path):
    state = state_of(ROW, num_classes=3)
    write_checkpoint(state, tmp_path / "a.safetensors", RECORD)
    assert read_record(tmp_path / "a.safetensors") == RECORD
    assert resnexus.weights.read_record is read_record
    assert RECORD.recipe == {"epochs": 3, "crops": [0.5, 1], "nested": {"mixup": None}}
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert read_record(tmp_path / "b.safetensors") == RECORD
    convert(tmp_path / "a.safetensors", tmp_path / "timm.safetensors", layout="timm")
    assert read_record(tmp_path / "timm.safetensors") == replace(RECORD, architecture=None)
    # What was trained here has no source yet: conversion names it and keeps the rest.
    write_checkpoint(state, tmp_path / "own.safetensors", replace(RECORD, source=None, source_sha256=None))
    digest = hashlib.sha256((tmp_path / "own.safetensors").read_bytes()).hexdigest()
    convert(tmp_path / "own.safetensors", tmp_path / "b.safetensors")
    assert read_record(tmp_path / "b.safetensors") == replace(RECORD, source="own.safetensors", source_sha256=digest)


def test_a_record_is_of_the_last_layer_it_is_with(tmp_path):
    with pytest.raises(ResnexusError, match="the record names 3 classes, and the last layer has 7"):
        write_checkpoint(state_of(ROW, num_classes=7), tmp_path / "a.safetensors", RECORD)
    assert list(tmp_path.iterdir()) == []
    save_file(state_of(ROW, num_classes=7), tmp_path / "a.safetensors", {"format": "pt", "resnexus": to_json(RECORD)})
    with pytest.raises(ResnexusError, match=r"a.safetensors: the record names 3 classes, and the last layer has 7"):
        ours(load_state(tmp_path / "a.safetensors"))
    write_checkpoint(state_of(ROW, num_classes=0), tmp_path / "body.safetensors", RECORD)
    assert ours(load_state(tmp_path / "body.safetensors"))[0].num_classes == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ()}, r"classes=\(\): give the name of at least one class"),
        ({"recipe": {"path": Path("x")}}, "recipe: expected a mapping of plain finite values"),
        ({"metrics": {"top1": float("nan")}}, "metrics: expected a mapping of plain finite values"),
        ({"source_sha256": "F" * 64}, "expected 64 hexadecimal digits"),
    ],
)
def test_a_record_of_something_else_is_refused(fields, message):
    with pytest.raises(ResnexusError, match=message):
        CheckpointRecord(**fields)


def test_entries_that_share_memory_are_written_apart(tmp_path):
    state = state_of(ROW)
    name, other = [name for name in state if name.endswith("norm.weight")][:2]
    both = torch.arange(2.0 * len(state[name]))
    state[name], state[other] = both[: len(state[name])], both[len(state[name]) :]
    state[name.replace("weight", "bias")] = state[name.replace("weight", "running_mean")]  # the whole of it
    write_checkpoint(state, tmp_path / "a.safetensors", CheckpointRecord())
    assert_same(read_checkpoint(tmp_path / "a.safetensors"), state)


WRAPPERS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled DDP": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    "Lightning": lambda state: {"state_dict": {f"network.{name}": tensor for name, tensor in state.items()}},
    "no counters": lambda state: {name: tensor for name, tensor in state.items() if "tracked" not in name},
    "parameters": lambda state: {
        name: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor for name, tensor in state.items()
    },
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_training_loops_wrap_around_a_state(wrapper, tmp_path):
    state = state_of(ROW)
    torch.save(WRAPPERS[wrapper](state), tmp_path / "in.pth")
    found, mine = ours(load_state(tmp_path / "in.pth"))
    assert found.architecture == ROW
    assert_same(mine, state)
    assert not any(tensor.requires_grad for tensor in mine.values())


def test_several_states_in_a_file_need_a_choice(tmp_path):
    plain, ema = state_of(ROW), state_of(ROW)
    torch.save({"state_dict": plain, "state_dict_ema": ema}, tmp_path / "both.pth")
    with pytest.raises(ResnexusError, match="several states: choose one with entry= 'state_dict' or 'state_dict_ema' "):
        load_state(tmp_path / "both.pth")
    assert_same(load_state(tmp_path / "both.pth", entry="state_dict_ema").entries, ema)
    with pytest.raises(
        ResnexusError, match=r"unknown entry of both.pth 'ema': accepted are state_dict, state_dict_ema"
    ):
        load_state(tmp_path / "both.pth", entry="ema")
    two = {f"student.{name}": tensor for name, tensor in plain.items()}
    two |= {f"teacher.{name}": tensor for name, tensor in ema.items()}
    torch.save(two, tmp_path / "two.pth")
    assert_same(load_state(tmp_path / "two.pth", prefix="teacher").entries, ema)
    with pytest.raises(ResnexusError, match=r"unknown prefix of the entries in two.pth 'pupil': accepted are student"):
        load_state(tmp_path / "two.pth", prefix="pupil")
    hint = r"two\.pth: holds student and teacher entries .* or prefix='teacher' \(--prefix student\)"
    with pytest.raises(ResnexusError, match=hint):
        load_state(tmp_path / "two.pth")
    save_file({f"Student.{name}": tensor for name, tensor in plain.items()}, tmp_path / "one.safetensors")
    assert_same(load_state(tmp_path / "one.safetensors").entries, plain)
    arrays = to_paddle(ROW, plain)
    both = {f"Student.{name}": array for name, array in arrays.items()}
    both |= {f"Teacher.{name}": 2 * array for name, array in arrays.items()}
    (tmp_path / "two.pdparams").write_bytes(pickle.dumps(both, 2))
    conversion = convert(tmp_path / "two.pdparams", tmp_path / "student.pdparams", prefix="Student")
    assert conversion.entries == len(arrays)
    read = load_state(tmp_path / "student.pdparams").entries
    assert all(np.array_equal(read[name].numpy(), array) for name, array in arrays.items())


def test_half_precision_is_kept_or_widened_exactly(tmp_path):
    state = {name: t.bfloat16() if t.is_floating_point() else t for name, t in state_of(ROW).items()}
    save_file(state, tmp_path / "bf16.safetensors")
    mine = ours(load_state(tmp_path / "bf16.safetensors"))[1]
    assert mine["head.weight"].dtype == torch.float32
    assert torch.equal(mine["head.weight"].bfloat16(), state["head.weight"])
    half = {name: t.half() if t.is_floating_point() else t for name, t in state_of(ROW).items()}
    torch.save(half, tmp_path / "half.pth")
    convert(tmp_path / "half.pth", tmp_path / "half.pdparams")
    assert load_state(tmp_path / "half.pdparams").entries["out.bias"].dtype == torch.float16


class Canary:
    def __reduce__(self):
        return (pytest.fail, ("code from the file was run",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.h5", b"", r"unknown kind of file 'a.h5': accepted are \*.bin"),
        ("gone.pth", None, "cannot read .*gone.pth: No such file"),
        ("gone.safetensors", None, "cannot read .*gone.safetensors"),
        (
            "a.safetensors",
            b"\xff" * 64,
            "cannot read .*a.safetensors",
        ),
        ("a.safetensors", {}, "holds no weights"),
        ("a.pth", b"nothing", "cannot read .*a.pth without running code from it"),
        ("a.pth", b"", "cannot read .*a.pth: the file is cut off or damaged"),
        ("a.pth", pickle.dumps(Canary()), r"without running code from it: Unsupported operand 149\. Save a state dict"),
        ("a.pth", torch.nn.Linear(1, 1), r"from it: Unsupported global: GLOBAL torch.nn.modules.linear.Linear\. Save"),
        ("a.pth", torch.zeros(3), "holds Tensor, not a state dict of tensors"),
        ("a.pth", {}, "holds no state dict, but nothing"),
        ("a.pth", {"epoch": 3, "lr": 0.1}, "holds no state dict, but epoch, lr"),
        ("a.pth", {"stem.0.conv.weight": torch.zeros(3, dtype=torch.int8)}, "stem.0.conv.weight holds torch.int8"),
        ("a.pth", {"a": torch.eye(3).to_sparse()}, "a holds torch.float32, torch.sparse_coo"),
        ("a.pth", {"a": torch.zeros(3, device="meta")}, "expected plain floating point"),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
def test_what_is_no_state_is_refused(name, content, message, tmp_path):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    with pytest.raises(ResnexusError, match=message):
        load_state(path)


@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors", ".pth", ".pt"])
def test_a_file_that_is_cut_off_is_told(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write_pdparams(tmp_path / "a.pdparams", ROW)
    if suffix == ".pt":
        torch.save(state_of(ROW), path, _use_new_zipfile_serialization=False)
    elif suffix != ".pdparams":
        convert(tmp_path / "a.pdparams", path)
    content = path.read_bytes()
    for part in (0.01, 0.5, 0.99):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ResnexusError, match=rf"a{suffix}: the file is cut off"):
            load_state(path)


def test_what_a_file_unpacks_to_is_bounded_by_its_size(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pth"
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for item in plain.infolist():
            packed.writestr(item.filename, plain.read(item))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpacked"))
        with pytest.raises(CheckpointFileError, match=r"has [\d,]+ bytes and unpacks to 4,0[\d,]+: at most 4 times"):
            load_state(path)
    # What is packed and still about as large as what it holds is read.
    torch.save({"a": torch.rand(10**5)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for item in plain.infolist():
            packed.writestr(item.filename, plain.read(item))
    assert_same(load_state(path).entries, load_state(tmp_path / "plain.pth").entries)


def test_numbers_that_are_stored_once_do_not_become_many(tmp_path):
    path = tmp_path / "a.pth"
    one = torch.zeros(1, dtype=torch.bfloat16)
    for shape in ((2**31, 1), (2**20, 2**20)):
        torch.save({"w": one.expand(shape)}, path)
        with pytest.raises(
            ResnexusError, match=r"a.pth: w repeats its numbers: .* needs [\d,]+ bytes, and 2 are stored"
        ):
            load_state(path)
    torch.save({"bn.num_batches_tracked": torch.zeros(1, dtype=torch.int64).expand(2**40)}, path)
    with pytest.raises(ResnexusError, match=r"num_batches_tracked holds torch.int64"):
        load_state(path)
    same = torch.zeros(1000)
    torch.save({f"w{number}": same for number in range(1000)}, path)
    with pytest.raises(ResnexusError, match="its entries share their numbers and are larger than the file"):
        load_state(path)


ESCAPE = "\x1b[31mred\x07"


def test_names_from_a_file_cannot_steer_a_terminal(tmp_path):
    path = tmp_path / "a.pth"
    states = (
        {ESCAPE: torch.zeros(1)},
        state_of(ROW) | {ESCAPE: torch.zeros(1)},
        {ESCAPE: torch.zeros(1, dtype=torch.int8)},
        {ESCAPE: 3},
    )
    for state in states:
        torch.save(state, path)
        for arguments in ({}, {"entry": "x"}, {"prefix": "x"}):
            with pytest.raises(ResnexusError) as caught:
                ours(load_state(path, **arguments))
            assert "\x1b" not in str(caught.value)
            assert "\x07" not in str(caught.value)
        if len(state) == 1:
            assert r"\x1b[31mred\x07" in str(caught.value) or "entry" in str(caught.value)
    theirs = replace(AUTHORS, name=ESCAPE)
    entries = {key: torch.tensor(array) for key, array in to_paddle(SMALL[1], state_of(SMALL[1])).items()}
    save_file(entries, tmp_path / "a.safetensors", {"resnexus": to_json(CheckpointRecord(architecture=theirs))})
    with pytest.raises(ResnexusError, match=r"\\x1b\[31mred\\x07 with cascade='authors' computes another function"):
        ours(load_state(tmp_path / "a.safetensors"))
    named = replace(ROW, name=ESCAPE)
    write_checkpoint(state_of(ROW), tmp_path / f"{ESCAPE}.safetensors", CheckpointRecord(architecture=named))
    assert "\x1b" not in str(convert(tmp_path / f"{ESCAPE}.safetensors", tmp_path / "b.pth"))
    (tmp_path / f"{ESCAPE}.pdparams").write_bytes(b"no pickle")
    with pytest.raises(ResnexusError, match=r"\\x1b\[31mred\\x07.pdparams: not a Paddle state dict"):
        load_state(tmp_path / f"{ESCAPE}.pdparams")
    with pytest.raises(ResnexusError, match=r"- stem.0.conv.weight(.|\n)*\+ \\x1b\[31mred\\x07"):
        from_layout(LAYOUTS["resnexus"], ROW, {ESCAPE: torch.zeros(1)})


def test_arguments_without_effect_are_errors(tmp_path):
    write_pdparams(tmp_path / "in.pdparams", ROW)
    for arguments, message in (
        ({"entry": "model"}, "entry='model' has no effect on in.pdparams"),
        ({"layout": "keras"}, "unknown layout 'keras': accepted are paddle, resnexus, timm"),
    ):
        with pytest.raises(ResnexusError, match=message):
            convert(tmp_path / "in.pdparams", tmp_path / "out.pth", **arguments)
    with pytest.raises(ResnexusError, match=r"layout='timm': a .pdparams file has Paddle's names"):
        convert(tmp_path / "in.pdparams", tmp_path / "out.pdparams", layout="timm")
    with pytest.raises(ResnexusError, match=r"unknown kind of file 'out.onnx'"):
        convert(tmp_path / "in.pdparams", tmp_path / "out.onnx")


@pytest.mark.parametrize("suffix", [".pth", ".pdparams", ".safetensors"])
def test_a_full_disk_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    write_pdparams(tmp_path / "in.pdparams", ROW)
    target = tmp_path / f"out{suffix}"
    target.write_bytes(b"old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr(pickle, "dump", full)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CheckpointFileError, match=f"cannot write {target}: No space left"):
        convert(tmp_path / "in.pdparams", target)
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pdparams", target.name]


@pytest.mark.parametrize("suffix", [".pth", ".pdparams", ".safetensors"])
def test_a_disk_that_fills_up_is_told(suffix, tmp_path):
    write_pdparams(tmp_path / "in.pdparams", ROW)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointFileError, match=rf"cannot write .*out{suffix}: .*File too large"):
            convert(tmp_path / "in.pdparams", tmp_path / f"out{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pdparams"]


def test_a_file_may_be_converted_into_itself(tmp_path):
    write_pdparams(tmp_path / "a.pdparams", ROW)
    before = load_state(tmp_path / "a.pdparams").entries
    convert(tmp_path / "a.pdparams", tmp_path / "a.pdparams")
    assert_same(load_state(tmp_path / "a.pdparams").entries, before)


DEEP = '{"recipe": {"a": ' + "[" * 100_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the record in .*a.safetensors is not JSON"),
        ("0.1.0", "the record in .*a.safetensors is not JSON"),
        ("[]", "expected an object, found a list"),
        ('{"architecture": {"name": "a"}}', r"architecture.block: it is missing"),
        ('{"preprocess": {"size": -1}}', "preprocess: size=-1: expected a whole number of pixels"),
        ('{"classes": "cats"}', 'classes: expected a list, found "cats"'),
        ('{"metrics": {"top1": "good"}}', 'metrics.*: expected a number, found "good"'),
        ('{"metrics": {"top1": 1' + "0" * 400 + "}}", "expected a number that fits 64 bits"),
        ('{"clases": []}', "unknown field of CheckpointRecord 'clases': did you mean 'classes'"),
        (DEEP, "nested too deeply"),
    ],
    ids=lambda text: text[:40],
)
def test_a_record_is_read_strictly(text, message, tmp_path):
    save_file(state_of(ROW), tmp_path / "a.safetensors", {"resnexus": text})
    with pytest.raises(RecordError, match=message):
        load_state(tmp_path / "a.safetensors")


def test_a_record_of_another_network_is_told(tmp_path):
    path, state = tmp_path / "a.safetensors", state_of(ROW)
    other = Architecture(name="other", block="basic", depths=(1,), width=8, out_width=8)
    write_checkpoint(state, path, CheckpointRecord(architecture=other))
    with pytest.raises(ResnexusError, match="the weights are those of SE_ResNet_small, not of other"):
        ours(load_state(path))
    many = Architecture(name="many", block="res2", depths=(1,), width=1, out_width=8, scale=3_000_000)
    for row in (many, replace(many, depths=(50,), scale=2), replace(many, width=1_500_000, scale=2)):
        save_file(
            state | {"stages.0.0.branch.none": torch.zeros(3_000_000, 0)},
            path,
            {"resnexus": to_json({"architecture": asdict(row)})},
        )
        with refused_before_it_is_built(), pytest.raises(ResnexusError, match="far from the size of many"):
            convert(path, tmp_path / "b.pth")


@contextmanager
def refused_before_it_is_built():
    """Fail if a network is built or counted meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resnexus.weights.mapping.Network", lambda *_: pytest.fail("built"))
        patch.setattr("resnexus.weights.detect.complexity", lambda *_, **__: pytest.fail("counted"))
        yield
