import pytest

from resnexus import ResnexusError
from studies import quantisation
from studies.quantisation import ENLARGED, LARGE, SERIES, measured, trained
from studies.small_data import NETWORKS, SETS


@pytest.fixture
def asked(monkeypatch):
    """Every quantisation asked for: the last folders of its weights and images, its file, its format, its rounds."""
    calls = []

    def quantize(file, images, out, *, format, settings, progress):
        calls.append(("/".join(file.parts[-3:-1]), "/".join(images.parts[-2:]), out.name, format, settings.rounds))

    monkeypatch.setattr(quantisation, "quantize", quantize)
    return calls


def test_every_network_is_quantised_on_its_images_in_every_format(asked, tmp_path):
    for name in NETWORKS:
        file = tmp_path / "mnist" / f"{name}-seed0" / "last.safetensors"
        file.parent.mkdir(parents=True)
        file.touch()
    found = list(measured(tmp_path, ["mnist"], ["onnx", "pt2"], 7))
    assert {(quantised.images, quantised.size) for quantised in found} == {(SETS["mnist"].title, 28)}
    assert asked == [
        (f"mnist/{name}-seed0", "mnist/images", f"{name}-seed0.{format}", format, 7)
        for name in NETWORKS
        for format in ("onnx", "pt2")
    ]


def test_networks_of_the_series_are_trained_on_the_textures(asked, tmp_path, monkeypatch):
    def train(chosen, network, seed, images, out):
        assert (chosen, seed, images) == (ENLARGED, 0, tmp_path / "textures" / "images")
        return out / "last.safetensors"

    monkeypatch.setattr(type(ENLARGED), "train", train)
    found = list(measured(tmp_path, [LARGE], ["openvino"], 1))
    assert [quantised.size for quantised in found] == [64] * len(SERIES)
    assert [(weights, images) for weights, images, *_ in asked] == [
        (f"large/{name}-seed0", "textures/images") for name in SERIES
    ]
    assert all(ENLARGED.row(name).stem == "conv7" for name in SERIES)


def test_a_training_that_is_not_there_is_asked_for(tmp_path):
    with pytest.raises(ResnexusError, match=r"python -m studies\.small_data .* RECORD\.json --seeds 1"):
        trained("digits", "ResNet_small", tmp_path)
