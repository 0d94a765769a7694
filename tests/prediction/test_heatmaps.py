import numpy as np
import pytest
import torch
from PIL import Image

from resnexus import Preprocess, ResnexusError
from resnexus.prediction import heatmaps
from resnexus.prediction.heatmaps import check_heatmaps, overlaid, painting
from resnexus.prediction.opening import open_runner
from resnexus.prediction.predictor import Predictor, Seen
from resnexus.prediction.record import Prediction
from resnexus.prediction.runner import Card
from resnexus.prediction.settings import PredictionSettings


def grad_cam(network, images):
    """Selvaraju et al., arXiv:1610.02391, at the last feature map, before its negative part is cut off."""
    maps = network.forward_features(images).detach().requires_grad_()
    logits = network.forward_head(maps)
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), maps)
    return (gradient.mean((2, 3), keepdim=True) * maps).sum(1), logits


@pytest.mark.parametrize("engine", ["plain", "accelerated"])
def test_the_class_activation_map_is_grad_cam_up_to_scale(network, weights, engine, stand_in_engines):
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    runner = open_runner(weights, PredictionSettings(heatmaps=True, batch_size=3, engine=engine))
    found = runner(images)
    heat, logits = grad_cam(network, images)
    pixels = heat[0].numel()
    assert torch.allclose(found.heat, heat.detach() * pixels, rtol=1e-3, atol=1e-4)
    assert torch.allclose(found.logits, logits.detach(), rtol=1e-4, atol=1e-4)
    # The mean of the map is the logit without its bias.
    best = logits.argmax(1)
    assert torch.allclose(
        found.heat.mean((1, 2)) + network.head.bias[best].detach(), logits.detach().max(1).values, atol=1e-4
    )


@pytest.mark.slow
def test_the_class_activation_map_is_captums_grad_cam_up_to_scale(network, weights):
    """Captum is in no extra for tests."""
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    found = open_runner(weights, PredictionSettings(heatmaps=True, batch_size=3))(images)
    oracle = attr.LayerGradCam(network, network.stages[-1])
    heat = oracle.attribute(images, target=found.logits.argmax(1))[:, 0].detach()
    assert heat.shape == found.heat.shape
    assert torch.allclose(found.heat, heat * heat[0].numel(), rtol=1e-3, atol=1e-4)
    assert heat.abs().max() > 1e-3


def test_the_hottest_place_is_coloured_most():
    frame = np.full((8, 8, 3), 100, np.uint8)
    heat = np.array([[0.0, 4.0], [-9.0, 0.0]], np.float32)
    picture = overlaid(frame, heat)
    assert picture.shape == (8, 8, 3)
    assert picture[0, 7, 0] == picture[..., 0].max() == round(100 * 0.35 + 255 * 0.65)
    assert picture[7, 0].tolist() == [100, 100, 100]
    assert np.array_equal(overlaid(frame, np.full((2, 2), -1, np.float32)), frame)
    assert overlaid(frame[..., :1], heat).shape == (8, 8, 3)


def test_pictures_and_a_page(weights, awkward, tmp_path):
    pytest.importorskip("jinja2")
    with Predictor(weights, heatmaps=True) as predictor, painting(tmp_path / "heat", predictor.card) as paint:
        seen = list(predictor.seen([]))
        from resnexus.prediction.inputs import Listing

        for one in predictor.seen(Listing([awkward[0]])):
            paint(one)
            seen.append(one)
    files = sorted(path.name for path in (tmp_path / "heat").iterdir())
    answered = [one for one in seen if one.prediction.error is None]
    assert files == [*(f"{one.prediction.id:09d}.jpg" for one in answered), "index.html"]
    with Image.open(tmp_path / "heat" / files[0]) as picture:
        assert picture.size == (16, 16)
    page = (tmp_path / "heat" / "index.html").read_text()
    assert page.count("<img ") == len(answered)
    assert f"{answered[0].prediction.label_names[0]}, {100 * answered[0].prediction.scores[0]:.1f} %" in page
    assert "default-src 'none'" in page


def test_a_page_of_something_else_is_left_alone(tmp_path):
    pytest.importorskip("jinja2")
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ResnexusError, match="no page of heat maps"):
        check_heatmaps(tmp_path)


def painted(folder, *numbers):
    """Draw heat maps of inputs as a run does."""
    card = Card(name="n", architecture="a", weights="0", num_classes=2, classes=None, preprocess=Preprocess())
    with painting(folder, card) as paint:
        for number in numbers:
            found = Prediction(id=number, filename=f"{number}.png", class_ids=(1,), scores=(0.5,))
            frame, heat = np.zeros((8, 8, 3), np.uint8), np.ones((2, 2), np.float32)
            paint(Seen(prediction=found, frame=frame, heat=heat))


def test_a_folder_holds_the_pictures_of_one_run(tmp_path):
    pytest.importorskip("jinja2")
    painted(tmp_path, 0, 1, 2)
    mine = {"notes.txt": b"mine", "2.jpg": b"mine", "000000002.png": b"mine", "copy-000000001.jpg": b"mine"}
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    painted(tmp_path, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"000000001.jpg", "index.html", *mine}
    assert all((tmp_path / name).read_bytes() == content for name, content in mine.items())
    assert (tmp_path / "index.html").read_text().count("<img ") == 1


def test_a_run_that_was_interrupted_leaves_no_page_and_no_picture_of_the_run_before(tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    painted(tmp_path, 0, 1)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(heatmaps, "template", interrupted)
    with pytest.raises(KeyboardInterrupt):
        painted(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["000000005.jpg"]
    monkeypatch.undo()
    painted(tmp_path, 6)
    assert {path.name for path in tmp_path.iterdir()} == {"000000006.jpg", "index.html"}


@pytest.mark.parametrize("linked", [False, True])
def test_a_picture_of_somebody_else_is_left_alone(tmp_path, linked):
    pytest.importorskip("jinja2")
    folder = tmp_path / "heat"
    painted(folder, 0)
    painted(tmp_path / "other", 0)
    theirs = folder / "0123456789.jpg"
    if linked:
        theirs.symlink_to(tmp_path / "other" / "000000000.jpg")
    else:
        Image.new("RGB", (8, 8)).save(theirs)
    before = theirs.read_bytes()
    with pytest.raises(ResnexusError, match=r"0123456789\.jpg is no heat map that `resnexus predict` wrote and is not"):
        painted(folder, 0)
    assert theirs.read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"000000000.jpg", "0123456789.jpg", "index.html"}
