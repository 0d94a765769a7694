from dataclasses import replace

import pytest

from resnexus.errors import ResnexusError
from resnexus.records import RecordError, read_json, write_json
from resnexus.report.evaluation_record import EvaluationRecord
from tests.report.evaluated import build


def test_a_record_is_read_as_it_was_written(tmp_path):
    write_json(build(), tmp_path / "evaluation.json")
    assert read_json(EvaluationRecord, tmp_path / "evaluation.json") == build()


def test_impossible_values_are_refused(tmp_path):
    with pytest.raises(ResnexusError, match="predictions_sha256='00': expected 64 hexadecimal digits"):
        build(predictions_sha256="00")
    with pytest.raises(ResnexusError, match="schema=2: expected 1; evaluate again with this version"):
        build(schema=2)
    with pytest.raises(ResnexusError, match="kind='colour': expected 'size' or 'sensitivity'"):
        replace(build().variations[0], kind="colour")
    write_json(build(), tmp_path / "e.json")
    text = (tmp_path / "e.json").read_text().replace('"right": 4', '"right": 40', 1)
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(RecordError, match=r"top1: right=40, images=6: expected 0 <= right <= images"):
        read_json(EvaluationRecord, tmp_path / "e.json")
