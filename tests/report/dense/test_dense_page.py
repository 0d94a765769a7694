import base64
import io
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError
from resnexus.records import read_json
from resnexus.report.dense import page
from resnexus.report.dense.page import write_dense_report
from resnexus.report.dense.pictures import COLOURS, described, picture
from resnexus.report.dense.record import Box, DenseComparison, DenseRun, Example, Scene
from resnexus.report.document import Drawing, is_report

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1"/>'
EXAMPLE = Example(pixels=("00408000", "ff20c0e0"), truth=Scene(classes=(".77.", "3...")))


def pixels(svg):
    content = base64.b64decode(re.search(r'base64,([^"]+)"', svg).group(1))
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def test_masks_colour_their_own_pixels_alone():
    found = pixels(picture(EXAMPLE, EXAMPLE.truth, "truth"))
    assert found.shape == (2, 4, 3)
    assert (found[0, 0] == 0).all()
    assert (found[1, 3] == 0xE0).all()
    expected = 0.25 * 0x40 + 0.75 * np.array(list(bytes.fromhex(COLOURS["7"][1:])))
    np.testing.assert_allclose(found[0, 1], expected, atol=0.5)


def test_boxes_are_drawn_where_they_are():
    scene = Scene(boxes=(Box(left=0.5, top=0, right=2, bottom=1.5, label="<7>", score=0.5),))
    svg = picture(EXAMPLE, scene, 'a "title"')
    assert '<rect x="0.5" y="0" width="1.50" height="1.50"' in svg
    assert "&lt;7&gt;</text>" in svg
    assert 'aria-label="a &quot;title&quot;"' in svg
    assert (pixels(svg)[..., 0] == [[0, 0x40, 0x80, 0], [0xFF, 0x20, 0xC0, 0xE0]]).all()
    assert described(scene) == "<7>"
    assert described(EXAMPLE.truth) == "3, 7"
    assert described(Scene()) == "nothing"


@pytest.mark.parametrize(
    ("right", "label", "x", "anchor"),
    [
        (50.0, "7", 50.8, "start"),  # 3 wide, right of the box
        (62.0, "7", 61.2, "end"),  # ends with the box
        (30.0, "traffic light", 39.8, "end"),  # 39 wide: neither fits, so it begins where the image does
        (60.0, "traffic light", 59.2, "end"),
        (8.0, "traffic light", 8.8, "start"),
    ],
)
def test_labels_stay_within_the_image(right, label, x, anchor):
    wide = Example(pixels=("00" * 64,), truth=Scene())
    svg = picture(wide, Scene(boxes=(Box(left=1, top=0, right=right, bottom=1, label=label),)), "")
    assert f'<text x="{x:.2f}" y="4.00" text-anchor="{anchor}"' in svg


def test_long_labels_are_cut_in_the_picture_alone():
    scene = Scene(boxes=(Box(left=1, top=0, right=2, bottom=1, label="a" * 30),))
    assert f">{'a' * 15}…</text>" in picture(EXAMPLE, scene, described(scene))
    assert f'aria-label="{"a" * 30}"' in picture(EXAMPLE, scene, described(scene))


@pytest.fixture
def _undrawn(monkeypatch):
    monkeypatch.setattr(page, "drawn", lambda figure: Drawing(figure=figure, wide=SVG, narrow=SVG))
    monkeypatch.setattr(page, "rasterise", lambda svg: b"")


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_the_page(build, tmp_path, task):
    comparison = build(task)
    text = write_dense_report(comparison, tmp_path).read_text()
    assert is_report(tmp_path / "index.html")
    assert f"<h1>{task.capitalize()} with ResNet" in text
    assert text.count('<svg class="picture"') == 4  # the truth and three networks
    assert text.count("<figcaption>ResNeXt_<wbr>small</figcaption>") == 1
    assert 'aria-label="Truth, canvas 1: ' in text
    assert "Better than ResNet_small: ResNeXt_small" in text
    assert ("mAP is COCO&#39;s" in text or "mAP is COCO's" in text) == (task == "detection")
    assert ("mIoU is the intersection" in text) == (task == "segmentation")
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert read_json(DenseComparison, tmp_path / "results.json") == comparison
    assert (tmp_path / "tables" / f"{task}_scores.md").read_text().count("\n| ResN") == 2


@pytest.mark.thorough
def test_the_charts_can_be_drawn(build, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "rasterise", cache(lambda svg: svg.encode()))
    text = write_dense_report(build(), tmp_path).read_text()
    assert text.count('<figure class="chart">') == 3
    assert "Training loss" in text
    assert "mIoU in the course of the training" in text
    assert (tmp_path / "figures" / "segmentation_loss.svg").read_text().startswith("<svg")


def test_records_refuse_what_cannot_be(build):
    run = build().networks[0].runs[0]
    with pytest.raises(ResnexusError, match="expected fractions"):
        DenseRun(**vars(run) | {"scores": {"miou": 1.2}})
    with pytest.raises(ResnexusError, match="expected fractions"):
        DenseRun(**vars(run) | {"scores": {}})
    with pytest.raises(ResnexusError, match="at least one"):
        DenseComparison(**vars(build()) | {"networks": ()})
    with pytest.raises(ResnexusError, match="schema=2: expected 1"):
        DenseComparison(**vars(build()) | {"schema": 2})


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_page_of_photographs_says_nothing_of_digits(build, tmp_path, task):
    plain = build(task)
    coloured = replace(plain.examples[0], pixels=tuple(row * 3 for row in plain.examples[0].pixels), colour=True)
    comparison = replace(plain, data="voc:pets", classes=(*"abcdefg", "wolf"), examples=(coloured,))
    text = write_dense_report(comparison, tmp_path).read_text()
    assert "512 photographs of voc:pets at 64x64 pixels and evaluated on 200 photographs" in text
    for word in ("canvas", "digits on", "handwritten", "ten digits", "glyph"):
        assert word not in text.lower(), word
    assert 'aria-label="Truth, photograph 1: ' in text
    assert text.count("</span>wolf</li>") == (task == "segmentation")
    assert "</span>e</li>" not in text  # no pixel of it is shown
    assert read_json(DenseComparison, tmp_path / "results.json") == comparison


def test_an_example_in_colour():
    example = Example(pixels=("ff0000" + "00ff00", "0000ff" + "102030"), colour=True, truth=Scene(classes=("..", ".?")))
    found = pixels(picture(example, example.truth, "truth"))
    assert found.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [16, 32, 48]]]
    assert described(Scene(classes=(".1?",)), {"0": "cat", "1": "dog"}) == "dog"
    assert len(set(COLOURS.values())) > 200
