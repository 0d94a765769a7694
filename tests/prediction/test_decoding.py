import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import Preprocess
from resnexus.prediction.decoders import Workers
from resnexus.prediction.decoding import Decoding, decode_in_worker
from resnexus.prediction.fetching import FetchLimits
from resnexus.prediction.inputs import Address, Input, Member
from tests.weights.server import FileServer

PREPROCESS = Preprocess(size=16, resize_short=18)
DECODING = Decoding(preprocess=PREPROCESS, fetching=FetchLimits(private=True))


def test_a_frame_is_what_the_network_sees(awkward):
    path = awkward[0] / "turned 6.jpg"
    frame = DECODING(path)
    assert frame.dtype == np.uint8
    assert np.array_equal(PREPROCESS.normalise(frame).numpy(), PREPROCESS(path).numpy())


def test_images_that_lie_elsewhere(awkward, tmp_path):
    path = awkward[0] / "plain.png"
    frame, size = DECODING(path), path.stat().st_size
    with FileServer(path.read_bytes()) as server:
        assert np.array_equal(DECODING(Address(f"{server.url}/plain.png")), frame)
    assert np.array_equal(DECODING(Address(f"local://{path}")), frame)
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(path, "plain.png")
    assert np.array_equal(DECODING(Member(str(tmp_path / "x.tar"), 512, size)), frame)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (Address("local:///nowhere/a.png"), ErrorCode.NOT_FOUND),
        (Address("nothing://a.png"), ErrorCode.FETCH_FAILED),
        (Address("http://127.0.0.1:1/a.png"), ErrorCode.FETCH_FAILED),
        (Member("/nowhere/a.tar", 0, 5), ErrorCode.NOT_FOUND),
        (Member("/", 0, 5), ErrorCode.NOT_READABLE),
        (Member(os.devnull, 0, 5), ErrorCode.DAMAGED),
    ],
)
def test_images_that_are_not_there(source, code):
    assert DECODING(source) == code


def test_a_worker_is_told_what_to_do_first():
    with pytest.raises(RuntimeError, match="begin_worker comes first"):
        decode_in_worker("a.png")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the memory limit is for Linux")
def test_a_worker_gets_no_more_memory_than_it_is_given(awkward, tmp_path):
    pytest.importorskip("pebble")
    Image.new("L", (9000, 9000)).save(tmp_path / "large.png", compress_level=1)
    workers = Workers(DECODING, workers=1, time_limit=60, memory_limit=64, window=2)
    try:
        paths = (tmp_path / "large.png", awkward[0] / "plain.png")
        found = dict(workers.frames(Input(number, "", path) for number, path in enumerate(paths)))
    finally:
        workers.close()
    first, second = found.values()
    assert first == ErrorCode.OUT_OF_MEMORY
    assert np.array_equal(second, DECODING(paths[1]))
