"""Every form of Paddle's weight files is read bit for bit, and the real Paddle agrees."""

import collections
import itertools
import pickle
import struct
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import array, call, dtype, items, mapping, name, stack_name, text, whole_pickle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from resnexus import ResnexusError, architecture, create_model
from resnexus.parity.agreement import FLOAT64_TOLERANCE, agreement
from resnexus.parity.golden import golden, golden_images, golden_weights
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import from_paddle, stored_shapes, to_paddle
from resnexus.weights.pdparams import NAME_TABLE, SLICE_TABLE, PdparamsError, _latin1, read_pdparams

DATA = Path(__file__).parents[1] / "data"
TINY = sorted(DATA.glob("tiny*.pdparams"))
PROTOCOLS = (2, 3, 4)

# Every way the original names things: stems of one layer and of three, plain and Res2 blocks, gates; then long stages.
QUICKEST = "SE_ResNet18_vd"
LARGER = (
    "ResNeXt50_32x4d", "Res2Net50_26w_4s", "Res2Net50_vd_26w_4s", "SENet154_vd", "Res2Net200_vd_26w_4s",
)  # fmt: skip


@pytest.fixture(scope="module")
def paddle():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about compilers it does not find
        return pytest.importorskip("paddle", reason="needs paddlepaddle, the real writer of these files")


def write(path, state, protocol=4):
    path.write_bytes(pickle.dumps(state, protocol))
    return path


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        value = np.asarray(value)
        assert type(found[key]) is np.ndarray
        assert found[key].dtype == value.dtype.newbyteorder("=")
        assert found[key].shape == value.shape
        assert found[key].astype(value.dtype).tobytes() == value.tobytes()  # nan and -0.0 too
        flags = found[key].flags
        assert flags.c_contiguous
        assert flags.owndata
        assert flags.writeable
        assert found[key].dtype.isnative


# Files of Paddle kept here


@pytest.mark.parametrize("path", TINY, ids=lambda path: path.name)
def test_files_of_paddle(path):
    expected = pickle.loads(path.read_bytes())
    del expected[NAME_TABLE]
    assert_equal(read_pdparams(path), expected)
    assert_equal(read_pdparams(str(path)), expected)


def test_files_of_paddle_by_value():
    for path in TINY:
        state = read_pdparams(path)
        shapes = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "1._mean": (4,)}
        shapes |= {"1._variance": (4,), "2.weight": (4, 2), "2.bias": (2,)}
        assert {key: value.shape for key, value in state.items()} == shapes
        assert state["0.weight"][0, 0, 0].tolist() == pytest.approx([-0.20605935, -0.10358400, 0.02979306], abs=1e-8)
        assert state["1._variance"].tolist() == [1.0] * 4
        assert state["1._mean"].tolist() == [0.0] * 4


# Forms of the format


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    state=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda key: "@@" not in key),
        stn.arrays(
            st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", ">f4", ">i8"]),
            stn.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9),
        ),
        max_size=4,
    ),
    protocol=st.integers(2, 5),
    fortran=st.booleans(),
)
def test_any_arrays(tmp_path, state, protocol, fortran):
    stored = {key: np.array(value, order="F" if fortran else "C") for key, value in state.items()}
    if any(key.startswith(("Student.", "Teacher.", "student.", "teacher.")) for key in state):
        return
    assert_equal(read_pdparams(write(tmp_path / "any.pdparams", stored, protocol)), state)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_long_contents(tmp_path, protocol):
    """Contents that are read from the file at the end, in several pieces where they are text."""
    state = {
        "ascii": np.zeros(300_001, np.uint8),
        "high": np.full(300_001, 0xFF, np.uint8),
        "mixed": np.random.default_rng(0).integers(0, 256, 300_001, np.uint8),
        "shifted": np.array([0, *[0xC3] * 131_071], np.uint8),
        "floats": np.random.default_rng(1).standard_normal((7, 11, 13, 17)),
    }
    assert_equal(read_pdparams(write(tmp_path / "long.pdparams", state, protocol)), state)


