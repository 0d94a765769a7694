"""An exported file is compared with the network it was made from, whatever number of images it is fixed to."""

import numpy as np
import pytest
import torch
from torch import nn

from resnexus import Architecture, ResnexusError
from resnexus.parity.forms import OnnxNetwork, compare_forms, onnx_session

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

ROW = Architecture(name="means", block="basic", depths=(1,), width=8, out_width=8)


class Means(nn.Module):
    """Stands for a network: the logits are the weighted means of the channels, which ONNX spells in two operators."""

    def __init__(self, in_chans=3):
        super().__init__()
        self.in_chans = in_chans
        self.architecture = ROW
        self.seen = []

    def forward(self, images):
        self.seen.append(len(images))
        return images.mean((2, 3)) @ weight(self.in_chans)


def weight(in_chans):
    return torch.arange(5.0 * in_chans).reshape(in_chans, 5) - 4


def write(path, batch, *, wrong_place=None, in_chans=3, kind=onnx.TensorProto.FLOAT):
    """Write the means as an ONNX file; `wrong_place` of the batch is off by one."""
    offset = np.zeros((batch if isinstance(batch, int) else 1, 1), np.float32)
    if wrong_place is not None:
        offset[wrong_place] = 1
    names = {"weight": weight(in_chans).numpy(), "axes": np.array([2, 3]), "offset": offset}
    nodes = [
        onnx.helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        onnx.helper.make_node("MatMul", ["means", "weight"], ["product"]),
        onnx.helper.make_node("Add", ["product", "offset"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "means",
        [onnx.helper.make_tensor_value_info("images", kind, [batch, in_chans, 33, 47])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [batch, 5])],
        [onnx.numpy_helper.from_array(array, name) for name, array in names.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return OnnxNetwork(path)


@pytest.mark.parametrize(("batch", "images"), [("N", 2), (1, 2), (2, 2), (3, 3), (5, 5)])
def test_a_file_gets_as_many_images_as_it_is_fixed_to(tmp_path, batch, images):
    form, network = write(tmp_path / "a.onnx", batch), Means()
    assert (form.batch_size, form.image_size) == (batch if isinstance(batch, int) else None, (33, 47))
    assert compare_forms(network, form).within(1e-6)
    assert network.seen == [images]
    if images > 2:  # every place of the batch is looked at
        assert not compare_forms(network, write(tmp_path / "b.onnx", batch, wrong_place=images - 1)).within(1e-3)


def test_images_of_other_channels(tmp_path):
    assert compare_forms(Means(in_chans=1), write(tmp_path / "a.onnx", 1, in_chans=1)).within(1e-6)
    with pytest.raises(ResnexusError, match=r"a.onnx: it does not take \(1, 3, 33, 47\) float32 images: .*Got: 3"):
        compare_forms(Means(), OnnxNetwork(tmp_path / "a.onnx"))
    with pytest.raises(ResnexusError, match=r"it does not take \(1, 3, 33, 47\) float32 images"):
        compare_forms(Means(), write(tmp_path / "a.onnx", 1, kind=onnx.TensorProto.FLOAT16))


def test_what_is_no_such_file(tmp_path):
    with pytest.raises(ResnexusError, match=r"no such file: .*gone.onnx"):
        OnnxNetwork(tmp_path / "gone.onnx")
    (tmp_path / "a.onnx").write_bytes(b"garbage")
    with pytest.raises(ResnexusError, match=r"a.onnx: ONNX Runtime cannot open it"):
        OnnxNetwork(tmp_path / "a.onnx")


def test_a_file_of_other_outputs(tmp_path):
    write(tmp_path / "a.onnx", 1)
    with pytest.raises(ResnexusError, match=r"input and 3 outputs, one for each map; found inputs .* and 1 outputs"):
        OnnxNetwork(tmp_path / "a.onnx", 3)


def test_a_session_has_the_threads_that_it_is_given(tmp_path):
    write(tmp_path / "means.onnx", "batch")
    sessions = [onnx_session(tmp_path / "means.onnx", threads) for threads in (1, 3, None)]
    options = [session.get_session_options() for session in sessions]
    assert [(one.intra_op_num_threads, one.inter_op_num_threads) for one in options] == [(1, 1), (3, 1), (0, 0)]
