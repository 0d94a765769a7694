"""The page's scripts: put together whole, and right in what they compute."""

import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus.artefacts.web.scripts import bundled
from resnexus.data.error_codes import ErrorCode
from resnexus.data.images import FORMATS, load_pixels
from resnexus.data.sources import ImageError
from tests import awkward
from tests.artefacts.web.conftest import SCRIPTS, as_base64


@pytest.mark.parametrize("entry", ["page.js", "worker.js"])
def test_a_bundle_is_one_script_that_a_page_can_hold(entry, tmp_path):
    text = bundled(entry)
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)
    assert "</script" not in text.lower()
    assert "<!--" not in text
    assert not re.search(r"https?://(?!localhost:8000)", text)
    if node := shutil.which("node"):
        (tmp_path / "bundle.mjs").write_text(text)
        subprocess.run([node, "--check", tmp_path / "bundle.mjs"], check=True)


def test_a_module_comes_once_and_before_what_needs_it():
    text = bundled("worker.js")
    for name in ("function clamp", "function planned", "class Refusal", "function formatOf"):
        assert text.count(name) == 1, name
    assert text.index("function clamp") < text.index("function linearTaps") < text.index("function planned")
    assert text.index("class Refusal") < text.index("async function decoded") < text.index("self.onmessage")


def test_every_script_is_used():
    both = bundled("page.js") + bundled("worker.js")
    for path in SCRIPTS.glob("*.js"):
        assert path.read_text().splitlines()[0] in both, path.name


ANSWERS = """
const { asJsonLines, duration, percent, sharesOf, sigmoid, softmax, top } = await import("./answers.js");
process.stdout.write(JSON.stringify({
  shares: Array.from(softmax(Float32Array.from(given.logits))),
  each: Array.from(sigmoid(Float32Array.from(given.logits))),
  top: top(Float64Array.from([0.1, 0.3, 0.3, 0.3]), 3),
  single: top(softmax([4.2]), 5),
  codes: given.broken.map((multiLabel) => {
    try {
      return sharesOf(Float32Array.from([0, NaN, 1]), multiLabel);
    } catch (error) {
      return error.code;
    }
  }),
  both: [false, true].map((multiLabel) => Array.from(sharesOf(Float32Array.from(given.logits), multiLabel))),
  percents: [0, 0.0004, 0.001, 0.12345, 0.9992, 1].map(percent),
  times: [0.4, 163.4, 999.4, 1250].map(duration),
  lines: asJsonLines([
    { filename: "a.png", answers: [{ index: 1, share: 0.75 }, { index: 0, share: 0.25 }], error: null },
    { filename: "b.png", answers: [], error: "damaged" },
  ], ["cat", "dog"]),
}));
"""


def test_answers_are_those_of_the_logits(node):
    logits = [0.5, -2.0, 88.0, 87.5, 87.5]
    found = node(ANSWERS, {"logits": logits, "broken": [False, True]})
    tensor = torch.tensor(logits, dtype=torch.float64)
    np.testing.assert_allclose(found["shares"], tensor.softmax(0), rtol=1e-12)
    np.testing.assert_allclose(found["each"], tensor.sigmoid(), rtol=1e-12)
    assert found["both"] == [found["shares"], found["each"]]
    assert found["codes"] == ["not_finite", "not_finite"]
    assert [entry["index"] for entry in found["top"]] == [1, 2, 3]
    assert found["single"] == [{"index": 0, "share": 1}]
    assert found["percents"] == ["0.0 %", "< 0.1 %", "0.1 %", "12.3 %", "> 99.9 %", "100.0 %"]
    assert found["times"] == ["0 ms", "163 ms", "999 ms", "1.3 s"]
    assert found["lines"] == (
        '{"id":0,"filename":"a.png","class_ids":[1,0],"scores":[0.75,0.25],"label_names":["dog","cat"],"error":null}\n'
        '{"id":1,"filename":"b.png","class_ids":[],"scores":[],"label_names":[],"error":"damaged"}\n'
    )


