import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus import ResnexusError
from resnexus.prediction import bulk
from resnexus.prediction.bulk import predict_manifest, release, result_name, verify
from resnexus.prediction.executors import Local, executor_named
from resnexus.prediction.manifest import write_manifest
from resnexus.prediction.predictor import predict
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Silent

parquet = pytest.importorskip("pyarrow.parquet")

SETTINGS = PredictionSettings(topk=2, batch_size=4)
NO_RAY = "Ray is not installed: pip install 'resnexus[scale]'"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Ray keeps a token at home, which a process that has made one asks for whenever it starts Ray again."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def ray_has_time(monkeypatch, home):
    """Ray ends if its processes are not there after seconds, which a busy machine does not give them."""
    monkeypatch.setenv("HOME", str(home))
    pytest.importorskip("ray", reason=NO_RAY)
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "600")
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "600000")


@pytest.fixture(scope="module")
def manifest(awkward, tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifest")
    write_manifest([awkward[0]], folder, shard_images=-(-len(awkward[1]) // 3))
    return folder


def run(weights, manifest, out, settings=SETTINGS, executor=None):
    return predict_manifest(str(weights), manifest, out, settings, executor or Local(1), Silent())


def contents(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.parquet"))}


@pytest.fixture(scope="module")
def done(weights, manifest, tmp_path_factory):
    out = tmp_path_factory.mktemp("done")
    tally = run(weights, manifest, out)
    return out, tally


def test_every_image_has_its_record(weights, awkward, done):
    out, tally = done
    codes = awkward[1]
    broken = sum(code is not None for code in codes.values())
    assert (tally.images, tally.shards, tally.errors) == (len(codes), 3, broken)
    assert json.loads((out / "predictions.json").read_text())["threads"] == 1
    rows = [row for path in sorted(out.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]
    folder = predict(weights, awkward[0], topk=2)
    assert [row["id"] for row in rows] == list(range(len(codes)))
    assert [row["filename"] for row in rows] == [one.filename for one in folder]
    assert sorted(row["error"] or "" for row in rows) == sorted(code or "" for code in codes.values())
    assert [row["class_ids"] for row in rows] == [list(one.class_ids) for one in folder]


def test_what_is_done_is_not_done_again(weights, manifest, done, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    (out / result_name(1)).unlink()
    begun = []
    real = bulk.predict_shard

    def counted(task):
        begun.append(task.shard)
        return real(task)

    monkeypatch.setattr(bulk, "predict_shard", counted)
    assert run(weights, manifest, out) == done[1]
    assert [name.rpartition("/")[2] for name in begun] == ["images-000001.parquet"]
    assert contents(out) == contents(done[0])


def test_processes_write_the_same_bytes(weights, manifest, done, tmp_path):
    pytest.importorskip("pebble")
    assert run(weights, manifest, tmp_path / "out", executor=executor_named("local", 2)) == done[1]
    assert contents(tmp_path / "out") == contents(done[0])


def test_other_settings_do_not_go_on(weights, manifest, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    with pytest.raises(ResnexusError, match="holds predictions of another network, other settings or another manifest"):
        run(weights, manifest, out, PredictionSettings(topk=3, batch_size=4))
    # How long a worker may take is no such setting.
    assert run(weights, manifest, out, PredictionSettings(topk=2, batch_size=4, time_limit=50)) == done[1]


def test_verify_finds_what_is_not_the_manifests(weights, manifest, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    assert verify(manifest, out) == done[1]
    shutil.copy(out / result_name(0), out / result_name(1))
    with pytest.raises(ResnexusError, match=r"predictions-000001.parquet holds other ids"):
        verify(manifest, out)
    (out / result_name(1)).write_bytes(b"PAR1")
    with pytest.raises(ResnexusError, match=r"cannot read .*predictions-000001"):
        verify(manifest, out)
    (out / result_name(1)).unlink()
    with pytest.raises(ResnexusError, match=r"predictions-000001.parquet is missing"):
        verify(manifest, out)


def test_verify_finds_a_file_of_no_shard(manifest, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    shutil.copy(out / result_name(0), out / result_name(3))
    with pytest.raises(ResnexusError, match=r"predictions-000003.parquet is of no shard of the manifest: remove it"):
        verify(manifest, out)


def test_an_engine_is_planned_for_one_thread_as_the_shards_ask_for_it(weights, manifest, tmp_path, monkeypatch):
    real, threads = bulk.open_runner, []

    def opened(*arguments):
        threads.append(torch.get_num_threads())
        return real(*arguments)

    monkeypatch.setattr(bulk, "open_runner", opened)
    monkeypatch.setattr("resnexus.prediction.predictor.open_runner", opened)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(weights, manifest, tmp_path / "out")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 1]


def test_a_folder_of_something_else(weights, manifest, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ResnexusError, match="is not empty"):
        run(weights, manifest, tmp_path)


def test_nothing_is_kept_after_it(weights, manifest, done):
    assert not bulk._kept
    release()


@pytest.mark.parametrize(
    ("name", "processes", "message"),
    [("cloud", 1, "on='cloud': expected local, ray"), ("local", 0, "processes=0: expected at least 1")],
)
def test_executors_that_there_are_not(name, processes, message):
    with pytest.raises(ResnexusError, match=message):
        executor_named(name, processes)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("workers", [0, 1], ids=["decoded in the task", "decoded by a worker of the task"])
def test_ray_writes_the_same_bytes(ray_has_time, weights, manifest, done, tmp_path, workers):
    settings = replace(SETTINGS, workers=workers, time_limit=600)
    assert run(weights, manifest, tmp_path / "out", settings, executor_named("ray", 2)) == done[1]
    assert contents(tmp_path / "out") == contents(done[0])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
def test_a_cluster_is_driven_from_outside(ray_has_time, weights, manifest, done, tmp_path):
    """By Ray's client, in a process of its own: this one has been a driver itself."""
    pytest.importorskip("grpc", reason=NO_RAY)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 * 2**20})
    port = free_port()
    server = [
        sys.executable,
        "-m",
        "ray.util.client.server",
        "--mode",
        "specific-server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command = [sys.executable, "-m", "resnexus", "predict", "--manifest", str(manifest), "--out", str(tmp_path / "out")]
    command += ["--model", str(weights), "--topk", "2", "--batch-size", "4", "--workers", "0"]
    try:
        with subprocess.Popen([*server, "--address", cluster.address]) as listening:
            try:
                done_there = subprocess.run([*command, "--on", f"ray://127.0.0.1:{port}"], check=False)
            finally:
                listening.terminate()
    finally:
        cluster.shutdown()
    assert done_there.returncode == 3, "some pictures have no answer"
    assert contents(tmp_path / "out") == contents(done[0])


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
def test_a_ray_node_that_is_lost_costs_nothing(ray_has_time, weights, awkward, tmp_path):
    from ray.cluster_utils import Cluster

    write_manifest([awkward[0]], tmp_path / "manifest", shard_images=1)
    expected = run(weights, tmp_path / "manifest", tmp_path / "expected")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    try:
        node = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        executor = executor_named(f"ray:{cluster.address}", 4)

        def losing(function, tasks):
            for number, count in enumerate(executor(function, tasks)):
                if number == 3:
                    cluster.remove_node(node, allow_graceful=False)
                yield count

        assert run(weights, tmp_path / "manifest", tmp_path / "out", executor=losing) == expected
    finally:
        cluster.shutdown()
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
def test_a_driver_of_ray_that_is_killed_costs_nothing(ray_has_time, weights, tmp_path):
    """Three times, each after so many more shards; the cluster stays, and ends the tasks of a driver that is gone."""
    from ray.cluster_utils import Cluster

    files, shards = 400, 40
    pictures, noise = tmp_path / "pictures", np.random.default_rng(8)
    pictures.mkdir()
    for number in range(files):
        Image.fromarray(noise.integers(0, 256, (20, 26, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
        if number % 100 == 7:
            (pictures / f"{number}.png").write_bytes(b"no picture")
    assert write_manifest([pictures], tmp_path / "list", shard_images=files // shards).shards == shards
    tally = run(weights, tmp_path / "list", tmp_path / "undisturbed")
    assert (tally.images, tally.errors) == (files, 4)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "resnexus", "predict", "--manifest", str(tmp_path / "list"), "--out", str(out)]
    command += ["--model", str(weights), "--topk", "2", "--batch-size", "4", "--workers", "0"]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 * 2**20})
    try:
        command += ["--on", f"ray:{cluster.address}", "--processes", "2"]
        for moment in (3, 10, 21):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as driver:
                while driver.poll() is None and len(contents(out)) < moment:
                    time.sleep(0.01)
                driver.kill()
            assert driver.returncode == -signal.SIGKILL, "it ended by itself"
            assert moment <= len(contents(out)) < shards
        assert subprocess.run(command, check=False).returncode == 3, "some pictures have no answer"
    finally:
        cluster.shutdown()
    assert verify(tmp_path / "list", out) == tally
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_folder_of_an_artefact_is_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    assert bulk.absolute("own") == "own"  # the name of a network
    (tmp_path / "own" / "resnexus.json").touch()
    assert bulk.absolute("own") == str(tmp_path / "own")


def test_a_file_that_is_called_as_a_network_takes_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ResNet_small", "ssld", "own.safetensors"):
        (tmp_path / name).touch()
    assert [bulk.absolute(name) for name in ("ResNet_small", "ssld")] == ["ResNet_small", "ssld"]
    assert bulk.absolute("own.safetensors") == str(tmp_path / "own.safetensors")
