"""The command line: one thin file per verb, and what they share here.

A verb's file imports what it runs inside the function, so that `resnexus --help` answers at once; and `main` imports
the verbs, so that Ctrl-C is heard before that.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from typing import Any

from resnexus.cli.interrupt import Interrupt, end_process
from resnexus.errors import ResnexusError, printable
from resnexus.training.stopping import STOPPED_EXIT_CODE, Stopped

_ESCAPED = "resnexus.escaped"


def main() -> None:
    """Run the command line.

    A mistake of the user ends in one sentence and exit code 2, Ctrl-C in 130, a training that SIGTERM stopped in 143.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error(_ESCAPED, _escaped)
        sys.stdout.reconfigure(errors=_ESCAPED)  # the name of a folder may be no Unicode, and the terminal no UTF-8
    interrupt = Interrupt()
    try:
        with interrupt:
            from resnexus.cli.application import app

            app()
    except BaseException as error:
        # What an interruption breaks may surface as another error: a worker that is gone, a module half imported.
        if interrupt.received or isinstance(error, KeyboardInterrupt):
            end_process(error)
        if isinstance(error, ResnexusError):
            # What a message quotes may come from a hostile file; its lines are ours.
            print("error:", "\n".join(map(printable, str(error).split("\n"))), file=sys.stderr)
            sys.exit(2)
        if isinstance(error, Stopped):
            print(f"stopped and kept; the same command goes on from here: {error}", file=sys.stderr)
            sys.exit(STOPPED_EXIT_CODE)
        raise


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write what standard output cannot hold as JSON does, so that JSON stays that: `\xe9` would be none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def __getattr__(name: str) -> Any:
    if name == "app":
        from resnexus.cli.application import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
