from dataclasses import replace

import pytest

from resnexus import Preprocess, ResnexusError
from resnexus.artefacts.record import ArtefactRecord, Int8, Interface, model_info, read_text, record_text
from resnexus.parity.agreement import Agreement
from resnexus.weights.checkpoint_file import CheckpointRecord

GREY = Preprocess(mean=(0.5,), std=(0.25,))


@pytest.fixture
def record(tiny):
    return ArtefactRecord(
        format="onnx",
        row=tiny.architecture,
        weights="own.safetensors",
        weights_sha256="0" * 64,
        trained=CheckpointRecord(metrics={"top1": 0.5}),
        classes=("Käfer", 'a "quoted"\nname'),
        preprocess=GREY,
        interface=Interface(in_chans=1),
        rewrites=("fold_batch_norm",),
        opset=20,
        versions={"torch": "2"},
        agreement=Agreement(max_abs=1e-6, max_rel=1e-7, cosine=1.0, top1=1.0),
    )


def test_it_is_one_line_of_ascii_and_comes_back(record):
    text = record_text(record)
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert read_text(text, "here") == record
    with pytest.raises(ResnexusError, match="here: preprocess: size"):
        read_text(text.replace('"size": 224', '"size": 0'), "here")


def test_what_computes_in_int8(record):
    found = replace(record, int8=Int8(layers=("stem.0.conv",), left=("head",), drop=-0.25, images=400))
    assert read_text(record_text(found), "here") == found
    with pytest.raises(
        ResnexusError, match=r"here: int8: layers=\(\): an artefact in int8 has one layer in int8 at least"
    ):
        read_text(record_text(found).replace('"layers": ["stem.0.conv"]', '"layers": []'), "here")


def test_what_other_programs_read(record):
    assert model_info(record) == {
        "model_type": "Classification",
        "labels": 'Käfer a_"quoted"_name',
        "mean_values": "127.5",
        "scale_values": "63.75",
    }
    whole = replace(record, classes=None, interface=Interface(included="normalise", in_chans=1, multi_label=True))
    assert model_info(whole) == {"model_type": "Classification", "multilabel": "True"}


@pytest.mark.parametrize(
    ("interface", "shape", "outputs"),
    [
        (Interface(), "(N, 3, 224, 224) float32", ("logits",)),
        (Interface(included="normalise", heatmap=True), "(N, 224, 224, 3) uint8", ("probabilities", "heatmap")),
        (Interface(included="full"), "(H, W, 3) uint8", ("probabilities",)),
        (Interface(batch="one", image_size=32), "(1, 3, 32, 32) float32", ("logits",)),
        (Interface(included="normalise", batch="one", in_chans=1), "(1, 224, 224, 1) uint8", ("probabilities",)),
        (
            Interface(sizes="multiples-of-32"),
            "(N, 3, multiple of 32, multiple of 32) float32",
            ("logits",),
        ),
    ],
)
def test_what_goes_in_and_comes_out(interface, shape, outputs):
    assert (interface.shape, interface.outputs) == (shape, outputs)
