import numpy as np
import pytest
import torch

from resnexus import ResnexusError
from resnexus.distillation import scoring
from resnexus.distillation.scoring import Scorer, teacher_runner
from resnexus.distillation.views import redrawn
from resnexus.prediction.runner import Answers
from resnexus.prediction.settings import PredictionSettings
from tests.distillation.conftest import BROKEN, SETTINGS

GOOD = sorted(set(range(10)) - set(BROKEN))


def test_what_is_kept_and_the_rest_are_one(cache):
    for prefix in ("", "plain_"):
        kept = cache.column(f"{prefix}probabilities").astype(np.float64).sum(-1) + cache.column(f"{prefix}rest")
        np.testing.assert_allclose(kept[GOOD], 1, rtol=0, atol=1e-6)
        assert (cache.column(f"{prefix}rest")[GOOD] > 0).all()


@torch.inference_mode()
def test_soft_labels_are_the_networks_own(cache, network):
    for index in GOOD:
        for view in (None, 0, 1, 2):
            found = cache.soft_label(index) if view is None else cache.soft_labels(index, view)
            image = redrawn(cache.pictures[index], found.seed, cache.record)
            expected = network(image[None])[0].double().softmax(0)
            order = expected.argsort(descending=True).tolist()
            assert found.classes.tolist() == order[:2]
            np.testing.assert_allclose(found.probabilities, expected[order[:2]], rtol=1e-5)
            np.testing.assert_allclose(found.rest, expected[order[2]], rtol=1e-4)
        features = network.forward_head(
            network.forward_features(redrawn(cache.pictures[index], None, cache.record)[None]), pre_logits=True
        )
        np.testing.assert_allclose(cache.feature(index), features[0], rtol=1e-3, atol=1e-4)


def test_a_picture_that_cannot_be_read_is_recorded_and_costs_no_other(cache, pool_folder, weights, tmp_path):
    assert {picture.id: picture.error for picture in cache.pictures if picture.error} == BROKEN
    for index in BROKEN:
        assert (cache.column("classes")[index] == -1).all()
        assert not cache.column("probabilities")[index].any()
        assert not cache.column("features")[index].any()
        assert cache.column("seeds")[index].all()
    # With something readable in its place, the others' answers are the same to the bit.
    scorer = Scorer(cache.record, SETTINGS.asking)
    whole = [
        picture if picture.id != 3 else type(picture)(id=3, uri=cache.pictures[0].uri) for picture in cache.pictures
    ]
    arrays, _ = scorer.shard(whole[:4])
    scorer.close()
    for name, array in arrays.items():
        assert array[:3].tobytes() == cache.column(name)[:3].tobytes(), name


def test_an_answer_that_is_not_finite_is_none(cache, monkeypatch):
    real = scoring.teacher_runner

    def spoilt(*arguments):
        runner = real(*arguments)

        class Spoilt:
            card, close = runner.card, runner.close

            def __call__(self, images):
                answers = runner(images)
                logits, embeddings = answers.logits.clone(), answers.embeddings.clone()
                logits[2, 0] = float("nan")  # the second random view of the first picture
                embeddings[4] = 1e6  # the plain view of the second, beyond 16 bits
                return Answers(logits=logits, embeddings=embeddings)

        return Spoilt()

    monkeypatch.setattr(scoring, "teacher_runner", spoilt)
    scorer = Scorer(cache.record, SETTINGS.asking)
    arrays, pictures = scorer.shard(cache.pictures[:2])
    scorer.close()
    assert [picture.error for picture in pictures] == ["not_finite", "not_finite"]
    assert (arrays["classes"] == -1).all()


def test_teachers_that_cannot_be_asked(cache, weights, tmp_path):
    with pytest.raises(ResnexusError, match="every class is a question of its own"):
        teacher_runner(str(weights), PredictionSettings(multi_label=True))
    other = type(cache.record)(**{**vars(cache.record), "teacher_sha256": "0" * 64})
    with pytest.raises(ResnexusError, match="has other weights than those that scored the cache"):
        Scorer(other, SETTINGS.asking)
