"""What an evaluation writes, and what it does not write over."""

import json
import shutil

import pytest

from resnexus import ResnexusError
from resnexus.assessment.assess import assess
from resnexus.assessment.folder import check_folder, read_evaluation
from resnexus.claim import claimed
from resnexus.comparison.folder import claimed_for_report
from resnexus.progress import Silent
from resnexus.report.document import is_report
from resnexus.report.evaluation_page import GENERATOR


@pytest.fixture(scope="module")
def written(weights, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "evaluation"
    return out, assess(weights, pictures, out=out)


def test_record_and_logits_are_read_again(written):
    out, found = written
    record, predictions = read_evaluation(out)
    assert record == found.record
    assert predictions.digest == found.record.predictions_sha256
    assert read_evaluation(out / "evaluation.json")[0] == record
    assert is_report(out / "index.html", GENERATOR)
    assert {path.name for path in out.iterdir()} == {
        ".lock",
        "evaluation.json",
        "index.html",
        "predictions.npz",
        "tables",
    }


def test_the_same_evaluation_is_written_again(written, weights, pictures):
    out, found = written
    before = (out / "predictions.npz").read_bytes()
    again = assess(weights, pictures, out=out)
    assert (out / "predictions.npz").read_bytes() == before
    assert again.record.predictions_sha256 == found.record.predictions_sha256


@pytest.mark.parametrize("name", ["index.html", "predictions.npz"])
def test_what_is_not_ours_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ResnexusError, match=rf"{name} has no evaluation\.json beside it, so it is not ours to replace"):
        check_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_record_of_another_kind_is_left_alone(tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps({"images": 3}))
    with pytest.raises(ResnexusError, match=r"no evaluation of ours: .*evaluation\.json"):
        check_folder(tmp_path)
    with pytest.raises(ResnexusError, match=r"no evaluation of ours: .*No such file"):
        read_evaluation(tmp_path / "nowhere")


def test_a_comparison_does_not_replace_an_evaluation(written):
    with (
        pytest.raises(ResnexusError, match=r"index\.html is no report of ours"),
        claimed_for_report(written[0], Silent()),
    ):
        pass


def test_a_page_of_ones_own_is_left_alone(written, tmp_path):
    shutil.copytree(written[0], tmp_path / "copy")
    check_folder(tmp_path / "copy")
    (tmp_path / "copy" / "index.html").write_text("mine")
    with pytest.raises(ResnexusError, match=r"index\.html is no page of an evaluation and is not overwritten"):
        check_folder(tmp_path / "copy")


def test_logits_of_another_evaluation_are_not_believed(written, weights, pictures, tmp_path):
    out, _ = written
    shutil.copytree(out, tmp_path / "copy")
    assess(weights, pictures / "val", out=tmp_path / "other")
    shutil.copy(tmp_path / "other" / "predictions.npz", tmp_path / "copy" / "predictions.npz")
    with pytest.raises(ResnexusError, match="was changed after its evaluation, or its record is another's"):
        read_evaluation(tmp_path / "copy")


def test_one_process_evaluates_in_a_folder(weights, pictures, tmp_path):
    with (
        claimed(tmp_path, busy="another process evaluates in"),
        pytest.raises(ResnexusError, match=f"another process evaluates in {tmp_path}: wait for it"),
    ):
        assess(weights, pictures, out=tmp_path)
    assert not (tmp_path / "index.html").exists()
