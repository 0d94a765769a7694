import pytest

from resnexus.distillation.lines import read_lines, write_lines
from resnexus.distillation.pictures import Picture
from resnexus.records import RecordError


def test_what_is_written_is_read(tmp_path):
    pictures = [
        Picture(id=0, uri="/a b/ä.png", size=3),
        Picture(id=1, uri="line\nbreak \udcff\u2028", error="damaged"),
    ]
    assert write_lines(iter(pictures), tmp_path / "lines.jsonl") == 2
    assert list(read_lines(Picture, tmp_path / "lines.jsonl")) == pictures
    assert (tmp_path / "lines.jsonl").read_bytes().count(b"\n") == 2


def test_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"id": 0, "uri": "a"}\n{"id": "1", "uri": "b"}\n')
    with pytest.raises(RecordError, match=r"lines.jsonl, line 2: id: expected a whole number"):
        list(read_lines(Picture, path))
    with pytest.raises(RecordError, match=r"cannot read .*none.jsonl"):
        list(read_lines(Picture, tmp_path / "none.jsonl"))


def test_an_interrupted_file_is_not_there(tmp_path):
    def broken():
        yield Picture(id=0, uri="a")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_lines(broken(), tmp_path / "lines.jsonl")
    assert list(tmp_path.iterdir()) == []
