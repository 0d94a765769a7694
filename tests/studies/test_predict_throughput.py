import json
from pathlib import Path

import pytest
from torch import nn

from resnexus.prediction.predictor import Predictor
from studies import predict_throughput as study
from studies.loading import photographs
from studies.predict_throughput import PLAIN, TIMM, TORCHVISION, ours, summary, table, timms, torchvisions, turns
from tests.assessment.conftest import network, weights  # noqa: F401  # fixtures
from tests.measured import check_measured

ROOT = Path(__file__).parents[2]


def test_the_ratio_to_each_peer_is_formed_within_a_turn():
    rates = {PLAIN: [20.0, 60.0, 90.0], TORCHVISION: [10.0, 20.0, 30.0], TIMM: [40.0, 20.0, 45.0]}
    found = summary(rates)
    assert (found[PLAIN]["images_per_s"], found[PLAIN]["images_per_s_range"]) == (60.0, [20.0, 90.0])
    assert found[PLAIN]["over"] == {
        TORCHVISION: {"ratio": 3.0, "ratio_range": [2.0, 3.0]},
        TIMM: {"ratio": 2.0, "ratio_range": [0.5, 3.0]},
    }
    assert list(found[TORCHVISION]["over"]) == [TIMM]
    record = {
        "environment": {"cpu": "a processor", "cores": 2, "packages": {"torch": "2"}},
        "images": 3, "width": 5, "height": 4, "batch_size": 2, "rounds": 3, "ways": found,
    }  # fmt: skip
    *_, first, second, third = table(record).splitlines()
    assert first == "| resnexus predict | 60.0 (20.0 to 90.0) | 3.00 (2.00 to 3.00) | 2.00 (0.50 to 3.00) |"
    assert second == "| torchvision | 20.0 (10.0 to 30.0) |  | 0.67 (0.25 to 1.00) |"
    assert third.startswith("| timm | 40.0 (20.0 to 45.0) | 1.50")


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # timm's reader
def test_every_way_answers_for_every_picture(weights, tmp_path):  # noqa: F811  # the fixture
    pytest.importorskip("sklearn", reason="the photographs come with scikit-learn")
    pytest.importorskip("timm", reason="timm is optional: pip install 'resnexus[peers]'")
    folder = tmp_path / "pictures"
    (folder / "all").mkdir(parents=True)
    photographs(folder / "all", 3)
    predictor = Predictor(weights, topk=3)
    theirs = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 7))
    ways = {
        TORCHVISION: torchvisions(theirs, folder, 0),
        TIMM: timms(theirs, folder, 0),
        PLAIN: ours(lambda: predictor, folder, tmp_path / "records.jsonl"),
    }
    rates = turns(ways, 3, rounds=2)
    assert list(rates) == list(ways)
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 3
    with pytest.raises(RuntimeError, match="torchvision answered for 3 of 4 pictures"):
        turns(ways, 4, rounds=1)


def test_the_page_says_what_the_record_says():
    """RESNEXUS_WRITE_DOCS=1 writes the page anew."""
    records = sorted((ROOT / "results").glob("predict_cpu_*.json"))
    said = ""
    if records:
        record = json.loads(records[-1].read_text())
        assert not record["quick"]
        said = study.section(record)
    check_measured(ROOT / "docs" / "predict.md", "throughput", said)
