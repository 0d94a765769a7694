"""The templates of the pages: how they are read, and what they can do."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from resnexus.packages import required
from resnexus.report.drawing import for_page


def template(name: str) -> Any:
    """Return a template of this room that escapes what it prints, and refuses names that it was not given.

    Raises:
        MissingPackageError: jinja2 is not installed.
    """
    jinja2 = required("jinja2")
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(shipped),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = lambda name: markupsafe.escape(name).replace("_", markupsafe.Markup("_<wbr>"))
    environment.filters["figure"] = lambda svg, title: markupsafe.Markup(for_page(svg, title))
    return environment.get_template(name)


def shipped(name: str) -> str:
    """Return the text of a file of this room."""
    return (files("resnexus.report") / name).read_text(encoding="utf-8")
