"""The whole evaluation, against the plain one and the network itself."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from resnexus import Architecture, ResnexusError, evaluate, open_dataset
from resnexus.assessment.assess import assess
from resnexus.assessment.passes import Passes
from resnexus.assessment.settings import AssessmentSettings
from resnexus.data.preprocess import Preprocess
from resnexus.evaluation.corruptions.table import CORRUPTIONS
from resnexus.evaluation.metrics import top_k_correct
from resnexus.evaluation.seen import content_hash
from resnexus.evaluation.variations import at_size, sensitivities
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from tests.assessment.conftest import CLASSES, PREPROCESS


@pytest.fixture(scope="module")
def found(weights, pictures):
    settings = AssessmentSettings(
        sizes=(24,), sensitivity=True, corruptions=("gaussian_noise", "contrast"), severities=(1, 4), batch_size=5
    )
    return assess(weights, pictures, settings=settings)


def test_the_figures_are_those_of_the_plain_evaluation(found, network, pictures):
    plain = evaluate(network, open_dataset(pictures, PREPROCESS).val)
    assert (found.record.top1.value, found.record.top5.value) == (plain.top1, plain.top5)
    assert found.record.images.count == plain.images == 24
    assert 0 < plain.top1 < 1


def test_the_logits_are_those_of_the_network(found, network, pictures):
    predictions = found.predictions
    assert predictions.files[0] == "val/blue/0.png"
    images = torch.stack([PREPROCESS(pictures / name) for name in predictions.files])
    with torch.no_grad():
        expected = network(images)
    assert torch.allclose(predictions.logits, expected, rtol=1e-4, atol=1e-5)
    assert [predictions.classes[label] for label in predictions.labels] == [
        name.split("/")[1] for name in predictions.files
    ]
    assert predictions.sha256[3] == content_hash(pictures / predictions.files[3]).hex()


def test_classes_and_confusions_count_the_same_answers(found):
    record, predictions = found.record, found.predictions
    answers = predictions.logits.argmax(1)
    for one in record.classes:
        own = predictions.labels == CLASSES.index(one.name)
        assert (one.top1.right, one.top1.images) == (
            int((answers[own] == predictions.labels[own]).sum()),
            int(own.sum()),
        )
    assert sum(one.top1.right for one in record.classes) == record.top1.right
    worst = record.confusions[0]
    pair = (predictions.labels == CLASSES.index(worst.label)) & (answers == CLASSES.index(worst.predicted))
    assert worst.images == int(pair.sum())
    assert set(worst.files) <= {predictions.files[place] for place in pair.nonzero()[:, 0]}
    assert sum(one.images for one in record.confusions) == record.top1.images - record.top1.right
    assert set(found.thumbnails) == {file for one in record.confusions for file in one.files}


def test_other_preparations_are_evaluations_of_their_own(found, network, pictures):
    ways = {"24 pixels": at_size(PREPROCESS, 24)} | sensitivities(PREPROCESS)
    assert [one.name for one in found.record.variations] == list(ways)
    for one in found.record.variations:
        plain = evaluate(network, open_dataset(pictures, ways[one.name]).val)
        assert (one.preprocess, one.top1.value) == (ways[one.name], plain.top1)
        assert one.paired.difference == pytest.approx(plain.top1 - found.record.top1.value)


def test_corrupted_pictures_are_those_of_the_table(found, network, pictures):
    record = found.record
    assert [(one.name, one.severity) for one in record.corruptions] == [
        ("gaussian_noise", 1),
        ("gaussian_noise", 4),
        ("contrast", 1),
        ("contrast", 4),
    ]
    row = CORRUPTIONS["gaussian_noise"]
    frames = [
        row(PREPROCESS.frame(PREPROCESS.pixels(pictures / name)), 4, 0, content_hash(pictures / name))
        for name in found.predictions.files
    ]
    with torch.no_grad():
        logits = network(torch.stack([PREPROCESS.normalise(frame) for frame in frames]))
    assert record.corruptions[1].top1.right == int(top_k_correct(logits, found.predictions.labels, 1).sum())


def test_workers_and_batches_do_not_matter(found, weights, pictures):
    settings = AssessmentSettings(corruptions=("gaussian_noise",), severities=(4,), batch_size=24, workers=1)
    again = assess(weights, pictures, settings=settings)
    assert torch.allclose(again.predictions.logits, found.predictions.logits, atol=1e-5)
    assert again.record.images.sha256 == found.record.images.sha256
    assert again.record.corruptions[0] == found.record.corruptions[1]


def test_every_image_if_asked_for(weights, pictures, tmp_path):
    everything = assess(weights, pictures, settings=AssessmentSettings(part="all"))
    assert everything.record.images.count == 30
    assert everything.record.images.part == "every image, those for training too"
    held_out = assess(weights, pictures / "val").record.images
    assert held_out.count == 6  # two of eight of every class
    assert held_out.part.startswith("no train/ and val/ in it: 20% of every class")
    assert assess(weights, pictures / "val", settings=AssessmentSettings(part="all")).record.images.count == 24


def test_the_same_images_are_compared(found, weights, pictures, tmp_path):
    assess(weights, pictures, out=tmp_path / "first", settings=AssessmentSettings(image_size=24))
    # The same images, in another folder with other names.
    shutil.copytree(pictures, tmp_path / "moved")
    for path in sorted((tmp_path / "moved" / "val").rglob("*.png")):
        path.rename(path.with_name(f"n{9 - int(path.stem)}.png"))
    record = assess(weights, tmp_path / "moved", settings=AssessmentSettings(against=tmp_path / "first")).record
    (size,) = (one for one in found.record.variations if one.kind == "size")
    paired = record.against.paired
    assert (paired.first_only, paired.second_only) == (size.paired.second_only, size.paired.first_only)
    assert paired.difference == pytest.approx(-size.paired.difference)


def test_errors_under_the_same_corruptions_are_set_against_each_other(weights, network, pictures, tmp_path):
    worse = tmp_path / "worse.safetensors"
    state = network.state_dict()
    state["head.bias"] = torch.tensor([0.0, 0.0, 5.0])
    write_checkpoint(
        state, worse, CheckpointRecord(architecture=network.architecture, classes=CLASSES, preprocess=PREPROCESS)
    )
    asked = {"corruptions": ("fog",), "severities": (1, 5)}
    first = assess(worse, pictures, out=tmp_path / "first", settings=AssessmentSettings(**asked)).record
    second = assess(weights, pictures, settings=AssessmentSettings(**asked, against=tmp_path / "first")).record
    errors = [sum(1 - one.top1.value for one in record.corruptions) for record in (first, second)]
    assert second.against.corruption_errors == pytest.approx({"fog": errors[1] / errors[0]})
    for change in ({"seed": 1}, {"image_size": 24}):
        other = AssessmentSettings(**asked | {"severities": (5,)} | change, against=tmp_path / "first")
        assert assess(weights, pictures, settings=other).record.against.corruption_errors == {}


def test_other_images_are_not_compared(weights, pictures, tmp_path):
    assess(weights, pictures, out=tmp_path / "first")
    with pytest.raises(ResnexusError, match=r"the two evaluations are of other images: 30 .* and 24 .*, 24 of them"):
        assess(weights, pictures, settings=AssessmentSettings(part="all", against=tmp_path / "first"))


def test_other_images_are_told_before_the_further_passes(weights, pictures, tmp_path, monkeypatch):
    assess(weights, pictures, out=tmp_path / "first")
    monkeypatch.setattr(Passes, "corruptions", lambda self: pytest.fail("a further pass"))
    with pytest.raises(ResnexusError, match="the two evaluations are of other images"):
        assess(weights, pictures, settings=AssessmentSettings(part="all", against=tmp_path / "first"))


def test_what_cannot_be_read_is_named(weights, pictures, tmp_path, recorded):
    shutil.copytree(pictures, tmp_path / "data")
    (tmp_path / "data" / "val" / "red" / "0.png").write_bytes(b"no picture")
    (tmp_path / "data" / "val" / "red" / "notes.txt").write_text("mine")
    record = assess(weights, tmp_path / "data", progress=recorded).record
    assert record.images.count == 23
    assert [("red/0.png" in entry, "not one of" in entry) for entry in record.images.skipped] == [(True, True)]
    assert record.images.ignored == (str(tmp_path / "data" / "val" / "red" / "notes.txt"),)
    assert recorded.said[0].startswith("ignored 1 .txt")
    assert [(name, sum(steps)) for name, total, steps in recorded.stages] == [("evaluating", 24)]


def test_a_file_name_that_is_not_unicode(weights, pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "data")
    for path in sorted((tmp_path / "data" / "val").rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}\udce4.png"))
    found = assess(weights, tmp_path / "data", out=tmp_path / "out", settings=AssessmentSettings(examples=99))
    assert any("\\udce4.png" in file for file in found.thumbnails)
    assert "\\udce4.png" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_real_labels_are_for_classes_of_imagenet(weights, pictures, tmp_path):
    (tmp_path / "real.json").write_text("[[1]]")
    with pytest.raises(ResnexusError, match=r"real=.*real\.json: .*own\.safetensors has other classes than ImageNet's"):
        assess(weights, pictures, settings=AssessmentSettings(real=tmp_path / "real.json"))


def test_an_embedded_data_set(random_network, tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    digits = open_dataset("digits")
    row = Architecture(name="one", block="basic", depths=(1,), width=4, out_width=4, stem="small", stem_width=4)
    network = random_network(row, num_classes=10, in_chans=1).float()
    path = tmp_path / "digits.safetensors"
    record = CheckpointRecord(architecture=row, classes=digits.classes, preprocess=digits.preprocess)
    write_checkpoint(network.state_dict(), path, record)
    plain = evaluate(network, digits.val)
    found = assess(path, "digits")
    assert (found.record.top1.value, found.record.images.count) == (plain.top1, plain.images)
    assert found.predictions.files[0] == "image 0"
    assert found.record.images.part == "its images for evaluation"


def test_one_grey_picture_is_seen_in_three_channels(weights, tmp_path):
    for part in ("train", "val"):
        for name in CLASSES:
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(np.full((20, 20), 90, dtype=np.uint8)).save(tmp_path / part / name / "grey.png")
    found = assess(weights, tmp_path)
    assert found.record.top1.right == 1  # the same picture has three labels
    assert found.record.preprocess == Preprocess(size=16, resize_short=18)
