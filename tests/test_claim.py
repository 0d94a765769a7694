"""A folder belongs to one process at a time."""

import pytest

from resnexus import ResnexusError
from resnexus.claim import LOCK, claimed


def test_who_does_not_wait_is_told(tmp_path):
    out = tmp_path / "run"
    with claimed(out, busy="another process trains in"):
        assert (out / LOCK).exists()
        with (
            pytest.raises(ResnexusError, match=f"another process trains in {out}: wait for it, or give another folder"),
            claimed(out, busy="another process trains in"),
        ):
            pass
    with claimed(out, busy="another process trains in"):
        pass


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ResnexusError, match=r"cannot write .*file: .*file is no folder. Choose another folder or make"),
        claimed(tmp_path / "file", busy="another process trains in"),
    ):
        pass
