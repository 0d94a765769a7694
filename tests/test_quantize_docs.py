"""docs/quantize.md says what the record in results/ says.

After a new measurement write the page anew: RESNEXUS_WRITE_DOCS=1 pytest tests/test_quantize_docs.py
"""

from studies import quantisation
from tests.measured import check_measured
from tests.test_docs import ROOT

PAGE = ROOT / "docs" / "quantize.md"


def test_the_figures_come_from_the_record():
    check_measured(PAGE, "quantisation", quantisation.section())
