"""What was typed, and what of it would have no effect."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def refuse_others(context: typer.Context, accepted: Collection[str], beside: str) -> None:
    """Refuse every option and argument that was typed and is not accepted beside another.

    Args:
        context: of the command.
        accepted: their names as the command's function has them.
        beside: the option that the others have no effect beside, as it is typed.

    Raises:
        ResnexusError: names the first.
    """
    from resnexus.errors import ResnexusError

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in accepted and source is not None and source.name == "COMMANDLINE":
            raise ResnexusError(f"{parameter.opts[0]} has no effect with {beside}: leave it out")
