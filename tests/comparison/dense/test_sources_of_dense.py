import pytest

from resnexus import ResnexusError
from resnexus.architectures.catalog import architecture
from resnexus.comparison.dense.networks import BACKBONES, CANVAS
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.comparison.dense.sources import CanvasSource, open_source
from resnexus.comparison.jobs import DEFAULT_MODELS
from resnexus.data.order import Draw
from tests.data.photographs.folders import write_voc

SETTINGS = DenseSettings(epochs=1, learning_rate=0.1, train_images=5, val_images=3, batch_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_voc(tmp_path_factory.mktemp("data") / "pascal")


def test_digits_are_canvases():
    source = open_source("digits", "detection", SETTINGS)
    assert source == CanvasSource(settings=SETTINGS)
    assert (source.name, source.form, len(source.train(0)), len(source.val())) == ("digits", CANVAS, 5, 3)
    assert source.backbone("ResNet_small") is source.backbone("resnet_SMALL") is BACKBONES["ResNet_small"]


def test_a_folder_is_photographs(folder):
    source = open_source(f"voc:{folder}", "detection", SETTINGS, image_size=96)
    assert (source.name, len(source.train(0)), len(source.val())) == ("voc:pascal", 6, 3)
    assert (source.form.classes, source.form.in_chans, source.form.size) == (21, 3, 96)
    assert source.backbone("resnet50_VD") is architecture("ResNet50_vd")
    assert source.default_models == DEFAULT_MODELS
    assert open_source(f"voc:{folder}", "detection", SETTINGS).form.size == 320
    # Another seed flips other photographs.
    flips = [[source.train(seed)[Draw(epoch=epoch, image=0)].boxes[0][0] for epoch in range(8)] for seed in (0, 1, 0)]
    assert flips[0] == flips[2] != flips[1]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("digits", {"image_size": 64}, "image_size=64 has no effect on canvases of digits"),
        ("digits", {"weights": "ssld"}, "weights=ssld has no effect on canvases of digits"),
        ("photos", {}, "data 'photos' for detection: expected digits, coco:FOLDER or voc:FOLDER"),
        ("coco:", {}, "data 'coco:' for detection: expected digits"),
        ("coco:nowhere", {}, "data 'coco:nowhere': there is no folder nowhere"),
    ],
)
def test_data_that_there_are_not(data, options, message):
    with pytest.raises(ResnexusError, match=message):
        open_source(data, "detection", SETTINGS, **options)


def test_sizes_that_no_backbone_divides(folder):
    with pytest.raises(ResnexusError, match="image_size=100: expected a multiple of 32"):
        open_source(f"voc:{folder}", "detection", SETTINGS, image_size=100)
