import io

import numpy as np
import pytest
import torch
from PIL import Image

import resnexus
from resnexus import ResnexusError
from resnexus.data.error_codes import ErrorCode
from resnexus.prediction.inputs import Listing
from resnexus.prediction.predictor import Predictor, predict
from resnexus.prediction.runner import Answers, Card
from tests.assessment.conftest import CLASSES, PREPROCESS


@pytest.fixture
def files(awkward):
    folder, codes = awkward
    return [folder / name for name in codes], list(codes.values())


def expected(network, image):
    with torch.inference_mode():
        return network(PREPROCESS(image)[None])[0].softmax(0)


def test_the_answer_is_the_networks_own(network, weights, awkward):
    path = awkward[0] / "plain.png"
    with Predictor(weights) as predictor:
        found = predictor(path)
    own = expected(network, path)
    order = own.argsort(descending=True).tolist()
    assert found.class_ids == tuple(order)
    assert found.label_names == tuple(CLASSES[number] for number in order)
    assert found.scores == pytest.approx(own[order].tolist(), rel=1e-5)
    assert (found.id, found.filename, found.error, found.embedding) == (0, str(path), None, None)


def test_every_input_has_its_record_in_order(weights, files):
    paths, codes = files
    found = predict(weights, paths, batch_size=4)
    assert [one.id for one in found] == list(range(len(paths)))
    assert [one.filename for one in found] == list(map(str, paths))
    assert [one.error for one in found] == codes
    for one in found:
        assert (one.class_ids == ()) == (one.error is not None)
        # A bad neighbour changes nothing.
        (alone,) = predict(weights, one.filename)
        assert alone.class_ids == one.class_ids
        assert alone.scores == pytest.approx(one.scores, rel=1e-5)


def test_nothing_is_printed(weights, awkward, capfd):
    list(resnexus.predict(weights, awkward[0]))
    assert capfd.readouterr() == ("", "")


def test_files_arrays_images_and_bytes_are_the_same(weights, awkward):
    path = awkward[0] / "plain.png"
    image = Image.open(path)
    image.load()
    sources = [path, str(path), image, np.asarray(image), path.read_bytes(), io.BytesIO(path.read_bytes())]
    found = predict(weights, sources)
    assert {one.scores for one in found} == {found[0].scores}
    size = path.stat().st_size
    assert [one.filename for one in found[2:]] == [
        "from memory",
        "from memory",
        f"of {size} bytes",
        "from a file object",
    ]
    (wrong,) = predict(weights, np.zeros((3, 4, 5), np.uint8))
    assert wrong.error == ErrorCode.UNSUPPORTED_PIXELS


def test_what_is_missing_has_a_record_too(weights, tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "link.png").symlink_to(tmp_path / "nowhere")
    with Predictor(weights) as predictor:
        assert predictor(tmp_path / "nowhere.png").error == ErrorCode.NOT_FOUND
        assert predictor(tmp_path / "folder.png").error == ErrorCode.NOT_A_FILE
        assert [one.error for one in predictor.stream(tmp_path)] == [ErrorCode.NOT_FOUND]
        assert predictor("http://127.0.0.1:9/a.jpg").error == ErrorCode.ADDRESS_REFUSED


def test_workers_give_the_same(weights, files):
    pytest.importorskip("pebble")
    paths, _ = files
    path = paths[[one.name for one in paths].index("plain.png")]
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    inputs = [*paths, pixels, Image.fromarray(pixels), path.read_bytes()]
    assert predict(weights, inputs, workers=2, batch_size=3) == predict(weights, inputs, batch_size=3)


def test_embeddings_are_what_enters_the_last_layer(network, weights, awkward):
    path = awkward[0] / "plain.png"
    (found,) = predict(weights, path, embeddings=True)
    with torch.inference_mode():
        maps = network.forward_features(PREPROCESS(path)[None])
        own = network.forward_head(maps, pre_logits=True)[0]
    assert found.embedding == pytest.approx(own.tolist(), rel=1e-5)
    (plain,) = predict(weights, path)
    assert found.class_ids == plain.class_ids
    assert found.scores == pytest.approx(plain.scores, rel=1e-5)


