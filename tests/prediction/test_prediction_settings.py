import pytest

from resnexus import ResnexusError
from resnexus.prediction.settings import PredictionSettings, settings_of
from resnexus.records import to_json


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "fast"}, "unknown engine 'fast': accepted are accelerated, plain"),
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"engine": "accelerated", "precision": "fp16"}, "the accelerated engine runs fp32 and bf16 on the cpu"),
        ({"engine": "accelerated", "device": "cuda"}, "the accelerated engine runs fp32 and bf16 on the cpu"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"batch_size": 0}, "batch_size=0: expected a whole number of at least 1"),
        ({"topk": True}, "topk=True: expected a whole number"),
        ({"workers": -1}, "workers=-1: expected a whole number of at least 0"),
        ({"threshold": 1.5}, r"threshold=1\.5: expected a probability"),
        ({"time_limit": 0}, "time_limit=0: expected seconds"),
        ({"topkk": 3}, "unknown option 'topkk': did you mean 'topk'"),
    ],
)
def test_values_that_are_not_accepted(options, message):
    with pytest.raises(ResnexusError, match=message):
        settings_of(None, options)


def test_settings_or_options():
    settings = PredictionSettings(topk=3)
    assert settings_of(settings, {}) is settings
    assert settings_of(None, {"topk": 3}) == settings
    with pytest.raises(ResnexusError, match="topk: give them in settings, or no settings"):
        settings_of(settings, {"topk": 3})


def test_a_device_is_kept_by_the_word_of_records():
    """A folder that `--device cuda` began goes on with `--device gpu`."""
    assert PredictionSettings(device="gpu") == PredictionSettings(device="cuda")
    assert to_json(PredictionSettings(device="gpu")).count('"device": "cuda"') == 1
