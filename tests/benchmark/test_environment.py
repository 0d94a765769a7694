from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from resnexus import ResnexusError, __version__
from resnexus.benchmark.environment import environment
from resnexus.machine import usable_cores


def test_it_is_that_of_this_process():
    here = environment()
    assert (here.cores, here.threads) == (usable_cores(), torch.get_num_threads())
    assert here.packages["torch"] == torch.__version__.partition("+")[0]
    assert here.packages["resnexus"] == __version__
    assert datetime.fromisoformat(here.date).tzinfo == UTC


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cores", 0, "cores=0: expected a whole number of at least 1"),
        ("threads", -1, "threads=-1"),
        ("memory_gib", 0.0, "memory_gib=0.0: expected more than 0"),
        ("date", "yesterday", "date='yesterday': expected ISO 8601"),
    ],
)
def test_it_holds_what_can_be(field, value, message):
    with pytest.raises(ResnexusError, match=message):
        replace(environment(), **{field: value})
