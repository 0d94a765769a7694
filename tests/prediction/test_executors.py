"""Ray's part in a manifest, with a stand-in that keeps count; tests/prediction/test_bulk.py has Ray itself."""

import os

import pytest

from resnexus import ResnexusError
from resnexus.distillation.pictures import Picture
from resnexus.distillation.scoring import ScoreTask
from resnexus.prediction import executors
from resnexus.prediction.bulk import ShardTask
from resnexus.prediction.executors import LIVES, executor_named
from resnexus.prediction.pool import Lost


class StandIn:
    """What is used of Ray: the task that was given last is done first."""

    def __init__(self, *, initialized=False, resources=()):
        self.initialized, self.resources = initialized, dict(resources)
        self.options, self.most, self.under_way, self.ended, self.cancelled = {}, 0, [], 0, []

    def is_initialized(self):
        return self.initialized

    def init(self, **options):
        self.started = options

    def cluster_resources(self):
        return self.resources

    def shutdown(self):
        self.ended += 1

    def remote(self, **options):
        self.options = options

        class Remote:
            def __init__(own, function):
                own.function = function

            def remote(own, task):
                self.under_way.append(task)
                self.most = max(self.most, len(self.under_way))
                return lambda: own.function(task)

        return Remote

    def wait(self, waiting, num_returns):
        assert num_returns == 1
        self.under_way.pop()
        return waiting[-1:], waiting[:-1]

    def get(self, done):
        return [call() for call in done]

    def cancel(self, call):
        self.cancelled.append(call())


@pytest.fixture
def ray(monkeypatch):
    def stand_in(**options):
        found = StandIn(**options)
        monkeypatch.setattr(executors, "required", lambda name: found)
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        return found

    return stand_in


def test_every_task_is_done_once_and_no_more_than_so_many_are_under_way(ray):
    found = ray()
    assert sorted(executor_named("ray", 3)(abs, iter(range(-7, 0)))) == list(range(1, 8))
    assert (found.most, found.under_way, found.ended) == (3, [], 1)
    assert found.options == {"num_cpus": 1, "max_retries": LIVES - 1}
    assert found.started["_node_ip_address"] == "127.0.0.1"
    assert "RAY_AUTH_MODE" not in os.environ  # Ray sees to it, but not where it is set after its import


@pytest.mark.parametrize(
    ("name", "address"), [("ray://head:10001", "ray://head:10001"), ("ray:10.0.0.1:6379", "10.0.0.1:6379")]
)
def test_a_cluster_is_joined_and_left(ray, name, address):
    found = ray()
    assert list(executor_named(name, 1)(abs, [-2])) == [2]
    assert found.started["address"] == address
    assert found.ended == 1


@pytest.mark.parametrize(
    ("device", "most", "needs"), [("cpu", 5, {}), ("cuda", 2, {"num_gpus": 1}), ("gpu", 2, {"num_gpus": 1})]
)
def test_as_many_are_under_way_as_the_cluster_has_room_for(ray, device, most, needs):
    found = ray(resources={"CPU": 5.0, "GPU": 2.0, "memory": 1e9})
    assert sorted(executor_named("ray://head:10001", device=device)(abs, range(-9, 0))) == list(range(1, 10))
    assert found.most == most
    assert found.options == {"num_cpus": 1, "max_retries": LIVES - 1, **needs}


def test_ray_says_which_gpu():
    with pytest.raises(ResnexusError, match="device 'cuda:1': Ray says which GPU a shard gets; use device 'cuda'"):
        executor_named("ray", device="cuda:1")


def test_a_cluster_without_a_gpu(ray):
    found = ray(resources={"CPU": 5.0})
    with pytest.raises(ResnexusError, match="on='ray': the cluster has no GPU now; say processes=, or wait"):
        list(executor_named("ray", device="cuda")(abs, [-2]))
    assert found.ended == 1
    assert list(executor_named("ray", 3, "cuda")(abs, [-2])) == [2]  # one may come when it is asked for


def test_this_machine_does_as_many_as_it_has_cores(monkeypatch):
    monkeypatch.setattr(executors, "usable_cores", lambda: 7)
    assert executor_named("local")._processes == 7


def test_a_ray_that_runs_already_is_used_and_left_running(ray):
    found = ray(initialized=True)
    assert list(executor_named("ray", 2)(abs, [-2])) == [2]
    assert not hasattr(found, "started")
    assert found.ended == 0


def test_what_a_task_raises_ends_the_others_on_a_ray_that_goes_on(ray):
    found = ray(initialized=True)
    with pytest.raises(TypeError):
        list(executor_named("ray", 3)(abs, [-1, -2, "a", -3]))
    assert (found.cancelled, found.ended) == ([1, 2], 0)


def test_what_a_task_raises_ends_the_run_and_ray(ray):
    found = ray()
    with pytest.raises(TypeError):
        list(executor_named("ray", 2)(abs, ["a"]))
    assert found.ended == 1


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (
            ShardTask(shard="list/images-000003.parquet", out="many/a.parquet", model="m", settings=None),
            "many/a.parquet",
        ),
        (
            ScoreTask(out="cache", shard=3, pictures=(Picture(id=0, uri="a.jpg"),), record=None, asking=None),
            "cache/shard-00003.safetensors",
        ),
    ],
    ids=["predict", "score"],
)
def test_a_task_that_dies_again_and_again_is_called_by_what_it_makes(monkeypatch, task, name):
    class Dying:
        def __init__(self, *_, **__):
            pass

        def ordered(self, function, calls, **_):
            return ((item, Lost.DIED) for item, _ in calls)

        def close(self):
            pass

    monkeypatch.setattr(executors, "Pool", Dying)
    with pytest.raises(ResnexusError, match=f"^{name}: its process died {LIVES} times; is there enough memory"):
        list(executor_named("local", 2)(print, [task]))