@pytest.mark.thorough
def test_latin1_agrees_with_the_codecs():
    borders = (0x00, 0x41, 0x7F, 0x80, 0x81, 0xBF, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xE0, 0xF0, 0xFF)
    accepted = 0
    for length in range(1, 5):
        for values in itertools.product(borders, repeat=length):
            data = bytes(values)
            try:
                expected = data.decode("utf-8").encode("latin-1")
            except UnicodeError:
                with pytest.raises(ValueError, match="not latin-1 text"):
                    _latin1(np.frombuffer(data, np.uint8))
            else:
                accepted += 1
                assert _latin1(np.frombuffer(data, np.uint8)).tobytes() == expected
    assert accepted > 300


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_module_paths_of_numpy_1(tmp_path, protocol):
    state = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    content = pickle.dumps(state, protocol)
    assert content.count(b"numpy._core.") == 1
    if protocol >= 4:  # lengths of the name and of the frame
        at = content.index(b"numpy._core.") - 1
        content = content[:at] + bytes([content[at] - 1]) + content[at + 1 :]
        frame = struct.unpack_from("<Q", content, 3)[0]
        content = content[:3] + struct.pack("<Q", frame - 1) + content[11:]
    path = tmp_path / "numpy1.pdparams"
    path.write_bytes(content.replace(b"numpy._core.", b"numpy.core."))
    assert_equal(read_pdparams(path), state)


def test_strings_of_python_2(tmp_path):
    """Paddle 1 ran on Python 2, whose strings are bytes and whose NumPy counts in long integers."""
    values = np.arange(600, dtype=np.float32)

    def string(value):
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def stored(value):
        new = name("numpy.core.multiarray", "_reconstruct") + items(
            name("numpy", "ndarray"), items(b"K\0"), string(b"b")
        )
        state = items(b"K\3", string(b"<"), b"N", b"N", b"N", *[b"J\xff\xff\xff\xff"] * 2, b"K\0")
        kind = call(name("numpy", "dtype"), string(b"f4"), b"K\0", b"K\1") + state + b"b"
        length = b"\x8a\x02" + struct.pack("<h", len(value))
        return new + b"R" + items(b"K\1", items(length), kind, b"\x89", string(value.tobytes())) + b"b"

    path = tmp_path / "python2.pdparams"
    path.write_bytes(
        whole_pickle(
            b"}(" + string(b"w") + stored(values) + string(b"b") + stored(values[:9]) + string(NAME_TABLE.encode())
            + b"}" + string(b"w") + string(b"conv_0.w_0") + b"s" + b"u",
            2,
        )
    )  # fmt: skip
    assert_equal(read_pdparams(path), {"w": values, "b": values[:9]})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tuples_of_name_and_array(tmp_path, protocol):
    state = {"w": np.arange(3.0), "b": np.arange(2)}
    tuples = collections.OrderedDict((key, (f"linear_0.{key}_0", value)) for key, value in state.items())
    assert_equal(read_pdparams(write(tmp_path / "plain.pdparams", tuples, protocol)), state)
    called = mapping(w=call(stack_name("builtins", "tuple"), items(text("linear_0.w_0"), array())))
    (tmp_path / "called.pdparams").write_bytes(whole_pickle(called))
    assert_equal(read_pdparams(tmp_path / "called.pdparams"), {"w": np.zeros(1, np.float32)})


@pytest.mark.parametrize("protocol", [2, 3])
def test_slices_are_rejoined(tmp_path, protocol):
    whole = np.random.default_rng(0).standard_normal((40, 7, 3)).astype(np.float32)
    parts = {f"w@@.{index}": part for index, part in enumerate(np.split(whole.reshape(-1), [300, 600]))}
    table = {"w": {"OriginShape": whole.shape, "slices": list(parts)}}
    other = {"b": np.ones(3), NAME_TABLE: {"w": "w_0", "b": "b_0"}}
    path = write(tmp_path / "sliced.pdparams", {**other, **parts, SLICE_TABLE: table}, protocol)
    assert_equal(read_pdparams(path), {"b": other["b"], "w": whole})


