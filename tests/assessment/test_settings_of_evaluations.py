import pytest

from resnexus import ResnexusError
from resnexus.assessment import settings
from resnexus.assessment.settings import AssessmentSettings
from resnexus.packages import MissingPackageError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "imagenet-b"}, "unknown labels 'imagenet-b'"),
        ({"part": "train"}, "unknown part of the images 'train': accepted are all, val"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"corruptions": ("hail",)}, "unknown corruption 'hail'"),
        ({"severities": (1, 6)}, "severity=6: expected 1 to 5"),
        ({"sizes": (24, 24)}, "sizes=24,24: one is named twice"),
        ({"corruptions": ("fog", "fog")}, "corruptions=fog,fog: one is named twice"),
        ({"batch_size": 0}, "batch_size=0: expected at least 1"),
        ({"seed": -1}, "seed=-1: expected at least 0"),
        ({"seed": 1}, "seed=1 has no effect without corruptions: name some of them"),
        ({"severities": (5,)}, r"severities=\(5,\) has no effect without corruptions"),
    ],
)
def test_values_that_are_refused(options, message):
    with pytest.raises(ResnexusError, match=message):
        AssessmentSettings(**options)


def test_what_a_corruption_needs_is_missed_at_once(monkeypatch):
    def absent(name):
        raise MissingPackageError(f"{name} is not installed")

    monkeypatch.setattr(settings, "installed_version", absent)
    AssessmentSettings(corruptions=("frost", "fog"))
    with pytest.raises(MissingPackageError, match="cv2 is not installed"):
        AssessmentSettings(corruptions=("frost", "spatter"))
