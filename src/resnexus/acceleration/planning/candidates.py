"""Which ways to run a network are worth trying: rows of combinations, not every combination."""

from __future__ import annotations

from collections.abc import Iterable

from resnexus.acceleration.backends.contract import Backend, Candidate, Job, Precision
from resnexus.acceleration.backends.cuda import LIBRARY, MEASURED, OURS
from resnexus.acceleration.backends.native import DIRECT
from resnexus.acceleration.backends.torch import COMPILED, EAGER, PLAIN
from resnexus.architectures.spec import Architecture
from resnexus.rewrites.table import REWRITES, free

# The network as it is: what no plan may be slower than.
PLAIN_CANDIDATE = Candidate("torch", (), {"mode": PLAIN})


# What pays on some machine, at some batch size, in some back end; each is tried on the best of the first round.
_WORTH_TRYING = {
    "native": (),
    "torch": ("res2_grouped_stride2", "res2_separate_entries", "res2_without_copies"),
    "openvino": ("res2_grouped_stride2", "res2_separate_entries", "res2_aligned_widths_16"),
    "onnxruntime": ("res2_grouped_stride2", "res2_without_copies", "pack_groups_16"),
    "cuda": ("res2_aligned_widths_8", "res2_aligned_widths_16"),
}


def computes_in(candidate: Candidate, job: Job) -> Precision:
    """Return the precision of a candidate: that of the job, but for the plain network, which is float32."""
    return "fp32" if candidate == PLAIN_CANDIDATE else job.precision


def first_round(row: Architecture, backends: Iterable[Backend]) -> list[Candidate]:
    """Return, for every back end, the network with all that costs nothing.

    PyTorch's compiler, which takes a minute for 50 layers, is tried where PyTorch is the only back end.
    """
    rewrites = free(row)
    found = []
    entries = list(backends)
    modes = (EAGER, COMPILED) if len(entries) == 1 else (EAGER,)
    for entry in entries:
        if entry.name == "torch":
            found += [Candidate("torch", rewrites, {"mode": mode}) for mode in modes]
        elif entry.name == "cuda":
            found += [Candidate("cuda", rewrites, {"kernels": kernels}) for kernels in (LIBRARY, OURS)]
        else:
            found.append(Candidate(entry.name, rewrites))
    return found


def second_round(best: Candidate, row: Architecture, job: Job) -> list[Candidate]:
    """Return variations of the best so far, each with one thing changed."""
    if best == PLAIN_CANDIDATE:
        return []
    settings = [Candidate(best.backend, best.rewrites, options) for options in _settings(best, job)]
    if job.precision == "int8":  # every other rewriting would be calibrated anew, for minutes
        return settings
    found = [
        Candidate(best.backend, (*best.rewrites, name), best.options)
        for name in _WORTH_TRYING[best.backend]
        if REWRITES[name].applies(row)
    ]
    if "gate_before_projection" in best.rewrites:
        without = tuple(name for name in best.rewrites if name != "gate_before_projection")
        found.append(Candidate(best.backend, without, best.options))
    return found + settings


def combined(best: Candidate, improvements: list[Candidate]) -> Candidate:
    """Return the candidate that has every change that helped on its own.

    Args:
        best: what was varied.
        improvements: the variations that helped, the best of them first.
    """
    rewrites = list(best.rewrites)
    options = dict(best.options)
    for other in reversed(improvements):  # of two values for one option, that of the better candidate stays
        rewrites += [name for name in other.rewrites if name not in rewrites]
        options |= {key: value for key, value in other.options.items() if best.options.get(key) != value}
    dropped = {name for other in improvements for name in best.rewrites if name not in other.rewrites}
    rewrites = [name for name in rewrites if name not in dropped]
    return Candidate(best.backend, tuple(rewrites), options)


def _settings(best: Candidate, job: Job) -> list[dict[str, str]]:
    if best.backend == "native":
        return [{**best.options, "products": DIRECT}]
    if best.backend == "cuda":
        return [{**best.options, "kernels": MEASURED}]
    if best.backend != "openvino":
        return []
    found = []
    if job.precision == "int8":
        found.append({**best.options, "rest": "bf16"})
    divisors = {parts for parts in (job.threads, job.batch_size) if parts > 1 and job.batch_size % parts == 0}
    return found + [{**best.options, "parts": str(parts)} for parts in sorted(divisors)]
