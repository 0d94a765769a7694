"""Hostile files are refused without running their code, and damaged ones never do worse than be refused."""

import atexit
import os
import pickle
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
from operator import attrgetter
from pathlib import Path
from pickletools import genops, opcodes

import hostile
import numpy as np
import pytest
from hostile import array, call, dtype, items, mapping, name, stack_name, text, whole_pickle

from resnexus.weights.pdparams import PdparamsError, read_pdparams
from tests.sampled import sampled

CANARIES = Path(tempfile.mkdtemp(prefix="canaries-"))
atexit.register(shutil.rmtree, CANARIES)
CORPUS = hostile.corpus(CANARIES)
HARMLESS = {"open", "builtins.id"}
DATA = Path(__file__).parents[1] / "data"

_heard: list[tuple[str, tuple]] | None = None


def _listen(event: str, arguments: tuple) -> None:
    if _heard is not None:
        _heard.append((event, arguments))


sys.addaudithook(_listen)  # cannot be taken back, so it does nothing outside `watched`


def watched(path: Path) -> tuple[dict | PdparamsError, list]:
    """Read a file and return the result or the refusal, with everything that Python's audit reports meanwhile."""
    global _heard  # noqa: PLW0603
    _heard = []
    try:
        return read_pdparams(path), _heard
    except PdparamsError as error:
        return error, _heard
    finally:
        _heard = None


def rewrite(path: Path, content: bytes) -> None:
    """Replace what is in a file, without emptying it first as `write_bytes` does: disks are slow at that."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.truncate()


def bounded(content: bytes) -> int:
    """Return the bytes that reading may take beyond its result: 100 per opcode, and 1 MB for buffers."""
    return 100 * len(content) + 2**20


def test_the_corpus_is_large_and_without_repetition():
    assert len(CORPUS) > 250
    assert len({file.name for file in CORPUS}) == len(CORPUS)
    assert sum(file.runs for file in CORPUS) >= 25


# Each takes a second, and another of its kind stays.
LONG = {
    "deep dicts",
    "deep tuples",
    "deep tuples as a key",
    "deep tuples as a state",
    "dicts without end",
    "slices of 50,000 axes",
}
NAMES = {file.name for file in CORPUS}


@pytest.mark.parametrize("file", sampled(CORPUS, NAMES - LONG, attrgetter("name")), ids=attrgetter("name"))
def test_hostile_file_is_refused(file, tmp_path):
    path = tmp_path / "weights.pdparams"
    path.write_bytes(file.content)
    tracemalloc.start()
    start = time.process_time()
    result, heard = watched(path)
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with pytest.raises(PdparamsError, match=file.message):
        raise result
    assert str(result).startswith(f"{path}: ")
    assert len(str(result)) < len(str(path)) + 300
    assert {event for event, _ in heard} <= HARMLESS
    assert {arguments[0] for event, arguments in heard if event == "open"} <= {str(path), path}
    assert peak <= bounded(file.content)
    assert seconds < 20
    assert list(CANARIES.iterdir()) == []


def test_payloads_run_in_the_usual_unpickler(tmp_path):
    """The canary sings: were the reader an ordinary one, the test above would notice."""
    folder = tmp_path / "canaries"
    folder.mkdir()
    for file in hostile.corpus(folder):
        if file.runs:
            (tmp_path / f"{file.name}.pickle").write_bytes(file.content)
    code = (
        "import pathlib, pickle, sys\n"
        "for path in pathlib.Path(sys.argv[1]).glob('*.pickle'):\n"
        "    try: pickle.loads(path.read_bytes())\n"
        "    except Exception: pass\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], check=True, timeout=120)
    assert sorted(path.name for path in folder.iterdir()) == sorted(file.name for file in CORPUS if file.runs)


def test_a_valid_file_beside_them_is_read(tmp_path):
    path = tmp_path / "valid.pdparams"
    path.write_bytes(hostile.VALID)
    result, heard = watched(path)
    assert {key: value.tolist() for key, value in result.items()} == {"w": [0.0]}
    assert {event for event, _ in heard} <= HARMLESS


def test_message_names_the_global_and_the_byte(tmp_path):
    path = tmp_path / "evil.pdparams"
    path.write_bytes(whole_pickle(mapping(w=call(name("os", "system"), text("true")))))
    with pytest.raises(PdparamsError) as caught:
        read_pdparams(path)
    at = path.read_bytes().index(b"cos\n")
    assert str(caught.value) == (
        f"{path}: refused global 'os.system' at byte {at}: weight files name only what describes an array"
    )


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "device", "dangling link"])
def test_what_is_no_file_is_refused(kind, tmp_path):
    path = tmp_path / "weights.pdparams"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # opening it would wait for a writer
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    match = "cannot be read: No such file" if kind in {"missing", "dangling link"} else "not a regular file"
    with pytest.raises(PdparamsError, match=match):
        read_pdparams(path)


@pytest.mark.parametrize("file", sorted(DATA.glob("tiny*.pdparams")), ids=lambda path: path.name)
def test_every_truncation_is_refused(file, tmp_path):
    content, path = file.read_bytes(), tmp_path / "cut.pdparams"
    for length in range(len(content)):
        rewrite(path, content[:length])
        result, _ = watched(path)
        assert isinstance(result, PdparamsError), length
        assert re.search("truncated|bytes follow|is empty|does not end", str(result)), result


def test_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "shrinks.pdparams"
    state = {"w": np.arange(100_000, dtype=np.float32)}
    for protocol in (2, 4):
        path.write_bytes(pickle.dumps(state, protocol))
        with monkeypatch.context() as patch:
            patch.setattr("resnexus.weights.pdparams._entries", lambda *arguments: _shrink(path, arguments))
            with pytest.raises(PdparamsError, match="contents of 'w' are damaged: the file ends inside it"):
                read_pdparams(path)


def _shrink(path: Path, arguments: tuple) -> dict:
    from resnexus.weights.pdparams import _Entry

    os.truncate(path, 50_000)
    return {key: _Entry((value,), value.shape) for key, value in arguments[0].items()}


# Mutations


def _valid_files() -> list[bytes]:
    """Return one small valid file per form of the format."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((3, 5)).astype(np.float32)
    half = {"w": weight.astype(np.float16), "n": np.arange(3), "f": np.asfortranarray(weight), "e": weight[:0]}
    parts = {f"w@@.{index}": weight.reshape(-1)[5 * index : 5 * index + 5] for index in range(3)}
    table = {"w": {"OriginShape": (3, 5), "slices": list(parts)}}
    long = {"w": random.standard_normal(400).astype(np.float32)}
    tuples = mapping(w=call(stack_name("builtins", "tuple"), items(text("conv_0"), array()) + b"\x94"))
    return [
        *(path.read_bytes() for path in sorted(DATA.glob("tiny*.pdparams"))),
        *(pickle.dumps(half, protocol) for protocol in (2, 4, 5)),
        *(pickle.dumps(parts | {"UnpackBigParamInfor@@": table}, protocol) for protocol in (2, 3)),
        *(pickle.dumps(long, protocol) for protocol in (2, 4)),
        whole_pickle(tuples),
        whole_pickle(mapping(w=array(kind=dtype("u2"), shape=b"K\x02\x85"), b=array(contents=b"U\x04abcd")), 2),
    ]


