import pytest
import torch

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels.launching import check_shape, check_weight, check_workspace, pitch, widened


def channels_last(*shape):
    return torch.zeros(shape).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(2, 6, 3, 5), (1, 6, 3, 5), (2, 6, 1, 5), (2, 6, 3, 1), (2, 6, 1, 1), (2, 1, 3, 5)])
def test_the_pitch_of_a_tensor_and_of_its_slices(shape):
    whole = channels_last(*shape)
    assert pitch("x", whole) == shape[1]
    if shape[1] > 1:
        assert pitch("x", whole[:, 2:4]) == 6
        assert pitch("x", whole[:, 3:4]) == 6


def test_the_pitch_of_one_pixel_is_its_channels():
    assert pitch("x", channels_last(1, 6, 1, 1)[:, 2:4]) == 2
    assert pitch("gate", torch.zeros(3, 8)) == 8
    assert pitch("gate", torch.zeros(3, 8)[:, :5]) == 8


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 6, 3, 5),
        channels_last(2, 6, 3, 5)[:, ::2],
        channels_last(2, 6, 3, 5)[:, :, ::2],
        channels_last(2, 6, 3, 5)[:, :, :, 1:],
        channels_last(1, 6, 3, 5).expand(2, -1, -1, -1),
    ],
)
def test_other_layouts_are_refused(tensor):
    with pytest.raises(BackendError, match=r"x of shape \(.*\) with strides .*: expected channels last"):
        pitch("x", tensor)


def test_weights_are_refused_by_what_is_wrong():
    x = torch.zeros(1, 6, 3, 5)
    check_weight("weight", channels_last(4, 6, 3, 3), x, (4, 6, 3, 3))
    check_weight("bias", torch.zeros(4, dtype=torch.float64), x, (4,))
    with pytest.raises(BackendError, match=r"weight of shape \(4, 6, 3, 3\): expected \(4, 3, 3, 3\)"):
        check_weight("weight", channels_last(4, 6, 3, 3), x, (4, 3, 3, 3))
    with pytest.raises(BackendError, match=r"weight is torch\.float64: expected torch\.float32"):
        check_weight("weight", channels_last(4, 6, 3, 3).double(), x, (4, 6, 3, 3))
    with pytest.raises(BackendError, match=r"weight has strides .*: expected those of torch\.channels_last"):
        check_weight("weight", torch.zeros(4, 6, 3, 3), x, (4, 6, 3, 3))
    with pytest.raises(BackendError, match="w1 has strides"):
        check_weight("w1", torch.zeros(6, 4).T, x, (4, 6))
    with pytest.raises(BackendError, match=r"out of shape \(2, 3\): expected \(2, 4\)"):
        check_shape("out", torch.zeros(2, 3), (2, 4))


def test_a_workspace_holds_enough_numbers():
    check_workspace(None, 0)
    check_workspace(torch.zeros(8), 8)
    with pytest.raises(BackendError, match="workspace: none; expected at least 9 contiguous float32"):
        check_workspace(None, 9)
    with pytest.raises(BackendError, match=r"workspace: 8 of torch\.float32; expected at least 9"):
        check_workspace(torch.zeros(8), 9)
    with pytest.raises(BackendError, match=r"workspace: 8 of torch\.float16"):
        check_workspace(torch.zeros(8, dtype=torch.float16), 8)
    with pytest.raises(BackendError, match="workspace has strides"):
        check_workspace(torch.zeros(16)[::2], 8)


def test_only_the_interpreter_widens_and_only_what_it_cannot_multiply():
    assert widened(torch.zeros(1, dtype=torch.bfloat16))
    assert not widened(torch.zeros(1, dtype=torch.float16))
    assert not widened(torch.zeros(1, dtype=torch.bfloat16, device="meta"))
