import pytest
import torch

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels.settings import (
    SHARED_BYTES,
    Product,
    Tile,
    filling,
    pieces,
    power_of_two,
    suiting,
    tiles,
)

LARGE = Product(pixels=128, outputs=64, depth=64)
SMALL = Product(pixels=32, outputs=32, depth=64)
CUT = Product(pixels=32, outputs=32, depth=64, splits=8)


def out(images=1, outputs=512, height=7, width=7):
    return torch.empty(images, outputs, height, width, device="meta")


def test_the_first_row_that_fills_a_gpu_or_else_the_one_with_most_programs():
    def chosen(images):
        return filling((LARGE, SMALL, CUT), lambda row: tiles(out(images), row) * row.splits)

    assert tiles(out(), SMALL) == 2 * 16
    assert chosen(1) is CUT
    assert chosen(6) is SMALL
    assert chosen(64) is LARGE
    assert filling((LARGE, SMALL), lambda row: 1 if row is LARGE else 2) is SMALL


def test_rows_that_do_not_suit_are_left_out():
    rows = (LARGE, SMALL, CUT)
    assert suiting(rows, out(8), depth=1024, itemsize=2) == rows
    assert suiting(rows, out(1), depth=1024, itemsize=2) == (SMALL, CUT), "49 pixels in tiles of 128"
    assert suiting(rows, out(8), depth=256, itemsize=2) == (LARGE, SMALL), "4 steps cut into 8"
    assert suiting(rows, out(8), depth=256, itemsize=2, taps=9) == rows
    assert suiting(rows, out(8), depth=1024, itemsize=2, multiple=32) == (SMALL, CUT)
    assert suiting(rows, out(8, outputs=26), depth=1024, itemsize=2) == (SMALL, CUT)
    assert LARGE.shared_bytes(8) > SHARED_BYTES
    assert suiting(rows, out(8), depth=1024, itemsize=8) == (SMALL, CUT)
    assert suiting(rows, out(8), depth=16, itemsize=2) == (CUT,), "if none suits, the last"


def test_pieces_and_powers():
    assert [pieces(count, 4) for count in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [power_of_two(count) for count in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]
    assert power_of_two(3, least=16) == 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tile(pixels=3, channels=8), "pixels=3: expected a power of two of at least 1"),
        (lambda: Tile(pixels=4, channels=8, splits=0), "splits=0: expected a whole number of at least 1"),
        (lambda: Product(pixels=8, outputs=16, depth=16), "pixels=8: expected a power of two of at least 16"),
        (lambda: Product(pixels=16, outputs=16, depth=48), "depth=48: expected a power of two"),
        (lambda: Product(pixels=16, outputs=16, depth=16, warps=3), "warps=3: expected a power of two"),
        (lambda: Product(pixels=16, outputs=16, depth=16, stages=0), "stages=0: expected a whole number"),
    ],
)
def test_rows_are_checked(make, message):
    with pytest.raises(BackendError, match=message):
        make()