EXTREMES = [struct.pack("<q", value) for value in (0, -1, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)]
OPCODES = [ord(opcode.code) for opcode in opcodes]


def _mutate(content: bytes, places: list[int], others: list[bytes], draw: random.Random) -> bytes:
    """Damage a file once, at any byte or, as often, at an opcode."""
    at = draw.choice(places) if draw.random() < 0.5 else draw.randrange(len(content))
    at = min(at, len(content) - 1)
    some = content[at : at + draw.randrange(1, 24)]
    match draw.choice((0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8)):
        case 0:
            return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
        case 1:
            return content[:at] + bytes([draw.choice(OPCODES)]) + content[at + 1 :]
        case 2:
            return content[:at] + bytes([draw.choice(OPCODES)]) + content[at:]
        case 3:
            return content[:at] + draw.randbytes(draw.randrange(1, 9)) + content[at:]
        case 4:
            return content[:at] + content[at + len(some) :]
        case 5:
            return content[:at] + some + content[at:]
        case 6:
            where = draw.randrange(len(content))
            return content[:where] + some + content[where:]
        case 7:
            extreme = draw.choice(EXTREMES)[: draw.choice((1, 2, 4, 8))]
            return content[:at] + extreme + content[at + len(extreme) :]
        case _:
            other = draw.choice(others)
            return content[:at] + other[draw.randrange(len(other)) :]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "seed"),
    [(2_000, 0), *(pytest.param(13_000, seed, marks=pytest.mark.slow) for seed in range(1, 11))],
)
def test_mutations(count, seed, tmp_path):
    """A damaged file is refused, or gives arrays as good as those of a valid one; nothing else happens."""
    draw = random.Random(seed)
    valid = _valid_files()
    places = [[at for _, _, at in genops(content) if at is not None] for content in valid]
    path = tmp_path / "mutated.pdparams"
    read = refused = 0
    tracemalloc.start()
    for round_ in range(count):
        base = round_ % len(valid)
        content = valid[base]
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            content = _mutate(content, places[base], valid, draw) or b"\0"
        rewrite(path, content)
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.process_time()
        result, heard = watched(path)
        assert time.process_time() - start < 20
        assert tracemalloc.get_traced_memory()[1] - before <= bounded(content)
        assert {event for event, _ in heard} <= HARMLESS
        if isinstance(result, PdparamsError):
            refused += 1
            assert str(result).startswith(f"{path}: ")
            continue
        read += 1
        assert sum(value.nbytes for value in result.values()) <= 2 * len(content)
        for key, value in result.items():
            assert type(key) is str
            assert type(value) is np.ndarray
            assert value.flags.c_contiguous and value.flags.owndata and value.flags.writeable  # noqa: PT018
            assert value.dtype.isnative and value.dtype.kind in "fiu"  # noqa: PT018
            value.tobytes()
    tracemalloc.stop()
    assert list(CANARIES.iterdir()) == []
    assert read > 0.03 * count
    assert refused > 0.5 * count
