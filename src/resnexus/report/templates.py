"""The templates of the pages: how they are read, and what they can do."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from resnexus.packages import required
from resnexus.report.drawing import for_page

ROOM = "resnexus.report"


def template(name: str, room: str = ROOM) -> Any:
    """Return a template that escapes what it prints, and refuses names that it was not given.

    Args:
        name: of the file.
        room: the package that ships it; what it imports is of this one.

    Raises:
        MissingPackageError: jinja2 is not installed.
    """
    jinja2 = required("jinja2")
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda asked: shipped(asked, room if asked == name else ROOM)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = lambda name: markupsafe.escape(name).replace("_", markupsafe.Markup("_<wbr>"))
    environment.filters["figure"] = lambda svg, title: markupsafe.Markup(for_page(svg, title))
    return environment.get_template(name)


def shipped(name: str, room: str = ROOM) -> str:
    """Return the text of a file that a package ships, by default this one."""
    return (files(room) / name).read_text(encoding="utf-8")
