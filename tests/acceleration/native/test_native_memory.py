from __future__ import annotations

import mmap
from operator import itemgetter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.native.calls import KernelCalls
from resnexus.acceleration.native.layout import blocked, cells_of, planes
from resnexus.acceleration.native.memory import allocate, share
from resnexus.acceleration.native.packing import LANES, panels, spread, strassen, winograd_matrix
from resnexus.acceleration.native.placement import place
from resnexus.architectures.catalog import architecture
from resnexus.models import create_model
from resnexus.rewrites.table import rewritten
from tests.sampled import sampled


@pytest.mark.parametrize(
    ("name", "batch_size"),
    sampled(
        [("Res2Net50_26w_4s", 1), ("SE_ResNet18_vd", 8), ("ResNeXt50_32x4d", 8)],
        ["Res2Net50_26w_4s", "ResNeXt50_32x4d"],
        itemgetter(0),
    ),
)
def test_nothing_shares_memory_while_it_is_alive(name, batch_size):
    row = architecture(name)
    network = rewritten(create_model(row, depths=(1,) * len(row.depths)).eval(), ["fold_batch_norm"])
    calls = KernelCalls()
    images = place(lower(network), Job(batch_size=batch_size), calls)
    memories = share(calls.calls, images)

    uses: dict = {images.buffer: [0, len(calls.calls)]}
    for index, call in enumerate(calls.calls):
        for value in call.activations():
            uses.setdefault(value.buffer, []).append(index)
    assert set(uses) == set(memories.of)
    buffers = list(uses)
    for one in buffers:
        assert one.floats <= memories.sizes[memories.of[one]]
        for other in buffers:
            if one is other or memories.of[one] != memories.of[other]:
                continue
            assert max(uses[one]) < min(uses[other]) or max(uses[other]) < min(uses[one])
            assert one.border == other.border  # the zeros around the one stay zeros around the other
    assert sum(memories.sizes) < 0.6 * sum(buffer.floats for buffer in buffers)


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_every_pixel_and_its_border_lie_inside_the_buffer(channels, images, height, width, border):
    found = blocked(cells_of(channels), images, height, width, border=border)
    assert found.channels == channels
    last = found.part(len(found.cells) - 1, 1).some(images - 1, 1)
    tiles = 4 * -(-height // 4), 4 * -(-width // 4)
    below, right = tiles if border else (height - 1, width - 1)
    assert last.start + below * last.row + right * last.pixel + LANES <= found.buffer.floats
    first = found.start - (found.row + found.pixel if border else 0)
    assert first >= 0
    assert found.bare == (not border)


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_planes_have_room_for_their_border(channels, images, height, width, border):
    found = planes(channels, images, height, width, border)
    assert found.start - border * (found.row + 1) >= 0
    end = found.start + (channels - 1) * found.block + (images - 1) * found.image
    assert end + (height - 1 + border) * found.row + width - 1 + border < found.buffer.floats


@given(st.lists(st.integers(1, LANES), min_size=1, max_size=4))
def test_spreading_keeps_channels_and_fills_with_zeros(cells):
    values = np.arange(1.0, sum(cells) + 1)
    wide = spread(values, cells)
    assert wide.shape == (LANES * len(cells),)
    assert np.array_equal(wide[wide != 0], values)
    assert all((wide[LANES * block :][:count] != 0).all() for block, count in enumerate(cells))
    matrix = np.stack([values, 2 * values])
    packed = panels(matrix, cells)
    assert packed.shape == (-(-len(cells) // 2), 2, 32)
    together = np.concatenate(list(packed), axis=-1)
    assert np.array_equal(together[:, : len(wide)], np.stack([wide, 2 * wide]))


def test_winograds_kernel_transform_is_that_of_the_interpolation():
    # At the points 0, +-a, +-b and infinity the products of two polynomials determine their product: convolve by it.
    g = winograd_matrix()
    a, b = 0.75, 1.5
    points = np.array([0, a, -a, b, -b])
    random = np.random.default_rng(0)
    kernel, signal = random.standard_normal(3), random.standard_normal(6)
    # Correlation of 6 values with 3: y = A^T [(G g) (B^T d)]; B^T from the transposed interpolation.
    values = np.vander(points, 6, increasing=True)
    evaluation = np.vstack([values[:, :4], [0, 0, 0, 1]]).T
    full = np.vstack([values, [0, 0, 0, 0, 0, 1]])
    norms = [np.prod([p - q for q in points if q != p]) for p in points]
    transform = np.linalg.inv(full).T * np.array([*norms, 1])[:, None]
    result = evaluation @ ((g @ kernel) * (transform @ signal))
    assert np.allclose(result, np.correlate(signal, kernel, mode="valid"), atol=1e-12)


def test_strassens_factors():
    random = np.random.default_rng(1)
    weight = random.standard_normal((64, 32))
    factors = strassen(weight, cells_of(64))[0]
    b = weight.T
    b11, b12, b21, b22 = b[:16, :32], b[:16, 32:], b[16:, :32], b[16:, 32:]
    expected = [b11 + b22, b11, b12 - b22, b21 - b11, b22, b11 + b12, b21 + b22]
    assert np.array_equal(factors, np.stack(expected).astype(np.float32))


def test_memory_is_zeroed_aligned_and_of_ones_own():
    for floats in (0, 1, 1000, 1 << 20):
        memory = allocate(floats)
        assert memory.shape == (floats,)
        assert memory.ctypes.data % mmap.PAGESIZE == 0 or floats == 0
        assert not memory.any()
        memory[:] = 1
    assert not allocate(1000).any()
    torch.from_numpy(allocate(10)).fill_(1)
