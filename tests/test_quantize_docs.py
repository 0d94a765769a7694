"""docs/quantize.md says what the record in results/ says.

After a new measurement write the page anew: RESNEXUS_WRITE_DOCS=1 pytest tests/test_quantize_docs.py
"""

import os
import re

from studies import quantisation
from tests.test_docs import ROOT

PAGE = ROOT / "docs" / "quantize.md"


def test_the_figures_come_from_the_record():
    written = re.sub(
        r"(?<=<!-- measured: quantisation -->\n).*?(?=<!-- end -->)",
        lambda _: quantisation.section(),
        PAGE.read_text(),
        flags=re.DOTALL,
    )
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        PAGE.write_text(written)
    assert PAGE.read_text() == written
