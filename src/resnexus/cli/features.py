"""The options that ask a command for feature maps."""

from __future__ import annotations

from typing import Annotated

import typer

Features = Annotated[
    str | None,
    typer.Option(
        metavar="MAPS", help="Feature maps instead of logits, separated by commas: 0 the stem's, 1 to 4 the stages'."
    ),
]
OutputStride = Annotated[
    int | None, typer.Option(help="8 or 16: the last maps as large as at that stride, by dilation.")
]
