"""What lies in a folder for the Hub, that it comes back the same, and what would be uploaded."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from resnexus import ResnexusError, create_model
from resnexus.architectures.siblings import SIBLINGS
from resnexus.data.preprocess import Preprocess
from resnexus.series.checkpoints import checkpoints, tags
from resnexus.weights.checkpoint_file import CheckpointRecord, read_record
from resnexus.weights.hub import from_pretrained, push_to_hub, read_preprocess, save_pretrained

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the Hub needs it: pip install 'resnexus[hub]'")

NAME = "SE_ResNet18_vd"
ROW = replace(SIBLINGS["Res2Net_small"], cascade="authors")
SMALL = Preprocess(size=32, resize_short=36, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A network and the folder that it was saved to with its record."""
    network = create_model(NAME)
    return network, save_pretrained(network, tmp_path_factory.mktemp("published"), checkpoint=tags(NAME)["imagenet"])


def assert_same(network, other):
    assert network.architecture == other.architecture
    for (name, tensor), (other_name, other_tensor) in zip(
        network.state_dict().items(), other.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(tensor, other_tensor)


def test_a_network_of_ones_own_comes_back(tmp_path):
    network = create_model(ROW, num_classes=7)
    save_pretrained(network, tmp_path / "new" / "folder", preprocess=SMALL)
    again = from_pretrained(tmp_path / "new" / "folder")
    assert_same(network, again)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network.eval()(images), again.eval()(images))
    assert read_preprocess(tmp_path / "new" / "folder") == SMALL
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    grey = create_model(ROW, in_chans=1, num_classes=0)
    save_pretrained(grey, tmp_path, preprocess=Preprocess(mean=(0.5,), std=(0.5,)))
    assert_same(grey, from_pretrained(tmp_path))


def test_a_published_network_comes_back_and_says_what_it_is(published):
    network, folder = published
    assert_same(network, from_pretrained(str(folder)))
    record = tags(NAME)["imagenet"]
    assert read_preprocess(folder) == record.preprocess
    written = read_record(folder / "model.safetensors")
    assert (written.checkpoint, written.source, written.licence) == (record.name, record.url, "Apache-2.0")
    assert (written.classes, written.classes[0]) == (record.classes, "tench")
    assert from_pretrained(folder).record == written
    config = json.loads((folder / "config.json").read_text())
    assert config["pretrained_cfg"]["label_names"] == list(record.classes)


def test_what_a_network_knows_of_itself_is_written(tmp_path):
    network = create_model(ROW, num_classes=2)
    network.record = CheckpointRecord(
        classes=("cat", "dog"), preprocess=SMALL, checkpoint="another", metrics={"top1": 1.0}
    )
    save_pretrained(network, tmp_path)
    # What was measured of other weights says nothing of what they may have become.
    expected = CheckpointRecord(architecture=ROW, classes=("cat", "dog"), preprocess=SMALL)
    assert from_pretrained(tmp_path).record == expected
    assert read_preprocess(tmp_path) == SMALL
    network.reset_classifier(5)
    save_pretrained(network, tmp_path)
    assert from_pretrained(tmp_path).record == replace(expected, classes=None)


def test_the_configuration_is_one_that_timm_reads(published):
    timm_hub = pytest.importorskip("timm.models._hub", reason="timm is the reference for the configuration")
    from timm.data import resolve_data_config

    pretrained_cfg, name, arguments = timm_hub.load_model_config_from_path(published[1])
    assert (name, arguments) == (NAME, {})
    data = resolve_data_config(pretrained_cfg=pretrained_cfg)
    assert data["input_size"] == [3, 224, 224] or data["input_size"] == (3, 224, 224)
    assert data["interpolation"] == "bilinear"
    assert data["crop_pct"] == 0.875
    assert tuple(data["mean"]) == (0.485, 0.456, 0.406)
    assert tuple(data["std"]) == (0.229, 0.224, 0.225)
    assert pretrained_cfg["num_classes"] == 1000
    assert pretrained_cfg["pool_size"] == [7, 7]
    modules = dict(published[0].named_modules())
    assert isinstance(modules[pretrained_cfg["first_conv"]], torch.nn.Conv2d)
    assert isinstance(modules[pretrained_cfg["classifier"]], torch.nn.Linear)
    config = json.loads((published[1] / "config.json").read_text())
    assert (config["num_features"], config["pretrained_cfg"]["tag"]) == (512, "imagenet")


