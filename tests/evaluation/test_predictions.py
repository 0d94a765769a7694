from dataclasses import replace

import numpy as np
import pytest
import torch

from resnexus.data.batches import BadImage
from resnexus.data.labelled import ImageArrays
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.evaluation.predictions import Predictions, paired, predict_all, read_predictions, write_predictions
from resnexus.evaluation.seen import Originals, SeenImages

PLAIN = Predictions(
    logits=torch.tensor([[3.0, 1, 9, 0], [0, 2, 9, 1], [5, 4, 9, 0]]),
    labels=torch.tensor([0, 3, 1]),
    competing=torch.tensor([0, 1, 3]),
    files=("a.jpg", "b.jpg", "c.jpg"),
    sha256=("aa", "bb", "cc"),
    classes=("cat", "cow", "dog", "pig"),
)


def shuffled(order):
    return replace(
        PLAIN,
        logits=PLAIN.logits[order],
        labels=PLAIN.labels[order],
        files=tuple(f"other/{PLAIN.files[place]}" for place in order),
        sha256=tuple(PLAIN.sha256[place] for place in order),
    )


def test_only_what_competes_is_an_answer():
    logits, labels = PLAIN.answers
    assert logits.tolist() == [[3, 1, 0], [0, 2, 1], [5, 4, 0]]
    assert labels.tolist() == [0, 2, 1]
    assert PLAIN.right.tolist() == [True, False, False]
    everything = replace(PLAIN, competing=torch.arange(4))
    assert everything.answers[0] is PLAIN.logits
    assert everything.right.tolist() == [False, False, False]


def test_the_digest_of_the_images_knows_content_and_label_and_nothing_else():
    assert shuffled([2, 0, 1]).images_sha256 == PLAIN.images_sha256
    assert replace(PLAIN, labels=torch.tensor([0, 3, 3])).images_sha256 != PLAIN.images_sha256
    assert replace(PLAIN, sha256=("aa", "bb", "dd")).images_sha256 != PLAIN.images_sha256


def test_the_same_images_are_paired_in_any_order():
    other = shuffled([2, 0, 1])
    other = replace(other, logits=torch.tensor([[0.0, 4, 9, 0], [3, 1, 9, 0], [0, 2, 9, 1]]))
    first, second = paired(PLAIN, other)
    assert first.tolist() == [True, False, False]
    assert second.tolist() == [True, False, True]


def test_other_images_are_not_paired():
    with pytest.raises(
        ResnexusError, match=r"of other images: 3 \(digest \w{12}\) and 3 \(digest \w{12}\), 2 of them the same"
    ):
        paired(PLAIN, replace(PLAIN, sha256=("aa", "bb", "dd")))


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "predictions.npz"
    write_predictions(PLAIN, path)
    found = read_predictions(path, PLAIN.digest)
    for name in ("logits", "labels", "competing"):
        assert torch.equal(getattr(found, name), getattr(PLAIN, name))
    assert (found.files, found.sha256, found.classes) == (PLAIN.files, PLAIN.sha256, PLAIN.classes)
    write_predictions(PLAIN, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert np.load(path)["logits"].dtype == np.float32


def test_a_name_that_is_not_unicode_is_written(tmp_path):
    odd = replace(PLAIN, files=("a\udce4.jpg", "b.jpg", "c.jpg"))
    write_predictions(odd, tmp_path / "p.npz")
    found = read_predictions(tmp_path / "p.npz", PLAIN.digest)
    assert found.files[0] == "a\\udce4.jpg"


def test_files_that_are_not_those_of_the_record(tmp_path):
    path = tmp_path / "predictions.npz"
    with pytest.raises(ResnexusError, match=r"cannot read the predictions .*predictions\.npz: No such file"):
        read_predictions(path, "00")
    write_predictions(replace(PLAIN, logits=PLAIN.logits + 1), path)
    with pytest.raises(ResnexusError, match="was changed after its evaluation, or its record is another's"):
        read_predictions(path, PLAIN.digest)


@pytest.mark.parametrize(
    "arrays", [{}, {"logits": np.zeros((1, 2), dtype="f4")}, {"logits": np.array([None], dtype=object)}]
)
def test_files_of_another_kind(tmp_path, arrays):
    path = tmp_path / "predictions.npz"
    np.savez(path, **arrays)
    with pytest.raises(ResnexusError, match=r"cannot read the predictions .*predictions\.npz"):
        read_predictions(path, PLAIN.digest)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.tensor([0, 3])}, r"labels of \(2,\)"),
        ({"labels": torch.tensor([0, 2, 1])}, "not among the outputs that compete"),
        ({"competing": torch.tensor([0, 3, 1])}, "or these are no outputs"),
        ({"competing": torch.tensor([0, 1, 3, 4])}, "or these are no outputs"),
        ({"sha256": ("aa",)}, "1 hashes for 3 images"),
    ],
)
def test_predictions_that_do_not_fit(changes, message):
    with pytest.raises(ResnexusError, match=message):
        replace(PLAIN, **changes)


def test_one_pass_keeps_the_logits_of_what_was_read(tmp_path, recorded):
    pixels = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * 51
    preprocess = Preprocess(size=1, resize_short=1, mean=(0.0,), std=(1.0,))
    data = ImageArrays(pixels, np.array([0, 1, 0]), ("x", "y"), preprocess=preprocess)
    originals = Originals(data)

    class Broken(SeenImages):
        def __getitem__(self, index):
            if index == 1:
                self.missing[1] = True
                return BadImage("image 1", "damaged")
            return super().__getitem__(index)

    images = Broken(originals, originals.labels, data.classes, preprocess)
    found, skipped = predict_all(
        lambda x: torch.cat([x.flatten(1), 1 - x.flatten(1)], 1).half(),
        images,
        (0, 1),
        batch_size=2,
        progress=recorded,
        label="mine",
    )
    assert skipped == (BadImage("image 1", "damaged"),)
    assert found.files == ("image 0", "image 2")
    assert found.logits.dtype == torch.float32
    assert found.logits.tolist() == [[0, 1], [pytest.approx(0.4, abs=1e-3), pytest.approx(0.6, abs=1e-3)]]
    assert found.right.tolist() == [False, False]
    assert recorded.stages == [("mine", 3, [2, 1])]
