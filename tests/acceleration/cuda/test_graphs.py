from __future__ import annotations

import threading

import pytest
import torch

from resnexus.acceleration.cuda.graphs import CudaGraphs, StandIn


def test_a_replay_reads_what_its_inputs_hold_and_overwrites_its_outputs():
    graphs, x = StandIn(), torch.tensor([1.0])
    captured = graphs.capture(lambda: [2 * x])
    (out,) = captured.outputs
    assert out.isnan().all()  # nothing was run for good yet
    captured.replay()
    assert out.item() == 2
    x.fill_(5)
    assert out.item() == 2
    captured.replay()
    assert out.item() == 10
    assert captured.outputs[0] is out
    assert graphs.bytes == 4


def test_turns_are_taken_one_after_another():
    graphs, inside, most = StandIn(), [], []
    begun = threading.Barrier(4, timeout=30)

    def take():
        begun.wait()
        with graphs.turn():
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1, 1, 1, 1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_does_as_the_stand_in():
    device = torch.device("cuda", torch.cuda.current_device())
    graphs, x = CudaGraphs(device), torch.ones(1, device=device)
    first = graphs.capture(lambda: [2 * x])
    second = graphs.capture(lambda: [3 * x])
    x.fill_(5)
    with graphs.turn():
        first.replay()
        second.replay()
    assert (first.outputs[0].item(), second.outputs[0].item()) == (10, 15)
