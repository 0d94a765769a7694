import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.data.batches import BadImage
from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import LabelledImages
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.evaluation.evaluate import evaluate

SMALL = Preprocess(size=8, resize_short=8)
TINY = Architecture(name="tiny", block="basic", depths=(1,), width=4, out_width=4, stem="small", stem_width=4)


class Codes(LabelledImages):
    """Images (1, 1, 1) that hold a number, with the labels given; None is a bad file."""

    def __init__(self, numbers, labels, classes=6):
        self.numbers, self.labels = numbers, labels
        self.classes = tuple(map(str, range(classes)))

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        if self.numbers[index] is None:
            return BadImage(f"{index}.jpg", "damaged")
        return torch.full((1, 1, 1), float(self.numbers[index])), self.labels[index]


def descending(images):
    """Logits whose order is the image's number, then the following classes: 2 -> 2, 3, 4, 5, 0, 1."""
    return -((torch.arange(6) - images.flatten(1)) % 6)


def test_accuracy_by_hand():
    """Ranks of the labels: 0, 1, 4, 5 and a bad file between them."""
    data = Codes([0, 1, None, 2, 3], [0, 2, 0, 0, 2])
    found = evaluate(descending, data, batch_size=2)
    assert (found.top1, found.top5, found.images) == (1 / 4, 3 / 4, 4)
    assert found.skipped == (BadImage("2.jpg", "damaged"),)
    assert found.seconds > 0


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_and_workers_do_not_matter(batch_size, workers):
    data = Codes([i % 6 if i % 7 else None for i in range(40)], [i * i % 6 for i in range(40)])
    expected = [(i % 6 == i * i % 6, (i * i - i) % 6 < 5) for i in range(40) if i % 7]
    found = evaluate(descending, data, batch_size=batch_size, workers=workers)
    assert found.images == len(expected) == 34
    assert found.top1 == sum(first for first, _ in expected) / 34
    assert found.top5 == sum(five for _, five in expected) / 34
    assert [bad.path for bad in found.skipped] == [f"{i}.jpg" for i in range(0, 40, 7)]


def test_fewer_than_five_classes():
    data = Codes([0, 1], [0, 0], classes=2)
    assert evaluate(lambda x: descending(x)[:, :2], data).top5 == 1


def test_progress_counts_bad_files_too(recorded):
    data = Codes([None, None, 1, 2, 3], [0] * 5)
    evaluate(descending, data, batch_size=2, progress=recorded, label="evaluating mine")
    assert recorded.stages == [("evaluating mine", 5, [2, 2, 1])]


class Probe(nn.Module):
    """Remembers how it was called; batch normalisation would notice training mode."""

    def __init__(self, classes=6, fails=False):
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
        self.frozen.eval()
        self.classes, self.fails, self.seen = classes, fails, []

    def forward(self, x):
        self.seen.append((self.training, self.norm.training, torch.is_grad_enabled(), self.norm(x).dtype))
        if self.fails:
            raise RuntimeError("broken")
        return torch.zeros(len(x), self.classes) @ torch.zeros(self.classes, self.classes)


def test_the_model_is_in_evaluation_mode_and_restored():
    model = Probe()
    evaluate(model, Codes([0, 1, 2], [0, 0, 0]), batch_size=2)
    assert model.seen == [(False, False, False, torch.float32)] * 2
    assert (model.training, model.norm.training, model.frozen.training) == (True, True, False)
    assert torch.equal(model.norm.running_mean, torch.zeros(1))
    assert torch.is_grad_enabled()


def test_the_model_is_restored_after_an_error():
    model = Probe(fails=True)
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(model, Codes([0], [0]))
    assert (model.training, model.norm.training, model.frozen.training) == (True, True, False)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_is_that_of_the_matrix_products(precision, dtype):
    seen = []

    class Linear(nn.Linear):
        def forward(self, x):
            y = super().forward(x.flatten(1))
            seen.append((x.dtype, y.dtype))
            return y

    found = evaluate(Linear(1, 6), Codes([0, 1], [0, 1]), precision=precision)
    assert seen == [(torch.float32, dtype)]
    assert found.images == 2


def test_a_network_on_digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    data = open_dataset("digits").val
    network = Network(TINY, num_classes=10, in_chans=1)
    found = evaluate(network, data)
    network.eval()
    with torch.no_grad():
        logits = network(data.images())
    assert found.images == 359
    assert found.top1 == (logits.argmax(1) == data.labels).double().mean().item()
    assert found.top5 == (logits.topk(5).indices == data.labels[:, None]).any(1).double().mean().item()


