"""A finished step is not done again, unless something that it depends on is another."""

import pytest

from resnexus import ResnexusError
from resnexus.distillation.steps import Finished, Left, Steps
from resnexus.records import read_json


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.5
        return self.now


class Jobs:
    """Steps that count how often they are done, and write what they are told."""

    def __init__(self, out, progress):
        self.steps, self.done = Steps(out, progress, Clock()), []

    def run(self, first="a", second="b"):
        self.steps.step("first", {"value": first}, self._job("first", first))
        self.steps.step("second", {"value": second}, self._job("second", second), "first")
        return self

    def _job(self, name, text):
        def job(folder):
            self.done.append(name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "out.txt").write_text(text)
            return Left(files=(folder / "out.txt",), figures={"length": len(text)})

        return job


def test_a_finished_step_is_kept(tmp_path, recorded):
    once = Jobs(tmp_path, recorded).run()
    again = Jobs(tmp_path, recorded).run()
    assert (once.done, again.done) == (["first", "second"], [])
    assert recorded.said == ["first: finished before, kept", "second: finished before, kept"]
    assert once.steps.done == again.steps.done
    assert once.steps.done["first"].seconds == 1.5
    assert once.steps.done["first"].figures == {"length": 1}
    assert again.steps.file("second", "out.txt").read_text() == "b"


def test_what_a_change_touches_is_done_beside_what_was_done(tmp_path, recorded):
    Jobs(tmp_path, recorded).run()
    assert Jobs(tmp_path, recorded).run(second="bb").done == ["second"]
    assert Jobs(tmp_path, recorded).run(first="aa").done == ["first", "second"]  # what follows depends on it
    assert Jobs(tmp_path, recorded).run().done == []  # the first settings are there still


def test_what_was_changed_by_hand_is_named(tmp_path, recorded):
    path = Jobs(tmp_path, recorded).run().steps.file("first", "out.txt")
    path.write_text("other")
    with pytest.raises(
        ResnexusError, match=r"out.txt is not what the step first left: put it back, or remove .*first-"
    ):
        Jobs(tmp_path, recorded).run()
    path.unlink()
    with pytest.raises(ResnexusError, match="is not what the step first left"):
        Jobs(tmp_path, recorded).run()


def test_a_step_that_fails_is_done_again(tmp_path, recorded):
    steps = Steps(tmp_path, recorded)

    def failing(folder):
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.step("first", {}, failing)
    assert steps.done == {}
    found = steps.step("first", {}, lambda folder: Left(files=(folder / "half",)))
    (record,) = (tmp_path / "steps").glob("first-*.json")
    assert read_json(Finished, record) == found
