"""The public surface: a change here is a change for users and belongs into CHANGELOG.md."""

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import resnexus
from resnexus import ResnexusError, architecture, list_models
from resnexus.architectures.catalog import SERIES
from resnexus.architectures.siblings import SIBLINGS
from resnexus.errors import unknown


def test_public_names():
    assert sorted(resnexus.__all__) == PUBLIC
    for name in resnexus.__all__:
        assert getattr(resnexus, name) is not None


PUBLIC = [
    "Architecture",
    "Predictor",
    "Preprocess",
    "ResnexusError",
    "__version__",
    "accelerate",
    "architecture",
    "compare",
    "complexity",
    "create_model",
    "evaluate",
    "export",
    "list_models",
    "open_artefact",
    "open_dataset",
    "predict",
    "quantize",
    "train",
]


def test_rooms_are_reached_after_one_import():
    """In a process of its own: here other tests have imported them."""
    code = "import resnexus, sys; print(resnexus.weights.read_pdparams.__module__, resnexus.data.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["resnexus.weights.pdparams", "resnexus.data"]


def test_every_room_is_named():
    rooms = {path.parent.name for path in Path(resnexus.__file__).parent.glob("*/__init__.py")} - {"cli"}
    assert rooms < set(dir(resnexus))
    for name in rooms:
        assert getattr(resnexus, name) is import_module(f"resnexus.{name}")


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'create_modle'"):
        resnexus.create_modle  # noqa: B018


def test_list_models_has_the_series_and_the_baselines():
    names = list_models()
    assert len(names) == len(set(names)) == 28
    assert [len(list_models(family)) for family in ("Res2Net", "ResNeXt", "SENet", "ResNet")] == [5, 12, 7, 4]
    assert list_models("res2net") == names[:5]


def test_list_models_takes_patterns_over_every_name_there_is():
    assert list_models("*152*") == [name for name in list_models() if "152" in name]
    assert list_models("se_resnet?0_VD") == ["SE_ResNet50_vd"]
    assert list_models("*_small") == list(SIBLINGS)
    assert list_models("*") == [*list_models(), *SIBLINGS]
    assert list_models("vgg*") == []


def test_list_models_with_published_weights():
    assert list_models(pretrained=True) == [row.name for row in SERIES]
    assert list_models("ResNet", pretrained=True) == []
    assert list_models("*200*", pretrained=True) == ["Res2Net200_vd_26w_4s"]


def test_lookup_ignores_case():
    assert architecture("senet154_VD") is architecture("SENet154_vd")
    assert architecture("res2net_SMALL") is SIBLINGS["Res2Net_small"]


def test_lookup_returns_a_row_as_it_is():
    row = replace(architecture("ResNet50_vd"), stem="small")
    assert architecture(row) is row


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ResnexusError, match=r"unknown architecture 'resnext50_32x4': did you mean 'ResNeXt50_32x4d'\?"):
        architecture("resnext50_32x4")
    with pytest.raises(ResnexusError, match="unknown architecture 'ResNet_smal': did you mean 'ResNet_small'"):
        architecture("ResNet_smal")
    with pytest.raises(
        ResnexusError, match=r"33 names, see resnexus list \(28\) and resnexus\.list_models\('\*_small'\) \(5\)"
    ):
        architecture("vit")
    with pytest.raises(ResnexusError, match="unknown family 'vgg': accepted are Res2Net, ResNeXt, ResNet, SENet"):
        list_models("vgg")


def test_short_lists_are_printed_whole():
    assert str(unknown("stem", "deeep", ["deep", "small"])) == (
        "unknown stem 'deeep': did you mean 'deep'? Accepted: deep, small."
    )
