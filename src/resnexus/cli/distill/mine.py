"""`resnexus distill mine`: which pictures of a pool to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import Json

if TYPE_CHECKING:
    from resnexus.distillation.mining import Mining

_SHOWN = 10
"""Rare classes that are named; the record has all."""


def mine(
    cache: Annotated[Path, typer.Argument(metavar="CACHE", help="What `resnexus distill score` wrote.")],
    per_class: Annotated[int, typer.Option(help="Pictures of each class at most.")],
    min_confidence: Annotated[float, typer.Option(help="Least probability of the most probable class.")],
    out: Annotated[Path, typer.Option(help="The selection, JSON lines.")] = Path("selection.jsonl"),
    duplicates: Annotated[
        Path | None, typer.Option(help="What `resnexus distill dedupe` wrote; its copies are left out.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Take the pictures of each class of which the teacher is surest, and of no class more than so many.

    Every line of OUT says which picture, of what class, how sure the teacher is, and its rank. NAME.run.json beside it
    counts what was left out, by reason, and names the classes with fewer pictures than were asked for.
    """
    from resnexus.distillation.cache import open_cache
    from resnexus.distillation.mining import mine as job
    from resnexus.records import to_json

    done = job(open_cache(cache), out, per_class=per_class, min_confidence=min_confidence, duplicates=duplicates)
    print(to_json(done) if json_output else _told(done, out))


def _told(done: Mining, out: Path) -> str:
    from resnexus.errors import printable
    from resnexus.report.printing import counted

    reasons = {
        "unreadable": done.unreadable,
        "copies": done.copies,
        f"below {done.min_confidence:g}": done.unsure,
        f"beyond the first {done.per_class:,} of their class": done.surplus,
    }
    left = ", ".join(f"{count:,} {why}" for why, count in reasons.items() if count) or "none"
    lines = [
        f"{done.selected:,} of {counted(done.pictures, 'picture')}, of {counted(done.classes, 'class', 'classes')}; "
        f"left out: {left}; wrote {out}"
    ]
    if done.rare:
        named = ", ".join(f"{printable(rare.name)} ({rare.pictures})" for rare in done.rare[:_SHOWN])
        more = f", and {len(done.rare) - _SHOWN} more" if len(done.rare) > _SHOWN else ""
        lines.append(f"fewer than {done.per_class:,}: {named}{more}")
    return "\n".join(lines)
