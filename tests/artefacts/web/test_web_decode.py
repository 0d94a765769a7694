"""Chromium decodes pictures as Python does, where it can, and refuses the same ones."""

import base64

import numpy as np
import pytest

from resnexus import Preprocess
from resnexus.artefacts.web.scripts import bundled
from tests import awkward
from tests.artefacts.web.conftest import from_base64

PREPROCESS = Preprocess(size=48, resize_short=56)

PREPARE = """async ([content, name, preprocess]) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  try {
    const bitmap = await decoded(new File([bytes], name));
    const plan = planned(bitmap.width, bitmap.height, preprocess);
    const pixels = resized(await pixelsOf(bitmap, plan.region), plan, preprocess);
    return { pixels: btoa(String.fromCharCode(...pixels)) };
  } catch (error) {
    if (error instanceof Refusal) return { code: error.code, message: error.message };
    throw error;
  }
}"""


@pytest.fixture(scope="module")
def prepare(chromium):
    page = chromium.new_page()
    names = "decoded, pixelsComeBack, pixelsOf, planned, Refusal, resized"
    page.add_script_tag(content=f"{bundled('worker.js')}\nObject.assign(window, {{ {names} }});", type="module")
    page.wait_for_function("window.decoded !== undefined")

    def run(name, content):
        return page.evaluate(PREPARE, [base64.b64encode(content).decode(), name, PREPROCESS.to_dict()])

    yield run
    assert page.evaluate("pixelsComeBack()")
    page.close()


def difference(prepare, name, content):
    found = prepare(name, content)
    assert "pixels" in found, (name, found)
    expected = PREPROCESS.frame(PREPROCESS.pixels(content)).ravel()
    return np.abs(from_base64(found["pixels"], np.uint8).astype(int) - expected)


@pytest.mark.parametrize("name", awkward.named(awkward.EXACT))
def test_a_lossless_picture_is_the_same_to_the_bit(prepare, name):
    assert difference(prepare, name, awkward.pictures()[name].content).max() == 0


@pytest.mark.parametrize("name", awkward.named(awkward.CLOSE))
def test_another_picture_is_the_same_to_a_shade(prepare, name):
    found = difference(prepare, name, awkward.pictures()[name].content)
    assert found.max() <= 3
    assert found.mean() < 0.5


@pytest.mark.parametrize("name", awkward.refused_by_pages())
def test_what_has_no_answer_is_refused_with_the_reason(prepare, name):
    picture = awkward.pictures()[name]
    found = prepare(name, picture.content)
    assert found.get("code") == picture.page
    assert found["message"].endswith((".", "can."))
