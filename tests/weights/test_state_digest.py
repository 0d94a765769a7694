"""The digest of a module's state: what changes it, and what does not."""

import hashlib

import torch
from torch import nn

from resnexus.weights.state_digest import state_sha256


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))


def test_a_bit_changes_it_and_modes_do_not():
    first, second = network(), network().eval().requires_grad_(False)
    assert state_sha256(first) == state_sha256(second)
    with torch.no_grad():
        second[0].bias += 1e-6
    assert state_sha256(first) != state_sha256(second)
    third = network()
    third[1].num_batches_tracked += 1
    assert state_sha256(first) != state_sha256(third)


def test_it_is_of_names_types_shapes_and_bytes():
    one = nn.Module()
    one.register_buffer("a", torch.tensor([1.0, 2.0], dtype=torch.bfloat16))
    content = b"a\0torch.bfloat16\0(2,)\0" + bytes.fromhex("803f0040")
    assert state_sha256(one) == hashlib.sha256(content).hexdigest()
