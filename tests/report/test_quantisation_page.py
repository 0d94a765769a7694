"""What the page of a quantisation says, from a record that is made up."""

from dataclasses import replace

import pytest

from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.errors import ResnexusError
from resnexus.evaluation.intervals import share
from resnexus.evaluation.significance import PairedAnswers
from resnexus.parity.agreement import Agreement
from resnexus.records import from_json, to_json
from resnexus.report.quantisation_page import (
    as_text,
    findings,
    form_table,
    left_table,
    render,
    step_table,
    write_quantisation,
)
from resnexus.report.quantisation_record import LeftLayer, QuantisationRecord, Step
from resnexus.report.table import to_markdown


def cell(precision, milliseconds):
    return Cell(
        model="Net", device="cpu", precision=precision, batch_size=1, engine="openvino", image_size=8,
        median_ms=milliseconds, p10_ms=milliseconds, p90_ms=milliseconds, repeats=6, rounds_ms=(milliseconds,) * 6,
    )  # fmt: skip


@pytest.fixture
def record():
    return QuantisationRecord(
        architecture="Net",
        weights="own.safetensors",
        weights_sha256=None,
        format="openvino",
        artefact="net.xml",
        data="photos",
        part="its images for evaluation",
        images_sha256="0" * 64,
        calibration_images=300,
        seed=0,
        max_drop=0.5,
        top1_fp32=share(180, 200),
        top1_int8=share(179, 200),
        paired=PairedAnswers(
            images=200, both=178, first_only=1, second_only=2, difference=-0.005, half_width=0.017, p_value=1.0
        ),
        agreement=Agreement(max_abs=0.5, max_rel=0.05, cosine=0.99876, top1=0.985),
        layers=("stem.0.conv", "head"),
        put_back=("a.conv",),
        left=(
            LeftLayer(name="gate.squeeze", why="a gate"),
            LeftLayer(name="gate.excite", why="a gate"),
            LeftLayer(name="a.conv", why="put back", sensitivity=0.0123),
        ),
        steps=(Step(put_back=0, int8=3, top1=0.85, drop=5.0), Step(put_back=1, int8=2, top1=0.895, drop=0.5)),
        bytes_fp32=4_000_000,
        bytes_int8=1_100_000,
        latency=(cell("fp32", 2.0), cell("bf16", 1.0), cell("int8", 0.8)),
        not_timed=(),
        command="resnexus quantize",
        environment=environment(),
        notes=(),
    )


def test_the_findings(record):
    assert findings(record) == [
        "89.50 % top-1 in int8 and 90.00 % in float32 on 200 validation images: −0.50 ± 1.70 points, 1 won and 2 lost, "
        "p 1.000 (McNemar). 0.50 points of loss were allowed, and one image is 0.50.",
        "The same first class for 98.5 % of the images; a logit differs by at most 5 % of the largest, and the "
        "smallest cosine is 0.9988.",
        "2 of 5 layers compute in int8 (2 not: a gate; 1 not: put back).",
        "1.10 MB against 4.00 MB in float32.",
        "Batch 1: 0.800 ms, 0.40 of the time of float32 (0.40 to 0.40), 0.80 of the time of bfloat16 (0.80 to 0.80).",
    ]


def test_what_was_not_timed_is_said(record):
    without = replace(record, latency=(), not_timed=("bf16 was not timed: why.",))
    assert findings(without)[-1] == "bf16 was not timed: why."
    assert len(form_table(without).rows) == 2


def test_the_tables(record):
    assert as_text(form_table(record)).splitlines() == [
        "Computes in  Top-1, %  95 % interval, %  Size, MB          Batch 1, ms",
        "float32         90.00    85.06 to 93.43      4.00  2.000 (2.000–2.000)",
        "bfloat16            –                 –         –  1.000 (1.000–1.000)",
        "int8            89.50    84.48 to 93.03      1.10  0.800 (0.800–0.800)",
    ]
    assert "| a.conv | put back | 1.2e-02 |" in to_markdown(left_table(record))
    assert "| 0 | 3 | 85.00 | +5.00 |" in to_markdown(step_table(record))
    assert step_table(replace(record, steps=record.steps[1:])) is None
    assert left_table(replace(record, left=())) is None


def test_the_page_lies_beside_the_artefact_and_is_the_records(record, tmp_path):
    page = write_quantisation(record, tmp_path / "net.xml")
    assert {path.name for path in tmp_path.iterdir()} == {"net.int8.html", "net.int8.json"}
    text = page.read_text()
    assert text == render(record)
    assert from_json(QuantisationRecord, to_json(record), "record") == record
    for words in ("Net in int8", "<code>resnexus quantize</code>", "a.conv", "stem.0.conv", "1.2e-02", "2.000"):
        assert words in text
    assert "http" not in text.replace("http-equiv", ""), "it opens offline"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "a quantisation has one layer in int8 at least"),
        ({"bytes_int8": 0}, "bytes_int8=0: expected"),
        ({"schema": 2}, "schema=2: expected 1; quantise again"),
    ],
)
def test_a_record_that_contradicts_itself(record, change, message):
    with pytest.raises(ResnexusError, match=message):
        replace(record, **change)
    with pytest.raises(ResnexusError, match="drop=nan: expected a finite number"):
        Step(put_back=0, int8=1, top1=0.5, drop=float("nan"))
