"""Signatures, made and checked offline with a pair of keys."""

import pytest

from resnexus import ResnexusError, export
from resnexus.artefacts.signing import Signer, signatures, verify_signature

pytest.importorskip("model_signing", reason="model-signing is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Private and public key of two people."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder, found = tmp_path_factory.mktemp("keys"), []
    for name in ("ours", "theirs"):
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        encoding = serialization.Encoding.PEM
        private.write_bytes(
            key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
        found.append((private, public))
    return found


@pytest.fixture
def folder(network, tmp_path):
    export(network, tmp_path / "own", format="safetensors")
    return tmp_path / "own"


def test_what_was_signed_is_known_again(folder, keys):
    (ours, public), (_, others) = keys
    (signature,) = Signer(ours).sign(folder)
    assert signature == folder.with_name("own.sig")
    assert verify_signature(folder, public) == (signature,)
    with pytest.raises(ResnexusError, match=r"own is not what was signed, or not with the key of .*theirs\.pub"):
        verify_signature(folder, others)
    config = folder / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(ResnexusError, match=r"own is not what was signed"):
        verify_signature(folder, public)


def test_what_is_not_signed(folder, keys):
    with pytest.raises(ResnexusError, match=r"own is not signed: there is no .*own\.sig"):
        verify_signature(folder, keys[0][1])


def test_both_files_of_openvino_are_signed(tmp_path):
    (tmp_path / "a.xml").touch()
    assert [place.name for place in signatures(tmp_path / "a.xml").values()] == ["a.bin.sig", "a.xml.sig"]


def test_a_page_is_signed_as_a_file_and_as_a_folder(tmp_path, keys):
    ours, public = keys[0]
    (tmp_path / "page").mkdir()
    page = tmp_path / "page" / "index.html"
    page.write_text("<html>")
    for signed in (page, page.parent):
        (signature,) = Signer(ours).sign(signed)
        assert signature == signed.with_name(f"{signed.name}.sig")
        assert verify_signature(signed, public) == (signature,)
    page.write_text("<html> ")
    for signed in (page, page.parent):
        with pytest.raises(ResnexusError, match="is not what was signed"):
            verify_signature(signed, public)


def test_what_is_no_key(tmp_path):
    (tmp_path / "key.pem").write_text("garbage")
    for name in ("key.pem", "gone.pem"):
        with pytest.raises(ResnexusError, match=rf"{name} is not a key of an elliptic curve in PEM"):
            Signer(tmp_path / name)
