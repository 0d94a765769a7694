from __future__ import annotations

import pytest
import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.native import compiler
from studies import side_by_side
from studies.side_by_side import Crowd, build, measure

pytestmark = pytest.mark.skipif(compiler.find_compiler() is None, reason="there is no C++ compiler")


def test_every_setting_is_measured_by_engines_of_its_own(smallest, tmp_path, monkeypatch):
    engine = build(smallest, "native", Job(batch_size=2, image_size=(16, 16)), tmp_path)
    shapes = []
    opened = side_by_side.backend("native")

    class Counting:
        def load(self, *arguments):
            runner = opened.load(*arguments)

            def call(images: torch.Tensor) -> torch.Tensor:
                shapes.append(images.shape)
                return runner(images)

            return call

    monkeypatch.setattr(side_by_side, "backend", lambda name: Counting())
    found = measure(engine, [1, 3], ways=["threads"], seconds=0.0, rounds=2)  # one call each, however long it takes
    assert [(crowd.way, crowd.engines) for crowd in found] == [("threads", 1), ("threads", 3)]
    assert shapes == [(2, 3, 16, 16)] * 2 * (1 + 3) * 2  # the first call of an engine is not timed
    assert found[0].slowest_share == pytest.approx(1)
    for crowd in found:
        assert 0 < crowd.least_s <= crowd.images_s <= crowd.most_s
        assert 0 < crowd.slowest_share <= 1 + 1e-9


def test_what_rates_come_to():
    found = side_by_side._crowd("processes", 2, [[3.0, 5.0], [4.0, 6.0], [1.0, 3.0]])
    assert found == Crowd(way="processes", engines=2, images_s=8.0, least_s=4.0, most_s=10.0, slowest_share=0.5)
