"""Print the wheels that a machine for `gpu_bench` needs besides what is installed there, and how to fetch them.

What is there is read from the requirements of the packages that are named: a record of this machine's own versions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

THERE = (
    "torch",
    "torchvision",
    "triton",
    "timm",
    "lightning",
    "onnx",
    "onnxruntime",
    "numpy",
    "typer",
    "rich",
    "pytest",
    "hypothesis",
)


def needed(package: str, there: Iterable[str]) -> dict[str, str]:
    """Return name -> version of everything that a package requires, without what other packages bring.

    Args:
        package: whose requirements, without those of its extras.
        there: packages that are installed already, with all that they require.
    """
    present = set(_closure(there))
    return {name: version(name) for name in sorted(set(_closure([package])) - present - {canonicalize_name(package)})}


def _closure(packages: Iterable[str]) -> Iterator[str]:
    """Yield packages and all that they require, as far as that is installed here."""
    seen: set[str] = set()
    waiting = [canonicalize_name(name) for name in packages]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            wanted = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
        yield name
        wanted = [entry for entry in wanted if entry.marker is None or entry.marker.evaluate({"extra": ""})]
        waiting += [canonicalize_name(entry.name) for entry in wanted]


def main() -> None:
    """Print a line for each wheel, and the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--there", nargs="*", default=THERE, help="packages that the machine has")
    parser.add_argument("--python", default="3.12", help="its version of Python")
    arguments = parser.parse_args()
    found = [f"{name}=={number}" for name, number in needed("resnexus", arguments.there).items()]
    print("\n".join(found))
    print(f"pip download --no-deps --only-binary=:all: --python-version {arguments.python} --dest wheels", *found)


if __name__ == "__main__":
    main()
