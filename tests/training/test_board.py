"""What TensorBoard cannot write is told before the first step."""

import os
from pathlib import Path

import pytest

from resnexus import ResnexusError
from resnexus.training.board import Board


def test_a_folder_that_is_no_unicode(tmp_path):
    Board(tmp_path, None)
    with pytest.raises(ResnexusError, match=r"out\\udcff: TensorBoard writes to no folder whose name is not Unicode"):
        Board(Path(os.fsdecode(b"out\xff")), None)
