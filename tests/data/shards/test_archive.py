import io
import tarfile
import zlib

import pytest

from resnexus.data.shards.archive import ShardError, scan

FILES = (("a/1.jpg", b"one"), ("a/1.cls", b"3"), ("2.CLS", b" 4\n"), ("2.txt", b"words"), ("2.PNG", b"two" * 300))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_and_classes_are_where_the_index_says(tar, tmp_path, form):
    long = "deep/" * 60 + "3.webp"
    odd = b"\xff.bmp".decode("utf-8", "surrogateescape")
    files = [*FILES, (odd, b"x"), (odd[:-3] + "cls", b"5")]
    if form != tarfile.USTAR_FORMAT:
        files += [(long, b"three"), (long.replace("webp", "cls"), b"0")]
    path = tar(tmp_path / "a.tar", *files, form=form)
    found = scan(path)
    whole = path.read_bytes()
    content = dict(files)
    assert [(sample.name, sample.label) for sample in found] == [
        ("a/1.jpg", 3),
        ("2.PNG", 4),
        (odd, 5),
        *([(long, 0)] if form != tarfile.USTAR_FORMAT else []),
    ]
    for sample in found:
        assert whole[sample.offset : sample.offset + sample.size] == content[sample.name]
        assert sample.crc32 == -1
    assert [sample.crc32 for sample in scan(path, checksums=True)] == [zlib.crc32(content[s.name]) for s in found]


def test_folders_and_names_that_mean_nothing_are_passed_over(tar, tmp_path):
    path = tar(tmp_path / "a.tar", ("__meta__.jpg", b""), ("README", b"x"), (".x.jpg", b""), *FILES, ("b.txt", b""))
    with tarfile.open(path, "a") as archive:
        folder = tarfile.TarInfo("a.d")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    # A key without image and class, as b is, is no sample.
    assert [sample.name for sample in scan(path)] == ["a/1.jpg", "2.PNG"]


def test_hostile_names_are_only_names(tar, tmp_path):
    path = tar(
        tmp_path / "a.tar", ("../../etc/x.jpg", b"x"), ("../../etc/x.cls", b"1"), ("/y\n.jpg", b"y"), ("/y\n.cls", b"0")
    )
    assert [sample.name for sample in scan(path)] == ["../../etc/x.jpg", "/y\n.jpg"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("1.jpg", b"")], r"a\.tar/1 has no class; expected 1\.jpg, or another image, and 1\.cls"),
        ([("1.cls", b"0")], "1 has no image"),
        ([("1.jpg", b""), ("1.png", b""), ("1.cls", b"0")], "1 has 2 images"),
        ([("1.jpg", b""), ("2.jpg", b""), ("1.cls", b"0")], "1 has no class"),
        ([("1.jpg", b""), ("1.jpg", b""), ("1.cls", b"0")], r"1\.jpg: twice in the shard"),
        ([("1.jpg", b""), ("1.cls", b"cat")], r"1\.cls holds 'cat'; expected the number of a class, from 0"),
        ([("1.jpg", b""), ("1.cls", b"-1")], "holds '-1'"),
        ([("1.jpg", b""), ("1.cls", b"9" * 10)], "holds '9999999999'"),
        ([("1.jpg", b""), ("1.cls", b"1" + b" " * 10**6)], "expected the number of a class"),
        ([("\x1b[2J.jpg", b"")], r"a\.tar/\\x1b\[2J has no class"),
    ],
)
def test_samples_that_cannot_be_used(tar, tmp_path, files, message):
    with pytest.raises(ShardError, match=message):
        scan(tar(tmp_path / "a.tar", *files))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE])
def test_links_and_devices_are_no_images(tar, tmp_path, kind):
    path = tar(tmp_path / "a.tar", *FILES)
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("9.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ShardError, match=r"9\.jpg is no plain file|damaged"):
        scan(path)


def test_a_shard_that_is_cut_anywhere_is_told(tar, tmp_path):
    path = tar(tmp_path / "a.tar", *FILES)
    whole = path.read_bytes()
    end = 512 * 2 * 4 + 512 + 1024  # five headers, four contents of a block and one of two
    for size in range(0, end + 512, 100):
        path.write_bytes(whole[:size])
        with pytest.raises(ShardError, match=r"a\.tar is (truncated|damaged|no tar)"):
            scan(path)
    path.write_bytes(whole[: end + 512])
    assert len(scan(path)) == 2


def test_a_damaged_header_is_not_taken_for_the_end(tar, tmp_path):
    path = tar(tmp_path / "a.tar", *FILES)
    content = bytearray(path.read_bytes())
    content[2048 + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"a\.tar is damaged at byte 2,048; copy it again"):
        scan(path)


@pytest.mark.parametrize(
    "size",
    # The last one, -1536, would lead back to the second file, and so round and round.
    [b"77777777777\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"words       ", (-1536).to_bytes(12, "big", signed=True)],
)
def test_wrong_sizes_are_told(tar, tmp_path, size):
    path = tar(tmp_path / "a.tar", *FILES)
    content = bytearray(path.read_bytes())
    header = content[2048:2560]  # of the third file
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[2048:2560] = header
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"a\.tar.* is (damaged|truncated|no tar)"):
        scan(path)


def test_what_is_no_tar(tar, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"text" * 500)
    with pytest.raises(ShardError, match=r"a\.tar is damaged, truncated or no tar"):
        scan(path)
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    with pytest.raises(ShardError, match="is it compressed"):
        scan(path)
    with pytest.raises(ShardError, match=r"cannot read .*missing\.tar: No such file"):
        scan(tmp_path / "missing.tar")
