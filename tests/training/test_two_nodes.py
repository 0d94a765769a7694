"""Two machines under torchrun, played by two network namespaces: they train as one process does."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from tests.training.test_processes import PROGRAM, run

STEPS = 20
PORT = 29512


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@pytest.fixture
def nodes():
    """Two namespaces with a cable between them: (name, interface, address) of each."""
    if shutil.which("ip") is None:
        pytest.skip("there is no ip command")
    found = [(f"resnexus-{os.getpid()}-{side}", f"rnx{os.getpid()}{side}", f"10.231.77.{side}") for side in (1, 2)]
    try:
        try:
            for name, _, _ in found:
                ip("netns", "add", name)
            ip("link", "add", found[0][1], "type", "veth", "peer", "name", found[1][1])
            for name, interface, address in found:
                ip("link", "set", interface, "netns", name)
                ip("-n", name, "address", "add", f"{address}/24", "dev", interface)
                for device in (interface, "lo"):
                    ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        yield found
    finally:
        for name, _, _ in found:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def launched(node, rank, first, out):
    """Start one process of the program under torchrun on a node."""
    name, interface, _ = node
    launcher = ["-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
    launcher += ["--master-addr", first[2], "--master-port", str(PORT)]
    program = [str(out.parent / "program.py"), str(out), str(STEPS), "False"]
    with out.with_name(f"node{rank}.log").open("w") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, *launcher, *program],
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": interface},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_nodes_equal_one_process(nodes, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    processes = [launched(node, rank, nodes[0], tmp_path / "shared") for rank, node in enumerate(nodes)]
    try:
        for rank, process in enumerate(processes):
            assert process.wait(timeout=900) == 0, (tmp_path / f"node{rank}.log").read_text()[-3000:]
    finally:
        for process in processes:  # torchrun ends its workers when it is asked to end itself
            process.terminate()
            process.wait()
    first, second = (torch.load(tmp_path / "shared" / f"result{rank}.pt") for rank in range(2))
    alone = run(tmp_path / "alone", 1, STEPS, taught=False)
    for name, value in alone["weights"].items():
        assert torch.allclose(value.double(), first["weights"][name].double(), rtol=1e-5, atol=1e-5), name
        assert torch.equal(first["weights"][name], second["weights"][name]), name
    for one, other in zip(alone["rows"], first["rows"], strict=True):
        assert one["top1"] == pytest.approx(other["top1"], abs=1.5 / 31)
