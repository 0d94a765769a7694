"""Signatures of artefacts with a key pair of one's own, in the format of OpenSSF Model Signing.

A signature lies beside what it is of, under the same name with `.sig`: one for each file, or one for a whole folder. It
is made and checked without any network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnexus.artefacts.formats.registry import format_of
from resnexus.errors import ResnexusError, printable
from resnexus.files import replacing
from resnexus.packages import required

SUFFIX = ".sig"


class SignatureError(ResnexusError):
    """A key that cannot be used, or a signature that is missing or of something else."""


class Signer:
    """Signs artefacts with one key.

    Args:
        key: a private key of an elliptic curve (P-256, P-384 or P-521) in PEM, without a password.

    Raises:
        SignatureError: there is no such key.
        MissingPackageError: model-signing is not installed.
    """

    def __init__(self, key: str | os.PathLike[str]) -> None:
        self._config: Any = _with_key("signing", "use_elliptic_key_signer", private_key=Path(key))

    def sign(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Sign an artefact and return where the signatures lie; older ones are replaced.

        Raises:
            ResnexusError: no artefact is there, or a signature cannot be written.
        """
        places = signatures(path)
        for signed, place in places.items():
            with replacing(place) as temporary:
                self._config.sign(signed, temporary)
        return tuple(places.values())


def verify_signature(path: str | os.PathLike[str], key: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Check that every file of an artefact is what the owner of a key signed; return the signatures.

    Args:
        path: the artefact.
        key: the public key in PEM.

    Raises:
        SignatureError: a signature is missing, of another key, or of something else.
        MissingPackageError: model-signing is not installed.
    """
    config = _with_key("verifying", "use_elliptic_key_verifier", public_key=Path(key))
    places = signatures(path)
    for signed, place in places.items():
        if not place.is_file():
            raise SignatureError(f"{printable(signed)} is not signed: there is no {printable(place)}")
        try:
            config.verify(signed, place)
        except Exception as error:  # what the library and those below it raise has no common type
            reason = printable(error) or type(error).__name__
            raise SignatureError(
                f"{printable(signed)} is not what was signed, or not with the key of {printable(key)}: {reason}"
            ) from error
    return tuple(places.values())


def signatures(path: str | os.PathLike[str]) -> Mapping[Path, Path]:
    """Return what of an artefact is signed -> where its signature lies.

    Raises:
        ResnexusError: no artefact is there.
    """
    path = Path(path)
    signed = (path,) if path.is_dir() else format_of(path).files(path)
    return {file: file.with_name(file.name + SUFFIX) for file in signed}


def _with_key(module: str, method: str, **key: Path) -> Any:
    package = required("model_signing")
    (path,) = key.values()
    try:
        return getattr(getattr(package, module).Config(), method)(**key)
    except Exception as error:  # of cryptography, which has many
        reason = printable(error) or type(error).__name__
        raise SignatureError(f"{printable(path)} is not a key of an elliptic curve in PEM: {reason}") from error
