"""What stands in a page of the documentation between `<!-- measured: MARK -->` and `<!-- end -->`."""

import os
import re


def check_measured(page, mark, section):
    """Check that a page has one block of a mark and that it holds `section`; RESNEXUS_WRITE_DOCS=1 writes it there."""
    block = re.compile(rf"(?<=<!-- measured: {mark} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    written, found = block.subn(lambda _: section, page.read_text())
    assert found == 1
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        page.write_text(written)
    assert page.read_text() == written