def test_slices_in_any_order_of_memory(tmp_path):
    """One axis lies the same way in both orders, whatever a file says."""
    part = array(shape=b"K\x02\x85", contents=b"C\x08" + np.array([1, 2], np.float32).tobytes(), fortran=b"\x88")
    info = mapping(OriginShape=b"K\x02K\x02\x86", slices=b"](" + text("w@@.0") + text("w@@.1") + b"e")
    state = mapping(**{"w@@.0": part, "w@@.1": part, SLICE_TABLE: mapping(w=info)})
    (tmp_path / "sliced.pdparams").write_bytes(whole_pickle(state))
    expected = np.array([[1, 2], [1, 2]], np.float32)
    assert_equal(read_pdparams(tmp_path / "sliced.pdparams"), {"w": expected})


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([0.0, -0.0, 1.5, -2.5, np.inf, np.nan, 3e38, 1e-40], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    scalar = halves[2].reshape(())
    for byte_order in "<>":
        state = {"w": halves.reshape(2, 4).astype(byte_order + "u2"), "s": np.array(scalar, byte_order + "u2")}
        found = read_pdparams(write(tmp_path / "bfloat16.pdparams", state))
        expected = (halves.astype(np.uint32) << 16).view(np.float32)
        assert_equal(found, {"w": expected.reshape(2, 4), "s": np.float32(1.5)})


def test_unused_entries_are_left_out(tmp_path):
    state = {"w": np.zeros(2), NAME_TABLE: {"w": "conv_0.w_0"}}
    assert list(read_pdparams(write(tmp_path / "names.pdparams", state))) == ["w"]
    assert read_pdparams(write(tmp_path / "empty.pdparams", {})) == {}


# Prefixes of distillation


@pytest.fixture
def distilled(tmp_path):
    state = {f"{prefix}.{key}": np.full(2, value) for prefix, value in (("Teacher", 1), ("Student", 2)) for key in "ab"}
    return write(tmp_path / "distilled.pdparams", state)


@pytest.mark.parametrize(("prefix", "value"), [("Student", 2), ("Teacher", 1), ("Student.", 2)])
def test_prefix_selects(distilled, prefix, value):
    assert_equal(read_pdparams(distilled, prefix=prefix), {"a": np.full(2, value), "b": np.full(2, value)})


def test_two_prefixes_need_a_choice(distilled):
    match = "holds Student and Teacher entries.*prefix='Student' or prefix='Teacher'"
    with pytest.raises(PdparamsError, match=match):
        read_pdparams(distilled)


def test_one_prefix_needs_none(tmp_path):
    path = write(tmp_path / "student.pdparams", {"Student.a": np.arange(2)})
    assert_equal(read_pdparams(path), {"a": np.arange(2)})


def test_prefix_beside_other_entries_needs_a_choice(tmp_path):
    path = write(tmp_path / "mixed.pdparams", {"Student.a": np.arange(2), "loss.weight": np.arange(3)})
    with pytest.raises(PdparamsError, match=r"Student entries and others, such as 'loss\.weight': choose one"):
        read_pdparams(path)
    assert_equal(read_pdparams(path, prefix="Student"), {"a": np.arange(2)})
    assert_equal(read_pdparams(path, prefix="loss"), {"weight": np.arange(3)})


def test_unknown_prefix_is_refused(distilled):
    with pytest.raises(PdparamsError, match=r"no entry starts with 'Pupil\.'; they start with 'Student', 'Teacher'"):
        read_pdparams(distilled, prefix="Pupil")


# Errors


def test_error_is_one_the_caller_can_put_right():
    assert issubclass(PdparamsError, ResnexusError)


def test_optimizer_state_is_refused(tmp_path):
    state = {"w_moment1_0": np.zeros(3), "LR_Scheduler": {"last_epoch": 3}}
    with pytest.raises(PdparamsError, match="'LR_Scheduler' is a dict; a state dict holds only arrays"):
        read_pdparams(write(tmp_path / "weights.pdopt", state))


def test_unordered_contents_are_refused(tmp_path):
    for value, match in [(np.array([True]), "dtype 'b1' is not one of f2, f4"), (np.array(["a"]), "dtype 'U1'")]:
        with pytest.raises(PdparamsError, match=match):
            read_pdparams(write(tmp_path / "odd.pdparams", {"w": value}))
    path = tmp_path / "unsigned.pdparams"
    path.write_bytes(whole_pickle(mapping(w=array(kind=dtype("f8")))))
    with pytest.raises(PdparamsError, match=r"float64 \(1,\) needs 8 bytes, and 4 are stored"):
        read_pdparams(path)


# Memory


@pytest.mark.parametrize("protocol", [2, 4])
def test_peak_memory(tmp_path, protocol):
    """The promise is 1.3 files beyond the result; it takes a fixed megabyte."""
    state = {f"w{index}": np.random.default_rng(index).standard_normal(500_000) for index in range(4)}
    path = write(tmp_path / "big.pdparams", state, protocol)
    read_pdparams(path)
    tracemalloc.start()
    found = read_pdparams(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - sum(value.nbytes for value in found.values()) < 2**20


# The real Paddle


def save(paddle, state, path, protocol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paddle.save({key: paddle.to_tensor(value) for key, value in state.items()}, str(path), protocol=protocol)


def check_with_paddle(paddle, model, tmp_path):
    """Golden weights written by Paddle are read bit for bit, give the original's logits, and go back to Paddle."""
    weights = golden_weights(stored_shapes(PADDLE, architecture(model)))
    path = tmp_path / f"{model}.pdparams"
    for protocol in PROTOCOLS:
        save(paddle, weights, path, protocol)
        arrays = read_pdparams(path)
        assert_equal(arrays, weights)
    state = from_paddle(model, arrays)

    with torch.device("meta"):
        network = create_model(model)
    doubles = {key: value.double() if value.is_floating_point() else value for key, value in state.items()}
    network.load_state_dict(doubles, assign=True)
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(golden_images((97, 131))).double())
    assert agreement(torch.from_numpy(golden(model, (97, 131)).logits), logits).within(FLOAT64_TOLERANCE)

    save(paddle, to_paddle(model, state), path, 4)
    assert_equal(read_pdparams(path), weights)


def test_paddle_writes_and_we_compute(paddle, tmp_path):
    check_with_paddle(paddle, QUICKEST, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("model", LARGER)
def test_paddle_writes_and_we_compute_larger_networks(paddle, model, tmp_path):
    check_with_paddle(paddle, model, tmp_path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_paddle_reads_what_we_read(paddle, tmp_path, protocol):
    """All types that a state can hold, and each as Paddle itself reads it."""
    tensors = {
        kind: paddle.to_tensor([[1.0, -2.5, 3e4]]).astype(kind)
        for kind in ("float16", "bfloat16", "float32", "float64", "int8", "int32", "int64", "uint8")
    }
    tensors["scalar"] = paddle.to_tensor(1.5)
    path = tmp_path / "kinds.pdparams"
    paddle.save(tensors, str(path), protocol=protocol)
    found = read_pdparams(path)
    assert list(found) == list(tensors)
    for kind, theirs in paddle.load(str(path)).items():
        if kind == "bfloat16":
            assert theirs.dtype == paddle.bfloat16  # Paddle takes uint16 for it, and so do we
            assert found[kind].tolist() == theirs.astype("float32").numpy().tolist() == [[1.0, -2.5, 29952.0]]
        else:
            assert found[kind].dtype == theirs.numpy().dtype
            assert found[kind].tolist() == theirs.numpy().tolist()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tuples_of_paddle(paddle, tmp_path, protocol):
    """Paddle writes tensors of a nested object as a call that makes a tuple of name and array."""
    from paddle.framework.io import _pickle_save

    values = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(2.0)}
    tensors = collections.OrderedDict((key, paddle.to_tensor(value)) for key, value in values.items())
    path = tmp_path / "tuples.pdparams"
    with path.open("wb") as file:
        _pickle_save(tensors, file, protocol)
    assert b"OrderedDict" in path.read_bytes()
    assert_equal(read_pdparams(path), values)


@pytest.mark.slow
def test_slices_of_paddle(paddle, tmp_path):
    """Protocol 2 and 3 cut arrays above 1 GiB; this one is cut in two."""
    value = np.arange(2**30 // 4 + 1000, dtype=np.float32).reshape(-1, 1)
    path = tmp_path / "slices.pdparams"
    save(paddle, {"w": value}, path, 3)
    assert b"UnpackBigParamInfor@@" in path.read_bytes()[-4096:]
    found = read_pdparams(path)
    assert found["w"].shape == value.shape
    assert np.array_equal(found["w"], value)
