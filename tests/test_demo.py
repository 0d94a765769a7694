"""What `make demo` does after the comparison, on a network that was not trained."""

import json
import re
import shlex
from pathlib import Path

import pytest

from resnexus import Architecture, open_dataset
from resnexus.comparison.best import keep_examples
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from tests.artefacts.web.test_web_format import stand_in  # noqa: F401  # in place of ONNX Runtime Web
from tests.test_docs import ROOT

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

COMMAND = re.compile(r"^\t\$\(BIN\)/resnexus (.*?)(?: \\)?$", re.MULTILINE)


@pytest.fixture
def report(random_network, tmp_path, monkeypatch):
    """What a comparison leaves beside its page, in the folder where the commands are run."""
    monkeypatch.chdir(tmp_path)
    splits = open_dataset("digits")
    row = Architecture(name="own", block="basic", depths=(1,), width=8, out_width=8, stem="small", stem_width=8)
    network = random_network(row, num_classes=10, in_chans=1).float()
    record = CheckpointRecord(architecture=row, classes=splits.classes, preprocess=splits.preprocess)
    write_checkpoint(network.state_dict(), Path("report/best.safetensors"), record)
    keep_examples(splits.val, Path("report"))


def test_the_demo_ends_with_an_answer_and_a_page(report, stand_in, command):  # noqa: F811  # the fixture
    recipe = (ROOT / "Makefile").read_text().partition("\ndemo:")[2].partition("\n\n")[0]
    compare, predict, export = map(shlex.split, COMMAND.findall(recipe))
    assert compare == ["compare", "--data", "digits", "--out", "report"]
    done = command(*predict, "--workers", "0")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["filename"], found["error"]) == ("report/examples/7.png", None)
    assert len(found["label_names"]) == 3
    assert set(found["label_names"]) < set("0123456789")
    done = command(*export)
    assert done.returncode == 0, done.stderr
    assert 'id="embedded-model"' in Path("report/best.html").read_text()
