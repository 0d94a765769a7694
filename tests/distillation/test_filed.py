"""Pictures that are read one by one from the lines of files."""

import pickle
import weakref

import numpy as np
import pytest

from resnexus import ResnexusError
from resnexus.distillation.filed import FiledPictures, SomePictures
from resnexus.distillation.lines import write_lines
from resnexus.distillation.pictures import Picture
from resnexus.records import RecordError


def filed(folder, count, per_file=4):
    """Pictures in memory, and the same in files; their lines are of many lengths, and of letters of several bytes."""
    pictures = tuple(
        Picture(
            id=number, uri=f"/é\n\udcff{'x' * (number % 7)}.png", size=number, error="empty" if number == 5 else None
        )
        for number in range(count)
    )
    paths = [folder / f"{start}.jsonl" for start in range(0, count, per_file)]
    for place, path in enumerate(paths):
        write_lines(pictures[per_file * place : per_file * (place + 1)], path)
    return pictures, FiledPictures(paths, per_file, count)


def test_every_picture_is_found_by_its_number(tmp_path):
    pictures, found = filed(tmp_path, 10)
    assert len(found) == 10
    assert tuple(found[number] for number in range(10)) == tuple(found) == pictures
    assert found[-1] == pictures[9]
    assert tuple(found[2:9:3]) == pictures[2:9:3]
    with pytest.raises(IndexError):
        found[10]
    again = pickle.loads(pickle.dumps(found))
    assert again[7] == pictures[7]


def test_some_of_them_in_an_order_of_their_own(tmp_path):
    pictures, found = filed(tmp_path, 10)
    some = SomePictures(found, np.array([7, 2, 5]))
    assert tuple(some) == (pictures[7], pictures[2], pictures[5])
    assert tuple(some[1:]) == (pictures[2], pictures[5])


def test_eight_bytes_are_held_of_a_picture_and_no_picture_is(tmp_path, monkeypatch):
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    _, few = filed(tmp_path / "few", 100, 100)
    pictures, many = filed(tmp_path / "many", 1100, 1100)
    # As it is copied into other processes.
    assert len(pickle.dumps(many)) - len(pickle.dumps(few)) == pytest.approx(8 * 1000, abs=100)
    del pictures
    alive, made = [], 0

    def counting(self):
        nonlocal made
        alive[:] = [one for one in alive if one() is not None] + [weakref.ref(self)]
        made += 1
        assert len(alive) <= 2  # one that the loop has, and the next

    monkeypatch.setattr(Picture, "__post_init__", counting)
    for _ in many:
        pass
    for number in range(1100):
        many[number]
    assert made == 2200


def test_a_line_of_another_picture_is_no_accident(tmp_path):
    _, found = filed(tmp_path, 10)
    path = tmp_path / "4.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[2], lines[1], lines[3]]))
    again = FiledPictures([tmp_path / f"{start}.jsonl" for start in (0, 4, 8)], 4, 10)
    assert again[4] == found[4]
    for ask in (lambda: again[5], lambda: list(again)):
        with pytest.raises(ResnexusError, match=r"4.jsonl holds other pictures than the cache's record says"):
            ask()
    path.write_text("".join([lines[0], "{}\n", *lines[2:]]))
    with pytest.raises(RecordError, match=r"4.jsonl, line 2"):
        FiledPictures([tmp_path / f"{start}.jsonl" for start in (0, 4, 8)], 4, 10)[5]
    path.write_text("".join(lines)[:-1])
    with pytest.raises(ResnexusError, match=r"4.jsonl holds other pictures"):
        FiledPictures([tmp_path / f"{start}.jsonl" for start in (0, 4, 8)], 4, 10)
    path.unlink()
    with pytest.raises(RecordError, match=r"cannot read .*4.jsonl"):
        FiledPictures([tmp_path / f"{start}.jsonl" for start in (0, 4, 8)], 4, 10)
