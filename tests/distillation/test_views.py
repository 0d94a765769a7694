from dataclasses import replace

import numpy as np
import pytest
import torch

from resnexus import ResnexusError
from resnexus.data.augment import Augment
from resnexus.distillation import scoring
from resnexus.distillation.dedupe import _asking
from resnexus.distillation.pictures import Listed
from resnexus.distillation.picturing import _pictures
from resnexus.distillation.score import errors, score
from resnexus.distillation.scoring import Scorer
from resnexus.distillation.views import check_redrawable, redrawn, view_seed
from resnexus.prediction.settings import PredictionSettings
from tests.distillation.conftest import BROKEN, SETTINGS
from tests.weights.server import FileServer


def test_every_view_has_a_seed_of_its_own_that_follows_from_counters():
    seeds = {view_seed(seed, picture, view) for seed in range(3) for picture in range(20) for view in range(5)}
    assert len(seeds) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
    # By hand: the first 64 bits of NumPy's seed sequence of the three numbers, without the last.
    assert view_seed(1, 2, 3) == int(np.random.SeedSequence([1, 2, 3]).generate_state(1, np.uint64)[0]) // 2


def test_a_view_drawn_again_is_what_the_teacher_saw(cache, monkeypatch):
    seen = []
    real = scoring.teacher_runner

    def spied(*arguments):
        runner = real(*arguments)

        class Spy:
            card, close = runner.card, runner.close

            def __call__(self, images):
                seen.append(images.clone())
                return runner(images)

        return Spy()

    monkeypatch.setattr(scoring, "teacher_runner", spied)
    scorer = Scorer(cache.record, SETTINGS.asking)
    scorer.shard(cache.pictures[:4])
    scorer.close()
    shown = torch.cat(seen).view(4, 4, 3, 16, 16)
    for index in set(range(4)) - set(BROKEN):
        picture = cache.pictures[index]
        assert torch.equal(redrawn(picture, None, cache.record), shown[index, 0])
        views = [redrawn(picture, cache.soft_labels(index, view).seed, cache.record) for view in range(3)]
        assert torch.equal(torch.stack(views), shown[index, 1:])
        assert not torch.equal(views[0], views[1])
        # The functions of training: the same call with the same generator.
        seed = cache.soft_labels(index, 1).seed
        again = cache.record.augment(picture.source, cache.record.preprocess, np.random.default_rng(seed))
        assert torch.equal(again, views[1])


def test_a_policy_is_drawn_again_too(pool_folder, cache):
    augment = Augment(policy="rand_augment")
    picture = str(pool_folder / "0.png")
    pixels = cache.record.preprocess.pixels(picture)
    view = augment.view(pixels, cache.record.preprocess, np.random.default_rng(3))
    whole = augment(picture, cache.record.preprocess, np.random.default_rng(3))
    assert torch.equal(cache.record.preprocess.normalise(view), whole)


def test_a_picture_that_is_gone(cache):
    with pytest.raises(ResnexusError, match=r"picture 3, .*3.png: cut off, or not what its format says"):
        redrawn(cache.pictures[3], 1, cache.record)


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (Augment(size=8), "size=8 of the augmentation: give image_size"),
        (Augment(erasing=0.5), "erasing=0.5: a teacher is asked about whole views"),
    ],
)
def test_views_that_cannot_be_kept(augment, message):
    with pytest.raises(ResnexusError, match=message):
        check_redrawable(augment)


def test_pictures_of_a_private_network_are_read_again_where_they_were_read(pool_folder, weights, tmp_path):
    settings = replace(SETTINGS, asking=replace(SETTINGS.asking, private_addresses=True))
    with FileServer((pool_folder / "0.png").read_bytes()) as server:
        cache = score(Listed([f"{server.url}/0.png"]), str(weights), tmp_path, settings)
        assert errors(cache) == {}
        assert torch.equal(
            redrawn(cache.pictures[0], None, cache.record), cache.record.preprocess(pool_folder / "0.png")
        )
        assert [shown.why for shown in _pictures(cache, [(0, "mined")])] == ["mined"]
        elsewhere = replace(cache.record, private_addresses=False)
        with pytest.raises(ResnexusError, match="one of a private network"):
            redrawn(cache.pictures[0], None, elsewhere)
    for allowed in (False, True):  # by the cache, or by who asks
        assert _asking(cache, PredictionSettings(private_addresses=allowed)).private_addresses
    cache.record = elsewhere
    for allowed in (False, True):
        assert _asking(cache, PredictionSettings(private_addresses=allowed)).private_addresses is allowed
