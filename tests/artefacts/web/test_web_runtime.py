"""ONNX Runtime Web: the pinned package and no other, fetched once."""

import base64
import hashlib
import io
import tarfile

import pytest

from resnexus.artefacts.web import runtime
from resnexus.artefacts.web.runtime import GRAPHICS, PROCESSOR, RuntimeFileError, registry, runtime_files
from resnexus.weights.download import DownloadError, Patience
from tests.weights.server import FileServer

PATIENCE = Patience(connect_s=60, read_s=60, retries=1, delay_s=0.01, max_delay_s=0.02)  # of a busy machine
CONTENTS = {name: f"content of {name}".encode() * 50 for name in runtime.SHA256}


def archive(contents):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as package:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def package(monkeypatch, tmp_path):
    """An archive with four small files, and what is known of it."""
    content = archive(CONTENTS | {"../../escaped": b"no", "ort.min.js": b"not wanted"})
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    monkeypatch.setattr(runtime, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setattr(runtime, "SHA256", {name: hashlib.sha256(part).hexdigest() for name, part in CONTENTS.items()})
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))
    for name in ("RESNEXUS_OFFLINE", "NPM_CONFIG_REGISTRY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return content


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "runtimes" / f"{runtime.PACKAGE}-{runtime.VERSION}"


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock" and path.name != ".lock")


def test_it_is_fetched_once_and_checked(package, folder, monkeypatch):
    with FileServer(package) as server:
        monkeypatch.setenv("npm_config_registry", f"{server.url}/npm/")
        script, program = runtime_files(PROCESSOR, patience=PATIENCE)
        assert (script.name, program.name) == (PROCESSOR.script, PROCESSOR.program)
        assert script.read_bytes() == CONTENTS[PROCESSOR.script]
        assert program.read_bytes() == CONTENTS[PROCESSOR.program]
        assert len(server.requests) == 1
    assert left(folder) == sorted(CONTENTS)
    assert runtime_files(GRAPHICS, offline=True)[1].read_bytes() == CONTENTS[GRAPHICS.program]


def test_another_archive_is_refused_and_kept_apart(package, folder, monkeypatch):
    with FileServer(archive(CONTENTS | {PROCESSOR.script: b"something else"})) as server:
        monkeypatch.setenv("npm_config_registry", server.url)
        with pytest.raises(RuntimeFileError, match=r"integrity is sha512-.*, expected sha512-.*It lies at .*rejected"):
            runtime_files(PROCESSOR, patience=PATIENCE)
    assert left(folder) == [f"{runtime.PACKAGE}-{runtime.VERSION}.tgz.rejected"]


def test_a_file_that_was_changed_is_refused(package, folder, monkeypatch):
    with FileServer(package) as server:
        monkeypatch.setenv("npm_config_registry", server.url)
        runtime_files(PROCESSOR, patience=PATIENCE)
    (folder / PROCESSOR.program).write_bytes(b"changed")
    with pytest.raises(RuntimeFileError, match=rf"{PROCESSOR.program} is not what was fetched: delete it"):
        runtime_files(PROCESSOR)
    (folder / PROCESSOR.program).unlink()
    with FileServer(package) as server:
        monkeypatch.setenv("npm_config_registry", server.url)
        runtime_files(PROCESSOR, patience=PATIENCE)


def test_without_a_network_it_is_put_there_by_hand(package, folder):
    with pytest.raises(RuntimeFileError, match=r"\(offline\)\. Put onnxruntime-web-.*\.tgz, as `npm pack .*` makes it"):
        runtime_files(PROCESSOR, offline=True)
    (folder / f"{runtime.PACKAGE}-{runtime.VERSION}.tgz").write_bytes(package)
    assert runtime_files(PROCESSOR, offline=True)[0].is_file()


def test_a_registry_without_it_is_named_with_what_to_do(package, monkeypatch):
    with FileServer(package, [404]) as server:
        monkeypatch.setenv("npm_config_registry", server.url)
        with pytest.raises(DownloadError, match=r"answers 404.*Set npm_config_registry to another registry\. Put"):
            runtime_files(PROCESSOR, patience=PATIENCE)


def test_the_registry_is_npms(monkeypatch):
    for name in runtime.REGISTRY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    assert registry() == runtime.PUBLIC_REGISTRY
    monkeypatch.setattr(runtime, "_told_by_npm", lambda: "https://packages.example.org/npm/")
    assert registry() == "https://packages.example.org/npm"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://other.example.org")
    assert registry() == "http://other.example.org"
    monkeypatch.setenv("npm_config_registry", "ftp://old.example.org")
    with pytest.raises(RuntimeFileError, match=r"npm's registry is ftp://old\.example\.org: expected .* http"):
        registry()


def test_npm_is_asked(monkeypatch, tmp_path):
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\n[ "$1 $2 $3" = "config get registry" ] && echo https://told.example.org/\n')
    npm.chmod(0o755)
    for name in runtime.REGISTRY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: str(npm))
    assert registry() == "https://told.example.org"
