"""A torch module scores a pool as a file of the same weights does, and is asked again by dedupe."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from resnexus import Preprocess, ResnexusError
from resnexus.distillation.dedupe import dedupe
from resnexus.distillation.module_runner import ModuleRunner
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import score
from resnexus.models import create_model
from resnexus.prediction.executors import executor_named
from resnexus.prediction.settings import PredictionSettings
from resnexus.teachers import TeacherModule
from resnexus.weights.checkpoint_file import read_record
from tests.distillation.conftest import SETTINGS
from tests.distillation.pictured import Anybodys


@pytest.fixture(scope="module")
def teacher(weights):
    record = read_record(weights)
    network = create_model(record.architecture, pretrained=weights)
    return TeacherModule(network=Anybodys(network), preprocess=record.preprocess, classes=record.classes)


def test_a_module_says_what_a_file_of_its_weights_says(cache, pool_folder, teacher, tmp_path):
    found = score(Listed([pool_folder]), teacher, tmp_path / "cache", SETTINGS)
    assert (found.record.teacher, found.record.teacher_sha256) == ("module Anybodys", teacher.sha256)
    known = ("teacher", "teacher_sha256", "notes")
    assert replace(found.record, **{name: getattr(cache.record, name) for name in known}) == cache.record
    for name in ("features", "plain_classes", "classes", "probabilities", "rest", "seeds"):
        assert (found.column(name) == cache.column(name)).all(), name
    assert not teacher.network._forward_pre_hooks
    own = [str(pool_folder / "0.png")]
    with pytest.raises(ResnexusError, match=r"the torch module Anybodys, which no name opens: give it in Python"):
        dedupe(found, own, tmp_path / "pairs.jsonl")
    assert dedupe(found, own, tmp_path / "pairs.jsonl", teacher=teacher).removed == 1
    other = replace(teacher, network=Anybodys(create_model(teacher.network.inner.architecture, num_classes=3)))
    with pytest.raises(ResnexusError, match="module Anybodys has other weights than those that scored the cache"):
        dedupe(found, own, tmp_path / "pairs.jsonl", teacher=other)


def test_a_module_is_asked_in_this_process_as_it_is(pool_folder, teacher, tmp_path):
    with pytest.raises(ResnexusError, match="executor: module Anybodys is asked in this process"):
        score(Listed([pool_folder]), teacher, tmp_path, SETTINGS, executor=executor_named("local", 1))
    with pytest.raises(ResnexusError, match="precision='bf16' has no effect on module Anybodys"):
        ModuleRunner(teacher, PredictionSettings(precision="bf16"))


def test_features_are_what_the_last_layer_takes_or_else_the_logits():
    seen, images = Preprocess(size=2, resize_short=2), torch.rand(3, 3, 2, 2)
    torch.manual_seed(0)
    body, head = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU()), nn.Linear(5, 4)
    runner = ModuleRunner(TeacherModule(network=nn.Sequential(body, head), preprocess=seen), PredictionSettings())
    answers = runner(images)
    assert torch.equal(answers.embeddings, body(images).detach())
    assert torch.equal(answers.logits, head(body(images)).detach())
    runner.close()
    bare = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten())
    answers = ModuleRunner(TeacherModule(network=bare, preprocess=seen), PredictionSettings())(images)
    assert torch.equal(answers.embeddings, answers.logits)
