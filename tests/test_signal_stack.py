import ctypes
import gc
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from resnexus.acceleration.backends.int8 import quantised
from resnexus.artefacts.formats.openvino import compiled
from resnexus.signal_stack import _Stack, signal_stack_kept

openvino = pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO replaces the stack on Linux alone")


def current():
    stack = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.pointer, stack.flags, stack.size


@pytest.fixture(scope="module")
def model():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    return openvino.convert_model(torch.export.export(layers.eval(), (torch.zeros(1, 3, 8, 8),)))


def test_what_was_installed_comes_back():
    memory = ctypes.create_string_buffer(1 << 16)
    before = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(before))
    with signal_stack_kept():
        other = _Stack(ctypes.addressof(memory), 0, len(memory))
        ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None)
        assert current() == (ctypes.addressof(memory), 0, len(memory))
    assert current() == (before.pointer, before.flags, before.size)


@pytest.mark.thorough
def test_plugins_that_overlap_leave_the_stack(model):
    before = current()
    first = compiled(model)
    second = compiled(model)
    assert np.array_equal(first(np.ones((1, 3, 8, 8)))[0], second(np.ones((1, 3, 8, 8)))[0])
    del first
    gc.collect()
    del second
    gc.collect()
    assert current() == before


def test_a_plugin_that_quantising_leaves_behind_leaves_the_stack(model, monkeypatch):
    before, left_behind = current(), []

    def quantize(model, *_, **__):
        left_behind.append(openvino.Core().compile_model(model, "CPU"))
        return model

    monkeypatch.setattr(pytest.importorskip("nncf"), "quantize", quantize)
    quantised(model, [np.zeros((1, 3, 8, 8), np.float32)], [])
    assert left_behind
    assert current() == before


ENDED_BY_A_SIGNAL = """
import faulthandler, signal, numpy as np, openvino
faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: None)
from openvino import opset13 as ops
image = ops.parameter([1, 3], np.float32)
model = openvino.Model([ops.relu(image)], [image])
{import_}
with {kept}:
    first = openvino.Core().compile_model(model, "CPU")
    second = openvino.Core().compile_model(model, "CPU")
del first, second
signal.raise_signal(signal.SIGUSR1)
print("lives")
"""


def run(kept, import_=""):
    code = ENDED_BY_A_SIGNAL.format(kept=kept, import_=import_)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_process_lives_that_a_signal_would_end():
    done = run("signal_stack_kept()", "from resnexus.signal_stack import signal_stack_kept")
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr


@pytest.mark.slow  # that OpenVINO still does it; no promise of ours
def test_the_signal_does_end_it():
    assert run("contextlib.nullcontext()", "import contextlib").returncode == -11