def test_an_accelerated_engine_says_the_same(weights, files, stand_in_engines):
    """The last batch is filled up, so that the engine meets no size that it was not planned for."""
    paths, codes = files
    options = {"engine": "accelerated", "batch_size": 5}
    found = predict(weights, paths, **options)
    plain = predict(weights, paths)
    assert [one.error for one in found] == codes
    assert [one.class_ids for one in found] == [one.class_ids for one in plain]
    for one, other in zip(found, plain, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_random_weights_say_so_and_are_the_same_every_time():
    image = np.full((32, 32, 3), 77, np.uint8)
    with Predictor("ResNet_small", weights="random") as predictor:
        found = predictor(image)
        assert predictor.card.weights == "random"
        assert predictor.card.notes == ("the weights are random: the answers mean nothing",)
    torch.rand(3)
    assert predict("ResNet_small", image, weights="random")[0] == found


class Broken:
    """Says of black pictures what is no number."""

    card = Card(name="broken", architecture="none", weights="none", num_classes=2, classes=None, preprocess=PREPROCESS)
    closed = False

    def __call__(self, images):
        logits = torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)
        logits[images.mean((1, 2, 3)) < -1] = torch.nan
        return Answers(logits=logits)

    def close(self):
        self.closed = True


def test_an_answer_that_is_not_finite_is_an_error_of_its_image_alone():
    runner = Broken()
    black, grey = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 128, np.uint8)
    with Predictor(runner) as predictor:
        found = list(predictor.stream([grey, black, grey]))
    assert [one.error for one in found] == [None, ErrorCode.NOT_FINITE, None]
    assert (found[0].class_ids, found[0].label_names) == ((0, 1), ())
    assert runner.closed


def test_a_multi_label_record_is_believed_and_overruled(network, tmp_path, awkward):
    from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

    path = tmp_path / "questions.safetensors"
    record = CheckpointRecord(
        architecture=network.architecture, classes=CLASSES, preprocess=PREPROCESS, multi_label=True
    )
    write_checkpoint(network.state_dict(), path, record)
    image = awkward[0] / "plain.png"
    with torch.inference_mode():
        own = network(PREPROCESS(image)[None])[0].sigmoid()
    (found,) = predict(path, image)
    assert set(found.class_ids) == {number for number in range(3) if own[number] >= 0.5}
    (every,) = predict(path, image, threshold=0)
    assert every.scores == pytest.approx(sorted(own.tolist(), reverse=True), rel=1e-5)
    (single,) = predict(path, image, multi_label=False)
    assert sum(single.scores) == pytest.approx(1)


def test_any_number_of_inputs_is_taken_a_window_at_a_time(weights):
    """No input is asked for before those of the batches before it are answered."""
    asked = []

    class Endless(Listing):
        def __iter__(self):
            for number, found in enumerate(super().__iter__()):
                asked.append(number)
                yield found

    image = np.zeros((20, 20, 3), np.uint8)
    with Predictor(weights, batch_size=2) as predictor:
        stream = predictor.stream(Endless([image] * 9))
        next(stream)
        assert len(asked) == 2
        assert len(list(stream)) == 8


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("ResNet_smal", {"weights": "random"}, "unknown architecture 'ResNet_smal': did you mean 'ResNet_small'"),
        ("nowhere.safetensors", {}, "cannot read nowhere"),
        (
            "ResNet_small",
            {"weights": "random", "architecture": "x"},
            "architecture='x' has no effect on 'ResNet_small'",
        ),
        ("SE_ResNet18_vd", {"weights": "drawn"}, "unknown tag of SE_ResNet18_vd 'drawn'"),
        ("ResNet_small", {"colour": 1}, "unknown option 'colour'"),
    ],
)
def test_mistakes(model, options, message):
    with pytest.raises(ResnexusError, match=message):
        Predictor(model, **options)
