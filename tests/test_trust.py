from __future__ import annotations

import os

import pytest

from resnexus import trust
from resnexus.trust import TrustError, check_own


def test_files_and_folders_of_ones_own(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    for mode in (0o600, 0o644, 0o444, 0o755):
        path.chmod(mode)
        check_own(path)
    tmp_path.chmod(0o700)
    check_own(tmp_path)


@pytest.mark.parametrize(("mode", "writers"), [(0o620, "its group"), (0o602, "everybody"), (0o666, "its group and ev")])
def test_what_others_may_write(mode, writers, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(mode)
    with pytest.raises(TrustError, match=rf"can be written by {writers}.*chmod go-w .*{path.name}"):
        check_own(path)


def test_what_belongs_to_somebody_else(tmp_path, monkeypatch):
    owner = os.getuid() or 12345
    path = tmp_path / "file"
    path.write_text("")
    if os.getuid() == 0:
        os.chown(path, owner, -1)
    monkeypatch.setattr(trust.os, "getuid", lambda: owner + 1)
    with pytest.raises(TrustError, match=rf"{path.name} belongs to user .*would run as user {owner + 1}: remove it"):
        check_own(path)
    monkeypatch.setattr(trust.os, "getuid", lambda: owner)
    check_own(path)


def test_the_opened_file_is_what_counts(tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("")
    path.chmod(0o600)
    descriptor = os.open(path, os.O_RDONLY)
    other.write_text("")
    other.chmod(0o666)
    other.replace(path)
    check_own(path, descriptor)
    with pytest.raises(TrustError):
        check_own(path)
    os.close(descriptor)


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_own(tmp_path / "none")
