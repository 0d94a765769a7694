"""The forms by the name of their format."""

from __future__ import annotations

from importlib import import_module

from resnexus.errors import unknown
from resnexus.quantisation.forms.contract import Form

# Module of each; imported on use.
_HOMES = {"openvino": "openvino", "onnx": "onnx", "pt2": "program"}
FORMATS = tuple(_HOMES)


def find_form(format: str) -> Form:
    """Return how the graphs of a format are quantised, whether what that needs is installed or not.

    Raises:
        ResnexusError: no format of int8 is called that.
    """
    if format not in _HOMES:
        raise unknown("format of int8", format, _HOMES)
    found: Form = import_module(f"resnexus.quantisation.forms.{_HOMES[format]}").FORM
    return found
