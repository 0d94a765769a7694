"""Every start of torchrun's has names of its own in the store that it keeps."""

import pytest
import torch
import torch.distributed as dist

from resnexus.training.restarts import meet_again

CPU = torch.device("cpu")


@pytest.fixture
def kept(monkeypatch):
    """The store of a launcher, and what a process of its second start is told of it."""
    server = dist.TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False)
    told = {"RANK": "0", "WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    told |= {"MASTER_PORT": str(server.port), "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def made(monkeypatch):
    """Gather what groups are made of, and make none."""
    groups = []
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **options: groups.append((backend, options)))
    return groups


def test_a_later_start_has_names_of_its_own(kept, made):
    kept.set("address", "of one that is gone")
    meet_again(CPU)
    ((backend, options),) = made
    assert (backend, options["rank"], options["world_size"]) == ("gloo", 0, 2)
    assert not options["store"].check(["address"])
    options["store"].set("address", "of this one")
    assert kept.get("start2/address") == b"of this one"


@pytest.mark.parametrize(
    "told",
    [
        {"TORCHELASTIC_RESTART_COUNT": "0"},
        {"TORCHELASTIC_USE_AGENT_STORE": "False"},
        {"GROUP_WORLD_SIZE": "2"},
    ],
    ids=str,
)
def test_other_starts_are_left_to_who_makes_the_group(kept, made, monkeypatch, told):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    meet_again(CPU)
    assert made == []
