"""What `gpu_bench` prints last: all that it found, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resnexus.benchmark.bench import Bench, LeftOut
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.ratios import best_peer, ratio_of
from studies.gpu_record import Checks
from studies.gpu_targets import COMPILER, targets


def table(bench: Bench, checks: Checks) -> str:
    """Return a line for each network, then the targets, and what failed."""
    lines = [*_networks(bench), *(f"target: {target.text}" for target in targets(bench, checks)), *_aside(checks)]
    for entry in checks.training:
        lines.append(f"training {entry.model}: {entry.timm_ms / entry.ours_ms:.2f} x timm's {entry.timm}")
    if checks.chain_us is not None:
        lines.append(f"{checks.chain_us:.2f} us for each kernel of a chain")
    wrong = [check for check in checks.steps if not check.holds]
    lines.append(f"{len(checks.steps) - len(wrong)} of {len(checks.steps)} steps agree with float64")
    lines += [f"  {check.way} for {check.step}: {check.note or f'off by {check.max_rel:.1e}'}" for check in wrong]
    lines += [f"left out: {reason}" for reason in _reasons(bench.left_out)]
    return "\n".join([*lines, *(f"failed: {note}" for note in checks.notes)])


def _networks(bench: Bench) -> Iterator[str]:
    for cell in bench.cells:
        if cell.engine != OURS:
            continue
        place = (cell.model, cell.precision, cell.batch_size)
        there = {peer.engine for peer in bench.cells if (peer.model, peer.precision, peer.batch_size) == place}
        peer, against = best_peer(bench.cells, cell, cell.precision), "no peer"
        if peer is not None:
            against = f"{ratio_of(cell, peer).median:5.2f} of {peer.engine} {peer.median_ms:.3f}"
            against += "" if COMPILER in there else " (its compiler was not timed)"
        yield f"{place[0]:24} {place[1]:5} {place[2]:4} {cell.median_ms:9.3f} ms  {against}  {cell.plan}"


def _aside(checks: Checks) -> Iterator[str]:
    """Yield what was timed in turns of its own: each beside the compiler in the same turns."""
    compiled = {(cell.model, cell.precision, cell.batch_size): cell for cell in checks.aside if cell.engine == COMPILER}
    for cell in checks.aside:
        peer = compiled.get((cell.model, cell.precision, cell.batch_size))
        against = "" if peer is None or peer is cell else f"  {ratio_of(cell, peer).median:.2f} of {peer.engine}"
        yield f"aside: {cell.model} {cell.precision} {cell.batch_size} {cell.engine} {cell.median_ms:.3f} ms{against}"


def _reasons(left_out: Iterable[LeftOut]) -> list[str]:
    found: dict[str, int] = {}
    for entry in left_out:
        reason = f"{entry.engine} in {entry.precision}: {entry.reason}"
        found[reason] = found.get(reason, 0) + 1
    return [f"{reason} ({count})" for reason, count in found.items()]
