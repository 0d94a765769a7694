"""The corruption error of ImageNet-C: how much worse than a stated baseline a network takes corruptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from resnexus.evaluation.corruptions.table import CORRUPTIONS, SEVERITIES

Errors = Mapping[tuple[str, int], float]
"""(Corruption, severity) -> 1 - top-1."""


def corruption_errors(own: Errors, baseline: Errors) -> dict[str, float]:
    """Return corruption -> CE: the sum of a network's errors over severities, over that of the baseline's.

    Hendrycks and Dietterich 2019, arXiv:1903.12261, where the baseline is AlexNet on the authors' files. Here it is
    whatever network was evaluated on the same corrupted pictures.

    Args:
        own: of the network.
        baseline: of the baseline. A corruption that it does not have at the same severities, or makes no error under,
            is left out.
    """
    found = {}
    for name in dict.fromkeys(name for name, _ in own):
        severities = {severity for other, severity in own if other == name}
        if severities == {severity for other, severity in baseline if other == name}:
            divisor = sum(baseline[name, severity] for severity in severities)
            if divisor:
                found[name] = sum(own[name, severity] for severity in severities) / divisor
    return found


def is_benchmark(names: Collection[str], severities: Collection[int]) -> bool:
    """Whether the mean over these corruptions and severities is the mCE: the benchmark's fifteen at all five."""
    return set(names) == {row.name for row in CORRUPTIONS.values() if not row.extra} and set(severities) == set(
        SEVERITIES
    )
