import json
import subprocess
import sys
from dataclasses import replace

import pytest

from resnexus import ResnexusError
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.comparison.series import published_series
from resnexus.files import write_text
from resnexus.records import read_json, to_json, write_json
from resnexus.report.record import Comparison, Run, TrainedNetwork

CELL = Cell(
    model="a", device="cpu", precision="bf16", batch_size=4, engine="eager", image_size=8, median_ms=2.0, p10_ms=1.5,
    p90_ms=3.25, repeats=9, agreement=0.001,
)  # fmt: skip
RUN = Run(
    seed=0, top1=0.9, top5=1.0, images=10, skipped=("a.jpg: is truncated",), skipped_in_training=(), epochs=2,
    seconds=1.5,
)  # fmt: skip


def comparison():
    return Comparison(
        data="digits",
        classes=10,
        chance=0.2,
        train_images=20,
        val_images=10,
        split="",
        ignored=(),
        settings={"epochs": 2, "weights": None},
        environment=environment(),
        networks=(
            TrainedNetwork(
                name="a",
                family="ResNet",
                line="a",
                image_size=8,
                gflops=0.1,
                mparams=0.2,
                runs=(RUN, replace(RUN, seed=1)),
            ),
        ),
        latency=(CELL, replace(CELL, agreement=None)),
        series=published_series(),
        series_latency=(),
        quick=True,
    )


def test_a_record_survives_its_json(tmp_path):
    record, path = comparison(), tmp_path / "deep" / "results.json"
    write_json(record, path)
    assert read_json(Comparison, path) == record
    assert path.read_text() == to_json(record) + "\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("repeats"), r"cell.json: repeats: it is missing"),
        (lambda content: content.update(rounds_ms="abc"), r'rounds_ms: expected a list, found "abc"'),
        (lambda content: content.update(rounds_ms=[1.0, "2"]), r'rounds_ms\[1\]: expected a number, found "2"'),
        (lambda content: content.update(median_ms=0), r"a time of 0.0 ms: expected more than 0"),
        (lambda content: content.update(batch_size=True), r"batch_size: expected a whole number, found true"),
        (lambda content: content.update(p10_ms=10**400), r"p10_ms: expected a number that fits 64 bits"),
        (
            lambda content: content.update(medain_ms=1),
            r"cell.json: unknown field of Cell 'medain_ms': did you mean 'median_ms'",
        ),
    ],
)
def test_other_fields_are_refused(tmp_path, change, message):
    content = json.loads(to_json(CELL))
    change(content)
    (tmp_path / "cell.json").write_text(json.dumps(content))
    with pytest.raises(ResnexusError, match=message):
        read_json(Cell, tmp_path / "cell.json")


def test_no_json(tmp_path):
    with pytest.raises(ResnexusError, match=r"cannot read .*missing.json: No such file"):
        read_json(Cell, tmp_path / "missing.json")
    (tmp_path / "half.json").write_text('{"model": "a"')
    with pytest.raises(ResnexusError, match=r"half.json is not JSON"):
        read_json(Cell, tmp_path / "half.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ResnexusError, match=r"list.json: expected an object, found a list"):
        read_json(Cell, tmp_path / "list.json")


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ResnexusError, match=r"cannot write .*file/results.json: .*Choose another folder"):
        write_text("x", tmp_path / "file" / "results.json")
    assert (tmp_path / "file").read_text() == "kept"


FULL_DISK = """
import resource, sys
from pathlib import Path
from resnexus.files import write_text
from resnexus.errors import ResnexusError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text("x" * 5000, Path(sys.argv[1]))
except ResnexusError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert "results.json: File too large. Choose another folder" in done.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_environment_names_machine_and_versions():
    found = environment()
    assert found.cores >= 1
    assert found.threads >= 1
    assert found.packages["torch"].startswith("2.")
    assert found.date.endswith("+00:00")
    assert found.cpu