HEAT = """
const { heatPixels } = await import("./heat.js");
process.stdout.write(JSON.stringify(given.map((map) => Array.from(heatPixels(map)))));
"""


def test_heat_is_clear_where_nothing_speaks_for_the_class(node):
    warm, cold = node(HEAT, [[-1, 0, 1, 2], [-3, -1, 0, 0]])
    warm = np.array(warm).reshape(4, 4)
    assert warm[:, 3].tolist() == [0, 0, 92, 184]  # 0.72 of 255 for the hottest, and half of that
    assert warm[3, :3].tolist() == [252, 253, 191]
    assert warm[2, :3].tolist() == [205, 64, 113]
    assert not np.array(cold).reshape(4, 4)[:, 3].any()


CONTAINER = """
const { formatOf, hasFourInks, isWhole } = await import("./container.js");
process.stdout.write(JSON.stringify(given.map((text) => {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  const format = formatOf(bytes);
  return [format, isWhole(bytes, format), format === "JPEG" && hasFourInks(bytes)];
})));
"""


def encoded(kind, mode="RGB", **options):
    file = io.BytesIO()
    pixels = np.random.RandomState(1).randint(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def looked_at(node, files):
    return node(CONTAINER, [as_base64(np.frombuffer(file, np.uint8)) for file in files])


def test_a_format_is_told_from_the_bytes(node):
    nothing = [b"", b"<html>", b"RIFF1234WAVE", b"\xff\xd8"]
    inks = [encoded("JPEG", "CMYK"), encoded("JPEG", "L")]
    found = looked_at(node, [*map(encoded, FORMATS), *nothing, *inks])
    assert found[: len(FORMATS)] == [[kind, True, False] for kind in FORMATS]
    assert [format_ for format_, _, _ in found[len(FORMATS) : -2]] == [None] * 4
    assert found[-2:] == [["JPEG", True, True], ["JPEG", True, False]]


def branded(major, *compatible):
    """An AVIF that calls itself otherwise: the first brand, and those that it is compatible with."""
    plain = encoded("AVIF")
    size = int.from_bytes(plain[:4], "big")
    room = size // 4 - 4
    brands = (*compatible, *[b"miaf"] * room)[:room]
    return plain[:8] + major + plain[12:16] + b"".join(brands) + plain[size:]


def test_avif_is_told_from_heic_as_in_python(node):
    files = {
        branded(b"avif", b"mif1"): "AVIF",
        branded(b"mif1", b"miaf", b"avif"): "AVIF",
        branded(b"msf1", b"avif"): "AVIF",
        branded(b"mif1", b"heic"): None,
        branded(b"mif1"): None,
        branded(b"heic", b"mif1", b"avif"): None,
        branded(b"avix", b"avif"): None,
    }
    assert [kind for kind, _, _ in looked_at(node, files)] == list(files.values())
    for file, kind in files.items():
        if kind:
            assert load_pixels(file).shape == (40, 56, 3)
        else:
            with pytest.raises(ImageError, match="not one of JPEG"):
                load_pixels(file)
    sequences = [branded(b"avis", b"msf1"), branded(b"msf1", b"avis"), branded(b"msf1", b"hevc")]
    assert [kind for kind, _, _ in looked_at(node, sequences)] == ["AVIF", "AVIF", None]


def test_a_file_that_was_cut_is_told_from_a_whole_one(node):
    thumbnail = encoded("JPEG", quality=20)
    kinds = [
        encoded("JPEG"),
        encoded("JPEG", progressive=True),
        encoded("JPEG", "L"),
        encoded("JPEG", exif=b"Exif\0\0" + thumbnail),  # whose end is not the end of the picture
        encoded("PNG"),
        encoded("WEBP"),
    ]
    files = []
    for whole in kinds:
        files += [whole, whole + b"more", *(whole[: len(whole) * share // 100] for share in (30, 60, 90)), whole[:-1]]
    assert [is_whole for _, is_whole, _ in looked_at(node, files)] == [True, True, *[False] * 4] * len(kinds)


SIZES = """
const { formatOf, sizeOf } = await import("./container.js");
process.stdout.write(JSON.stringify(given.map((text) => {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  const size = sizeOf(bytes, formatOf(bytes));
  return size && [size.width, size.height];
})));
"""


def sizes(node, files):
    return node(SIZES, [as_base64(np.frombuffer(file, np.uint8)) for file in files])


def test_a_size_is_told_before_anything_is_decoded(node):
    files = [encoded(kind) for kind in FORMATS if kind not in ("AVIF", "TIFF")]
    files += [encoded("WEBP", lossless=True), encoded("WEBP", exif=b"Exif\0\0II*\0"), encoded("JPEG", progressive=True)]
    files += [encoded("JPEG", exif=b"Exif\0\0" + encoded("JPEG", quality=20))]
    bmp = bytearray(encoded("BMP"))
    bmp[22:26] = (-40).to_bytes(4, "little", signed=True)  # its rows begin at the top
    assert sizes(node, [*files, bytes(bmp)]) == [[56, 40]] * (len(files) + 1)
    large = awkward.pictures()
    found = sizes(node, [large[name].content for name in ("huge.png", "huge.jpg", "bomb.png", "long.png")])
    assert found == [[12_000, 9_000], [12_000, 9_000], [60_000, 60_000], [70_000, 1]]
    assert sizes(node, [file[:12] for file in files] + [encoded("AVIF")]) == [None] * (len(files) + 1)


def test_the_codes_are_those_of_predict_and_the_documentation_says_them():
    text = (SCRIPTS / "refusal.js").read_text() + (SCRIPTS / "page.js").read_text()
    reasons = text.partition("const REASONS = {")[2].partition("\n};")[0]
    codes = set(re.findall(r'\[\s*"(\w+)",', reasons))
    assert codes == {"empty", "too_large", "unknown_format", "damaged", "unsupported_pixels", "not_finite"}
    assert codes <= {code.value for code in ErrorCode}
    own = set(re.findall(r'error(?: =|:) "(\w+)"', text))
    assert own == {"waiting", "failed"}
    page = (Path(__file__).parents[3] / "docs" / "web.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) >= codes | own
    assert {picture.page for picture in awkward.pictures().values()} <= codes | {awkward.EXACT, awkward.CLOSE}


CAMERA = """
const { openCamera } = await import("./camera.js");
const parts = { video: { play: () => given.plays ? Promise.resolve() : Promise.reject(new Error("aborted")) } };
const dialog = {
  open: false,
  querySelector: (name) => (parts[name] ??= {}),
  showModal() { this.open = true; },
  close() { this.open = false; this.onclose(); },
};
const streams = [];
let allowed = false;
globalThis.document = { getElementById: () => dialog };
Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: { getUserMedia: async () => {
  if (!allowed) throw new Error("denied");
  const track = { live: true, stop() { this.live = false; } };
  streams.push(track);
  return { getTracks: () => [track] };
} } } });
const refused = await openCamera().catch((error) => error.message);
allowed = true;
const opening = [openCamera(), openCamera()];
if (!given.plays) { await Promise.resolve(); await Promise.resolve(); dialog.open && dialog.close(); }
await Promise.all(opening);
const shutter = parts[".shutter"].disabled;
if (dialog.open) dialog.close();
const first = streams.map(({ live }) => live);
await openCamera();
process.stdout.write(JSON.stringify({ refused, shutter, first, streams: streams.length }));
"""


@pytest.mark.parametrize("plays", [True, False], ids=["it plays", "it is closed before"])
def test_one_stream_of_the_camera_is_open_at_a_time(node, plays):
    found = node(CAMERA, {"plays": plays})
    assert found["refused"] == "There is no camera, or the browser was not allowed to use it."
    assert (found["first"], found["streams"]) == ([False], 2)  # one for two clicks, and another one afterwards
    assert found["shutter"] is not plays
