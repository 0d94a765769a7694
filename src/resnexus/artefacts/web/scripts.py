"""The page's scripts: modules of JavaScript, put together in the order in which they need each other."""

from __future__ import annotations

import re

from resnexus.report.templates import shipped

ROOM = "resnexus.artefacts.web"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(?P<file>\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async function|function|class|const)", re.MULTILINE)


def bundled(entry: str) -> str:
    """Return one script: a module of `scripts/` with all that it imports, each once and before what needs it.

    Modules import by name from beside themselves, and no two that come together give one name to two things.
    """
    texts: dict[str, str] = {}
    _collect(entry, texts, set())
    return "\n".join(texts.values())


def _collect(name: str, texts: dict[str, str], begun: set[str]) -> None:
    if name in begun:
        return
    begun.add(name)
    text = shipped(f"scripts/{name}", ROOM)
    for found in _IMPORT.finditer(text):
        _collect(found["file"], texts, begun)
    texts[name] = _EXPORT.sub("", _IMPORT.sub("", text))
