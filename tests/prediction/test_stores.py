"""What fsspec opens: where an address may lead, and what this machine lacks for it."""

import os
import sys
import zipfile

import numpy as np
import pytest

from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import Preprocess
from resnexus.packages import MissingPackageError
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.fetching import FetchLimits
from resnexus.prediction.inputs import Address
from resnexus.prediction.predictor import predict
from resnexus.prediction.stores import STORES

pytest.importorskip("fsspec")

PREPROCESS = Preprocess(size=16, resize_short=18)
PUBLIC = Decoding(preprocess=PREPROCESS)
PRIVATE = Decoding(preprocess=PREPROCESS, fetching=FetchLimits(private=True))


@pytest.mark.parametrize(
    ("scheme", "module", "message"),
    [("s3", "s3fs", "Install s3fs to access S3"), ("gs", "gcsfs", "Please install gcsfs to access Google Storage")],
)
def test_a_package_that_is_missing_is_no_fault_of_the_image(monkeypatch, weights, scheme, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    address = f"{scheme}://bucket/a.jpg"
    with pytest.raises(MissingPackageError, match=f"cannot open {address}: {message}"):
        PUBLIC(Address(address))
    with pytest.raises(MissingPackageError, match=message):
        predict(weights, address)


@pytest.mark.parametrize(
    "url",
    [
        "zip://a.png::http://169.254.169.254/latest/meta-data",
        "s3://bucket/a.png::http://10.0.0.1/b.png",
        "ftp://127.0.0.1/a.png",
        "FTP://127.0.0.1/a.png",
        "sftp://127.0.0.1/a.png",
        "webhdfs://127.0.0.1:9870/a.png",
        "jupyter://127.0.0.1:8888/a.png",
        "reference://127.0.0.1/a.png",
    ],
)
def test_addresses_that_name_a_machine_or_hold_another_are_refused(url):
    assert PUBLIC(Address(url)) == ErrorCode.ADDRESS_REFUSED


def test_they_are_followed_where_private_addresses_are(awkward, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.write(awkward[0] / "plain.png", "plain.png")
    address = Address(f"zip://plain.png::file://{tmp_path}/x.zip")
    assert PUBLIC(address) == ErrorCode.ADDRESS_REFUSED
    assert np.array_equal(PRIVATE(address), PRIVATE(awkward[0] / "plain.png"))


def test_a_store_is_known_by_its_scheme(awkward):
    assert np.array_equal(PUBLIC(Address(f"file://{awkward[0]}/plain.png")), PUBLIC(awkward[0] / "plain.png"))
    assert {name.lower() for name in STORES} == STORES


@pytest.mark.timeout(60)
@pytest.mark.parametrize("scheme", ["file", "local"])
def test_a_pipe_by_its_address_is_not_waited_for(tmp_path, scheme):
    os.mkfifo(tmp_path / "pipe.png")
    for name, code in (("pipe.png", ErrorCode.NOT_A_FILE), ("nothing.png", ErrorCode.NOT_FOUND)):
        assert PUBLIC(Address(f"{scheme}://{tmp_path}/{name}")) == code
