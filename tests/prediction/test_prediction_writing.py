import csv
import io
import json
import sys

import pytest

from resnexus import ResnexusError
from resnexus.data.error_codes import ErrorCode
from resnexus.prediction.record import Prediction
from resnexus.prediction.settings import PredictionSettings
from resnexus.prediction.writing import check_out, writing

RECORDS = (
    Prediction(id=0, filename="=cmd()|.png", class_ids=(2, 0), scores=(0.75, 0.25), label_names=("@x", "b,c")),
    Prediction(id=1, filename="odd\udcff\n.png", error=ErrorCode.DAMAGED),
    Prediction(id=2, filename="c.png", class_ids=(1,), scores=(1.0,)),
)


def written(path, **options):
    settings = PredictionSettings(topk=2, **options)
    with writing(str(path), settings) as write:
        for record in RECORDS:
            write(record)
    return path


def test_json_lines(tmp_path):
    lines = written(tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [record.to_dict() for record in RECORDS]
    assert list(json.loads(lines[1])) == ["id", "filename", "class_ids", "scores", "label_names", "error"]
    assert json.loads(lines[1])["error"] == "damaged"


def test_a_line_on_standard_output_is_out_at_once(monkeypatch):
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="utf-8"))
    with writing("-", PredictionSettings()) as write:
        for count, record in enumerate(RECORDS, 1):
            write(record)
            assert len(pipe.getvalue().splitlines()) == count


def test_csv_has_columns_for_every_rank_and_no_formulas(tmp_path):
    with written(tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "id": "0",
        "filename": "'=cmd()|.png",
        "error": "",
        "class_id_1": "2",
        "score_1": "0.75",
        "label_name_1": "'@x",
        "class_id_2": "0",
        "score_2": "0.25",
        "label_name_2": "b,c",
    }
    assert (rows[1]["filename"], rows[1]["error"], rows[1]["score_1"]) == ("odd\\udcff\\n.png", "damaged", "")
    assert (rows[2]["class_id_1"], rows[2]["label_name_1"], rows[2]["class_id_2"]) == ("1", "", "")


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(written(tmp_path / "a.parquet")).to_pylist()
    assert rows[0] == RECORDS[0].to_dict()
    assert rows[1] == {**RECORDS[1].to_dict(), "filename": "odd\\udcff\\n.png"}
    assert written(tmp_path / "b.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()


def test_what_breaks_off_leaves_what_was_there(tmp_path):
    (tmp_path / "a.jsonl").write_text("before")

    def breaking_off():
        with writing(str(tmp_path / "a.jsonl"), PredictionSettings()) as write:
            write(RECORDS[0])
            raise KeyError

    with pytest.raises(KeyError):
        breaking_off()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert (tmp_path / "a.jsonl").read_text() == "before"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.txt", {}, r"unknown kind of file 'a.txt': accepted are \*\.csv, \*\.jsonl, \*\.parquet"),
        ("a.csv", {"embeddings": True}, "embeddings have no place in CSV"),
    ],
)
def test_files_that_cannot_hold_it(name, options, message):
    with pytest.raises(ResnexusError, match=message):
        check_out(name, PredictionSettings(**options))
