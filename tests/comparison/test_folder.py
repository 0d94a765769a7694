"""One comparison at a time in a folder, and no page of somebody else's is lost."""

import os
import threading

import pytest

from resnexus import ResnexusError
from resnexus.claim import LOCK
from resnexus.comparison.folder import claimed_for_report
from resnexus.report.document import GENERATOR


def test_the_second_waits_for_the_first(tmp_path, recorded):
    said, entered = threading.Event(), threading.Event()
    recorded.say = lambda message: (recorded.said.append(message), said.set())

    def second():
        with claimed_for_report(tmp_path, recorded):
            entered.set()

    thread = threading.Thread(target=second)
    with claimed_for_report(tmp_path, recorded):
        thread.start()
        said.wait()
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()
    assert recorded.said == [f"another process compares in {tmp_path}: waiting until it is done"]


def test_it_is_let_go_after_an_error(tmp_path, recorded):
    with pytest.raises(RuntimeError, match="broken"), claimed_for_report(tmp_path, recorded):
        raise RuntimeError("broken")
    with claimed_for_report(tmp_path, recorded):
        assert (tmp_path / LOCK).exists()
    assert recorded.said == []


def test_a_page_of_the_users_own_is_not_overwritten(tmp_path, recorded):
    page = tmp_path / "index.html"
    page.write_text("<title>My holidays, with resnexus</title>")
    with pytest.raises(ResnexusError, match=r"index.html is no report of ours and is not overwritten"):
        claimed_for_report(tmp_path, recorded).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    page.write_text(f'<head><meta name="generator" content="{GENERATOR}">')
    with claimed_for_report(tmp_path, recorded):
        pass


def test_a_folder_that_is_a_file(tmp_path, recorded):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResnexusError, match=r"cannot write .*file: .*file is no folder. Choose another folder"):
        claimed_for_report(tmp_path / "file", recorded).__enter__()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path, recorded):
    tmp_path.chmod(0o500)
    with pytest.raises(ResnexusError, match=r"cannot write .*Permission denied"):
        claimed_for_report(tmp_path / "deep", recorded).__enter__()
