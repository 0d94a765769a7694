import os
import tarfile

import pytest

from resnexus import ResnexusError
from resnexus.prediction.inputs import Member
from resnexus.prediction.manifest import Manifest, read_manifest, read_shard, shard_name, write_manifest

pytest.importorskip("pyarrow")


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "photos"
    for name in ("b/10.png", "b/2.png", "a/x.jpg", "a/notes.txt", os.fsdecode(b"c/\xff.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def listed(folder):
    found = read_manifest(folder)
    return [one for shard in range(found.shards) for one in read_shard(folder / shard_name(shard))]


def test_a_folder_in_shards(tree, tmp_path):
    found = write_manifest([tree], tmp_path / "m", shard_images=3)
    assert found == Manifest(sources=(str(tree),), images=4, bytes=29, shards=2, shard_images=3)
    assert read_manifest(tmp_path / "m") == found
    assert (found.rows(0), found.rows(1)) == (range(3), range(3, 4))
    inputs = listed(tmp_path / "m")
    assert [one.id for one in inputs] == [0, 1, 2, 3]
    assert [one.source for one in inputs] == [
        str(tree / name) for name in ("a/x.jpg", "b/2.png", "b/10.png", os.fsdecode(b"c/\xff.png"))
    ]
    assert inputs[3].name == f"file://{tree}/c/%FF.png"


def test_what_is_no_image_is_counted(tree, tmp_path, recorded):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").touch()
    (tree / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    write_manifest([tree, tree / "a"], tmp_path / "m", progress=recorded)
    assert recorded.said[-1] == "passed over 4 files in the folders: no images by their names, or links to folders"
    write_manifest([tree / "b"], tmp_path / "n", progress=recorded)
    assert recorded.said[-1].startswith("2 images in 1 shards so far")


def test_a_tar_is_not_unpacked(tree, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("b/10.png", "a/notes.txt", "a/x.jpg"):
            tar.add(tree / name, name)
    write_manifest([tmp_path / "x.tar", tree / "a"], tmp_path / "m")
    first, second, third = listed(tmp_path / "m")
    assert first.source == Member(str(tmp_path / "x.tar"), 512, 8)
    assert first.name == f"{tmp_path}/x.tar#512:b/10.png"
    assert (tmp_path / "x.tar").read_bytes()[second.source.offset :][:7] == b"a/x.jpg"
    assert third.source == str(tree / "a" / "x.jpg")


def test_odd_names_lead_back_to_their_images(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    content = {"x.tar#512:a.jpg": b"1", "100%25.jpg": b"22"}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with tarfile.open(folder / "shard.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(folder / "100%25.jpg", "a#1:b.jpg")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "y.tar#512:a.jpg").write_bytes(b"333")
    write_manifest([folder / "shard.tar", folder, plain], tmp_path / "m")
    found = [one.source for one in listed(tmp_path / "m")]
    assert found == [
        Member(str(folder / "shard.tar"), 512, 2),
        *(str(folder / name) for name in ("100%25.jpg", "x.tar#512:a.jpg")),
        str(plain / "y.tar#512:a.jpg"),
    ]


def test_a_folder_by_its_address_is_read_as_it_is_called(tmp_path):
    pytest.importorskip("fsspec")
    (tmp_path / "photos").mkdir()
    for name in ("100%25.jpg", "a b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"1")
    write_manifest([f"file://{tmp_path}/photos"], tmp_path / "m")
    assert [one.source for one in listed(tmp_path / "m")] == [
        str(tmp_path / "photos" / name) for name in ("100%25.jpg", "a b.jpg")
    ]


def test_a_bucket(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name in ("/bucket/b/2.jpg", "/bucket/a/1.jpg", "/bucket/a/1.txt"):
        store.pipe(name, b"12345")
    found = write_manifest(["memory://bucket"], tmp_path / "m")
    assert (found.images, found.bytes) == (2, 10)
    assert [one.name for one in listed(tmp_path / "m")] == ["memory:///bucket/a/1.jpg", "memory:///bucket/b/2.jpg"]


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds what it is told", "keeps whatever it is told"])
def test_no_listing_of_a_bucket_is_kept(tmp_path, heeds):
    fsspec = pytest.importorskip("fsspec")
    held = []

    class Store(fsspec.AbstractFileSystem):
        """Folders of folders, listed as S3's are: what was listed is kept in `dircache`."""

        protocol = "kept"
        cachable = False

        def __init__(self, **options):
            super().__init__(**(options if heeds else {}))

        def ls(self, path, detail=True, **_):
            held.append(len(self.dircache))
            deep = path.count("/") < 2
            names = [f"{path}/{number}" if deep else f"{path}/{number}.jpg" for number in range(3)]
            kind = "directory" if deep else "file"
            found = [{"name": name, "size": 5, "type": kind} for name in names]
            self.dircache[path] = found
            return found

        def invalidate_cache(self, path=None):
            if not heeds:
                self.dircache.clear()

    fsspec.register_implementation("kept", Store, clobber=True)
    found = write_manifest(["kept://bucket"], tmp_path / "m")
    assert (found.images, found.bytes) == (27, 135)
    assert held == [0] * 13
    assert listed(tmp_path / "m")[0].name == "kept://bucket/0/0/0.jpg"


def test_a_folder_of_a_bucket_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    memory = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem
    for name in ("/mixed/a/1.jpg", "/mixed/b/2.jpg"):
        memory().pipe(name, b"12345")
    listing = memory.ls

    def failing(self, path, detail=True, **options):
        if path.endswith("/b"):
            raise OSError("503 Slow Down")
        return listing(self, path, detail=detail, **options)

    monkeypatch.setattr(memory, "ls", failing)
    with pytest.raises(ResnexusError, match="cannot list memory://mixed: 503 Slow Down"):
        write_manifest(["memory://mixed"], tmp_path / "m")
    with pytest.raises(ResnexusError, match="cannot list memory://nowhere"):
        write_manifest(["memory://nowhere"], tmp_path / "m")


def test_what_was_interrupted_is_begun_again(tree, tmp_path):
    write_manifest([tree], tmp_path / "m", shard_images=1)
    (tmp_path / "m" / "manifest.json").unlink()
    assert write_manifest([tree], tmp_path / "m", shard_images=2).shards == 2
    assert sorted(path.name for path in (tmp_path / "m").glob("*.parquet")) == [shard_name(0), shard_name(1)]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["nowhere"], "nowhere: expected a folder, a .tar file, or an address"),
        (["photos/a/notes.txt"], "notes.txt: expected a folder"),
        (["nothing://bucket"], "cannot list nothing://bucket"),
        (["zip://*::s3://bucket/a.zip"], "zip://.*a.zip holds several addresses: images in it have none of their own"),
    ],
)
def test_sources_that_cannot_be_listed(tree, tmp_path, monkeypatch, sources, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ResnexusError, match=message):
        write_manifest(sources, tmp_path / "m")
    assert not (tmp_path / "m" / "manifest.json").exists()


def test_folders_that_are_not_ours(tree, tmp_path):
    with pytest.raises(ResnexusError, match="is not empty"):
        write_manifest([tree], tree)
    with pytest.raises(ResnexusError, match=r"holds no manifest.json"):
        read_manifest(tree)
    write_manifest([tree], tmp_path / "m")
    with pytest.raises(ResnexusError, match="holds a manifest"):
        write_manifest([tree], tmp_path / "m")
    (tmp_path / "m" / shard_name(0)).write_bytes(b"PAR1")
    with pytest.raises(ResnexusError, match=r"cannot read .*images-000000"):
        listed(tmp_path / "m")
    (tmp_path / "m" / shard_name(0)).unlink()
    with pytest.raises(ResnexusError, match=r"images-000000.parquet is missing"):
        read_manifest(tmp_path / "m")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ResnexusError, match=r"no images in .*bare"):
        write_manifest([tmp_path / "bare"], tmp_path / "n")
