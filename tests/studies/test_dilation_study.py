import json
from pathlib import Path

import pytest

from resnexus import architecture

pytest.importorskip("timm", reason="timm is optional: pip install 'resnexus[peers]'")
from studies.dilation import PAIRS, table
from tests.measured import check_measured

ROOT = Path(__file__).parents[2]
(RECORD,) = (json.loads(path.read_text()) for path in (ROOT / "results").glob("dilation_cpu_*.json"))


def test_the_page_says_what_the_record_says():
    check_measured(ROOT / "docs" / "backbones.md", "dilation", f"\n{table(RECORD)}\n\n")


def test_ours_are_exact_but_for_gates_and_timms_but_where_nothing_is_pooled():
    assert [(pair["ours"]["name"], pair["timm"]["name"]) for pair in RECORD["pairs"]] == list(PAIRS)
    for pair in RECORD["pairs"]:
        row = architecture(pair["ours"]["name"])
        ours, theirs = (max(found["difference"] for found in pair[side]["differences"]) for side in ("ours", "timm"))
        if row.se_reduction is not None:
            assert min(ours, theirs) > 1e-3
        else:
            assert ours < 1e-12
            assert (theirs > 1e-3) == (row.shortcut == "pool" or row.block == "res2")
