import json
import pickle

import pytest

from resnexus.data.error_codes import ErrorCode
from resnexus.data.sources import ImageError


def test_a_code_is_a_text_with_a_meaning():
    assert ErrorCode.EMPTY == ErrorCode("empty") == "empty"
    assert (ErrorCode.EMPTY.value, ErrorCode.EMPTY.meaning) == ("empty", "no bytes")
    assert json.dumps(ErrorCode.EMPTY) == '"empty"'
    assert len({code.meaning for code in ErrorCode}) == len(ErrorCode) == 14
    with pytest.raises(ValueError, match="no bytes"):
        ErrorCode("no bytes")


def test_an_error_that_crosses_processes_keeps_its_code():
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "the file is empty", "replace the file", ErrorCode.EMPTY)))
    assert error.fault is ErrorCode.EMPTY