def test_the_card_is_made_from_the_record(published):
    card = huggingface_hub.ModelCard.load(published[1] / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "resnexus"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.tags == ["image-classification", "resnexus", "senet", "imagenet"]
    assert card.data.datasets == ["imagenet-1k"]
    assert card.data.metrics == ["accuracy"]
    record = tags(NAME)["imagenet"]
    assert [result.metric_value for result in card.data.eval_results] == [
        round(100 * record.published.top1, 2),
        round(100 * record.published.top5, 2),
    ]
    assert record.url in card.text
    assert "11.8" in card.text  # million parameters
    assert "short side to 256 (bilinear, without antialias), centre crop 224" in card.text


def test_the_card_of_a_network_of_ones_own_claims_nothing(tmp_path):
    save_pretrained(create_model(ROW), tmp_path, preprocess=SMALL, licence="MIT", repo_id="me/mine")
    card = huggingface_hub.ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "mit"
    assert card.data.datasets is card.data.metrics is card.data.eval_results is None
    assert 'from_pretrained("me/mine")' in card.text
    assert "accuracy" not in card.text


def test_a_record_must_be_that_of_the_network(tmp_path):
    record = checkpoints()["Res2Net50_vd_26w_4s_ssld"]
    for network in (create_model(ROW), create_model(NAME, num_classes=10)):
        with pytest.raises(ResnexusError, match=r"its figures are those of .* with 1000 classes.*give preprocess="):
            save_pretrained(
                network, tmp_path, checkpoint=record if network.num_classes == 1000 else tags(NAME)["imagenet"]
            )
    with pytest.raises(ResnexusError, match="preprocess=None: say how images are to be prepared"):
        save_pretrained(create_model(ROW), tmp_path)
    with pytest.raises(ResnexusError, match="preprocess is for 3 image channels, the model for 5"):
        save_pretrained(create_model(ROW, in_chans=5), tmp_path, preprocess=SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "cannot read .*config.json"),
        ("{", "config.json is not JSON"),
        ("[" * 100_000, "config.json is not JSON: it is nested too deeply"),
        ("[]", "config.json: expected an object, found a list"),
        ('{"architecture": "resnet50"}', "does not describe a network of Resnexus: it has no part 'resnexus'"),
        (
            '{"resnexus": {"version": "1", "checkpoint": null, "row": {"code": "os.system"}}}',
            "row: unknown field of Architecture 'code'",
        ),
        ({"width": 10**400}, "far from the size"),
        ({"depths": [2, 2, 10**9]}, "far from the size"),
        ({"cascade": "paddle"}, "written for a network with cascade='authors', not for this Res2Net_small"),
        ({"width": 8}, r"do not fit Res2Net_small \(the authors' cascade\): expected \(-\) and found \(\+\)"),
    ],
)
def test_a_folder_that_is_not_right_is_refused(config, message, tmp_path):
    save_pretrained(create_model(ROW), tmp_path, preprocess=SMALL)
    path = tmp_path / "config.json"
    if config is None:
        path.unlink()
    elif isinstance(config, str):
        path.write_text(config)
    else:
        content = json.loads(path.read_text())
        content["resnexus"]["row"] |= config
        if "cascade" not in config:
            (tmp_path / "model.safetensors").write_bytes(_bare(create_model(ROW)))
        path.write_text(json.dumps(content))
    with pytest.raises(ResnexusError, match=message):
        from_pretrained(tmp_path)


def _bare(network):
    from safetensors.torch import save

    return save(network.state_dict())


def test_what_is_neither_folder_nor_repository(tmp_path):
    with pytest.raises(ResnexusError, match="neither a folder nor a repository of the Hub, USER/NAME"):
        from_pretrained(tmp_path / "nothing")
    with pytest.raises(ResnexusError, match="me/mine: not a folder here, and the Hub does not give it"):
        from_pretrained("me/mine")
    with pytest.raises(ResnexusError, match=r"revision='v1' has no effect: .* is a folder"):
        from_pretrained(tmp_path, revision="v1")


def test_what_would_be_uploaded(monkeypatch):
    network, calls = create_model(ROW), []

    def create_repo(self, repo_id, **arguments):
        calls.append(("create", repo_id, arguments, self.token))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        assert_same(network, from_pretrained(folder_path))
        card = huggingface_hub.ModelCard.load(f"{folder_path}/README.md")
        calls.append(("upload", repo_id, commit_message, 'from_pretrained("me/mine")' in card.text))
        return SimpleNamespace(commit_url="https://hub.invalid/me/mine/commit/1")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    address = push_to_hub(network, "me/mine", preprocess=SMALL, private=True, token="secret", message="First")
    assert address == "https://hub.invalid/me/mine/commit/1"
    assert calls == [
        ("create", "me/mine", {"private": True, "exist_ok": True}, "secret"),
        ("upload", "me/mine", "First", True),
    ]
    with pytest.raises(ResnexusError, match="repo_id='mine': expected USER/NAME"):
        push_to_hub(network, "mine", preprocess=SMALL)


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path):
    save_pretrained(create_model(ROW), tmp_path, preprocess=SMALL)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    from_pretrained(tmp_path)  # a folder needs no library
    for call in (
        lambda: save_pretrained(create_model(ROW), tmp_path, preprocess=SMALL),
        lambda: from_pretrained("me/mine"),
        lambda: push_to_hub(create_model(ROW), "me/mine", preprocess=SMALL),
    ):
        with pytest.raises(ResnexusError, match=r"pip install 'resnexus\[hub\]'"):
            call()
