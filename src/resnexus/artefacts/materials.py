"""A bill of materials of the Python environment that an artefact was made in, in CycloneDX's JSON, beside it.

cyclonedx-bom reads it from what is installed: packages, versions, licences, and what needs what. Nothing is fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from resnexus.errors import ResnexusError, printable
from resnexus.files import replacing
from resnexus.packages import required

SUFFIX = ".cdx.json"
"""By which CycloneDX's tools know such a file."""


def check_materials() -> None:
    """See that a bill can be written.

    Raises:
        MissingPackageError: cyclonedx-bom is not installed.
    """
    required("cyclonedx_py")


def write_materials(path: str | os.PathLike[str]) -> Path:
    """Write the bill of this environment beside an artefact, under its name with `.cdx.json`, and return its place.

    Args:
        path: the artefact.

    Raises:
        MissingPackageError: cyclonedx-bom is not installed.
        ResnexusError: the environment cannot be read, or the file cannot be written.
    """
    check_materials()
    path = Path(path)
    place = path.with_name(path.name + SUFFIX)
    with replacing(place) as temporary:
        # -P: no module of the folder that the command is typed in takes a package's place.
        command = [sys.executable, "-P", "-m", "cyclonedx_py", "environment", "--output-reproducible"]
        command += ["--output-format", "JSON", "--output-file", str(temporary), sys.executable]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            *_, last = ["it does not say why", *done.stderr.split("\n")[:-1]]
            raise ResnexusError(f"{printable(place)}: cyclonedx-bom failed: {printable(last)}")
    return place