@pytest.mark.parametrize("numbers", [[None], [None] * 5])
def test_bad_files_only(numbers):
    message = rf"none of {len(numbers)} files could be decoded; the first, 0\.jpg: damaged"
    with pytest.raises(ResnexusError, match=message):
        evaluate(descending, Codes(numbers, [0] * 5), batch_size=2)


def test_an_empty_data_set():
    with pytest.raises(ResnexusError, match="the data set is empty: nothing to evaluate"):
        evaluate(descending, Codes([], []))


def test_classes_and_channels_that_differ():
    data = Codes([0, 1], [0, 0])
    with pytest.raises(
        ResnexusError,
        match=r"returns \(2, 1000\) for 2 images and the data set has 6 classes; create the model with num_classes=6",
    ):
        evaluate(Network(TINY, in_chans=1), data)
    with pytest.raises(
        ResnexusError, match="takes images of 3 channels and the data set has 1; create the model with in_chans=1"
    ):
        evaluate(Network(TINY, num_classes=6), data)
    with pytest.raises(ResnexusError, match=r"returns \(12,\)"):
        evaluate(lambda x: descending(x).flatten(), data)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite(value):
    def model(x):
        logits = descending(x)
        logits[x.flatten() == 1, 3] = value
        return logits

    with pytest.raises(
        ResnexusError, match="the logits of 2 of 4 images are not finite: the network overflows or diverged"
    ):
        evaluate(model, Codes([0, 1, 2, 1], [0] * 4), batch_size=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "unknown precision 'fp8'.*bf16, fp16, fp32"),
        ({"batch_size": 0}, "batch_size=0, workers=0: expected at least 1 and at least 0"),
        ({"workers": -1}, "workers=-1"),
        ({"device": "tpu5"}, "unknown device 'tpu5'"),
        ({"precision": "bf16"}, "precision='bf16' has no effect on a callable that is not a module"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ResnexusError, match=message):
        evaluate(descending, Codes([0], [0]), **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "gpu"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ResnexusError, match=f"device '{name}': PyTorch sees no GPU here; use device 'cpu'"):
        evaluate(descending, Codes([0], [0]), device=name)


def test_a_model_that_is_elsewhere():
    with pytest.raises(ResnexusError, match=r"the model is on meta and device='cpu': call model\.to\('cpu'\)"):
        evaluate(Network(TINY, num_classes=6, in_chans=1).to("meta"), Codes([0], [0]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpu_gives_the_same(workers):
    data = Codes(list(range(6)) * 4, list(range(24)), classes=6)
    data.labels = [label % 5 for label in data.labels]
    torch.manual_seed(1)
    model = Network(TINY, num_classes=6, in_chans=1)
    here = evaluate(model, data)
    there = evaluate(model.cuda(), data, device="cuda", workers=workers)
    assert (here.top1, here.top5, here.images) == (there.top1, there.top5, there.images)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def unusual_files():
    """Name -> bytes, and whether the file can be used, for every bad input that a data folder may hold."""
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8))
    translucent = picture.copy()
    translucent.putalpha(99)
    wide = Image.fromarray(np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 30)
    return {
        "plain.jpg": (encoded(picture, "JPEG"), True),
        "grey.jpg": (encoded(picture.convert("L"), "JPEG"), True),
        "cmyk.jpg": (encoded(picture.convert("CMYK"), "JPEG"), True),
        "sixteen.png": (encoded(wide, "PNG"), True),
        "alpha.png": (encoded(translucent, "PNG"), True),
        "animated.gif": (encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(180)]), True),
        "truncated.jpg": (encoded(picture, "JPEG")[:-300], False),
        "text.jpg": (b"this is no picture", False),
        "empty.jpg": (b"", False),
        "float.tif": (encoded(picture.convert("F"), "TIFF"), False),
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_one_bad_image_never_stops_a_run(tmp_path, workers):
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (9, 9)).save(tmp_path / part / name / "good.png")
    files = unusual_files()
    for name, (content, _) in files.items():
        (tmp_path / "val/b" / name).write_bytes(content)
    data = open_dataset(tmp_path, SMALL)
    found = evaluate(lambda x: torch.eye(2)[0].repeat(len(x), 1), data.val, batch_size=3, workers=workers)
    usable = sum(good for _, good in files.values())
    assert found.images == 2 + usable
    assert found.top1 == 1 / (2 + usable)  # only a/good.png is of class a
    skipped = {bad.path.rpartition("/")[2]: bad.reason for bad in found.skipped}
    assert set(skipped) == {name for name, (_, good) in files.items() if not good}
    assert skipped["empty.jpg"] == "the file is empty"
    assert skipped["text.jpg"].startswith("not one of JPEG, PNG")
    assert skipped["truncated.jpg"].startswith("damaged: image file is truncated")
    assert skipped["float.tif"] == "pixels of mode 'F' have no defined white"
