"""Files that try to run code, to exhaust memory or to confuse a reader of `.pdparams`; all must be refused.

The pickles are put together opcode by opcode. A payload makes a folder at a path of its own, so that one look tells
which file has run code.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Hostile:
    """One file.

    Attributes:
        name: what is wrong with it.
        content: its bytes.
        message: regular expression that the refusal must match.
        runs: Python's own unpickler runs its payload, so that refusing it means something.
    """

    name: str
    content: bytes
    message: str
    runs: bool = False


# Parts of pickles


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def data(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def whole(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def items(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def stack_name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + items(*arguments) + b"R"


def mapping(**entries: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def whole_pickle(body: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def entry(value: bytes) -> bytes:
    """Return a state dict with one entry."""
    return whole_pickle(mapping(w=value))


FALSE, TRUE, NONE = b"\x89", b"\x88", b"N"
MINUS_ONE = whole(-1)
RECONSTRUCT = name("numpy._core.multiarray", "_reconstruct")
NDARRAY = name("numpy", "ndarray")
FLOAT32_STATE = items(b"K\x03", text("<"), NONE, NONE, NONE, MINUS_ONE, MINUS_ONE, b"K\0")


def dtype(code: str = "f4", state: bytes = FLOAT32_STATE) -> bytes:
    return call(name("numpy", "dtype"), text(code), FALSE, TRUE) + state + b"b"


def array(
    shape: bytes = b"K\x01\x85",
    kind: bytes | None = None,
    contents: bytes = data(bytes(4)),
    new: bytes = RECONSTRUCT + items(NDARRAY, items(b"K\0"), data(b"b")) + b"R",
    version: bytes = b"K\x01",
    fortran: bytes = FALSE,
) -> bytes:
    """Return an array of one float32 zero, or one of whose parts is something else."""
    return new + items(version, shape, dtype() if kind is None else kind, fortran, contents) + b"b"


VALID = entry(array())


# What to refuse

GADGETS = (
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "list"),
    ("__builtin__", "eval"),
    ("importlib", "import_module"),
    ("pkgutil", "resolve_name"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("_operator", "attrgetter"),
    ("functools", "partial"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("marshal", "loads"),
    ("types", "FunctionType"),
    ("runpy", "_run_code"),
    ("timeit", "timeit"),
    ("pdb", "run"),
    ("profile", "Profile.run"),
    ("trace", "Trace.run"),
    ("doctest", "debug_script"),
    ("code", "InteractiveInterpreter.runcode"),
    ("ctypes", "CDLL"),
    ("webbrowser", "open"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("distutils.file_util", "write_file"),
    ("_io", "FileIO"),
    ("shutil", "rmtree"),
    ("pip", "main"),
    ("venv", "create"),
    ("idlelib.run", "Executive.runcode"),
    ("lib2to3.pgen2.pgen", "ParserGenerator.make_label"),
    ("numpy", "load"),
    ("numpy", "matrix"),
    ("numpy", "memmap"),
    ("numpy", "core"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "fromfile"),
    ("numpy._core.numeric", "fromfunction"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("numpy.testing._private.utils", "runstring"),
    ("torch", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.serialization", "load"),
    ("paddle", "load"),
    ("paddle.framework.io", "load"),
    ("_codecs", "decode"),
    ("codecs", "encode"),
    ("collections", "Counter"),
    ("copyreg", "_reconstructor"),
)

LOOKALIKES = (
    ("numpy", "ndarray.__class__"),
    ("numpy", "core.multiarray._reconstruct"),
    ("numpy._core", "multiarray._reconstruct"),
    ("numpy._core.multiarray", "_reconstruct.__self__"),
    ("numpy.core.numeric", "builtins.eval"),
    ("numpy._core.numeric", "builtins.eval"),
    ("collections", "_sys.modules"),
    ("collections", "OrderedDict.fromkeys"),
    ("_codecs", "encode.__self__"),
    ("builtins", "tuple.__base__.__subclasses__"),
    ("Numpy", "dtype"),
    ("numpy ", "dtype"),
    ("numpy\0", "dtype"),
    ("\uff4eumpy", "dtype"),
    ("", "numpy.dtype"),
    ("numpy", "n" * 1000),
    ("numpy.dtype", ""),
)


def _calls(path: Callable[[str], str]) -> list[Hostile]:
    """Return the files whose payload runs in Python's own unpickler."""

    def runs(kind: str, body: Callable[[str], bytes], message: str = "refused global", protocol: int = 4) -> Hostile:
        return Hostile(kind, whole_pickle(body(path(kind)), protocol), message, runs=True)

    mkdir = name("os", "mkdir")
    compressed = "__import__('os').mkdir('{}')"
    return [
        runs("reduce", lambda p: mapping(w=call(mkdir, text(p)))),
        runs("reduce in protocol 2", lambda p: mapping(w=call(mkdir, text(p))), protocol=2),
        runs("stack global", lambda p: mapping(w=call(stack_name("posix", "mkdir"), text(p)))),
        runs("system", lambda p: call(name("os", "system"), text(f"mkdir '{p}'"))),
        runs("eval", lambda p: call(name("builtins", "eval"), text(compressed.format(p)))),
        runs("exec", lambda p: call(name("builtins", "exec"), text(compressed.format(p)))),
        runs("Python 2 eval", lambda p: call(name("__builtin__", "eval"), text(compressed.format(p))), protocol=2),
        runs(
            "getattr",
            lambda p: call(
                call(name("builtins", "getattr"), call(name("importlib", "import_module"), text("os")), text("mkdir")),
                text(p),
            ),
        ),
        runs("resolve_name", lambda p: call(call(name("pkgutil", "resolve_name"), text("os:mkdir")), text(p))),
        runs(
            "methodcaller",
            lambda p: call(
                call(name("operator", "methodcaller"), text("mkdir"), text(p)),
                call(name("builtins", "__import__"), text("os")),
            ),
        ),
        runs("partial", lambda p: call(call(name("functools", "partial"), mkdir, text(p)))),
        runs("dotted name from NumPy", lambda p: _dotted("numpy._core.numeric", "builtins.eval", p)),
        runs("dotted name from a module", lambda p: _dotted("pathlib", "os.system", f"mkdir '{p}'", code=False)),
        runs("dotted name from collections", lambda p: _dotted("collections", "_sys.modules.get", p, code=None)),
        runs("instance", lambda p: b"(" + text(p) + b"ios\nmkdir\n", "opcode INST"),
        runs("object", lambda p: b"(" + mkdir + text(p) + b"o", "global 'os.mkdir'"),
        runs("object of a stack global", lambda p: b"(" + stack_name("os", "mkdir") + text(p) + b"o"),
        runs("call thrown away", lambda p: call(mkdir, text(p)) + b"0" + mapping(w=array())),
        runs("calls thrown away at a mark", lambda p: b"(" + call(mkdir, text(p)) + b"1" + mapping(w=array())),
        runs("call in the table of names", lambda p: mapping(**{"StructuredToParameterName@@": call(mkdir, text(p))})),
        runs("call as a shape", lambda p: mapping(w=array(shape=call(mkdir, text(p)) + b"0K\x01\x85"))),
        runs("pickle in a pickle", lambda p: call(name("pickle", "loads"), data(entry(call(mkdir, text(p)))))),
        runs(
            "compressed code",
            lambda p: call(
                name("builtins", "exec"),
                call(name("zlib", "decompress"), data(zlib.compress(compressed.format(p).encode()))),
            ),
        ),
        runs("runstring of NumPy", lambda p: _runstring(compressed.format(p))),
        runs(
            "names swapped in the memo",
            lambda p: (
                text("os") + b"q\0" + text("mkdir") + b"q\x01" + b"00" + text("numpy") + b"q\x05" + b"0"
                b"h\0h\x01\x93" + text(p) + b"\x85R"
            ),
            "opcode POP",
        ),
        runs(
            "names from the memo",
            lambda p: items(text("os") + b"\x94", text("mkdir") + b"\x94") + b"h\0h\x01\x93" + text(p) + b"\x85R\x86",
            "global 'os.mkdir'",
        ),
        runs("state of a module's object", _state_of_function, "refused global 'argparse"),
    ]


def _dotted(module: str, attribute: str, argument: str, code: bool | None = True) -> bytes:
    if code is None:  # get a module, then its function
        get = call(stack_name(module, attribute), text("os"))
        return call(call(name("builtins", "getattr"), get, text("mkdir")), text(argument))
    return call(stack_name(module, attribute), text(f"__import__('os').mkdir('{argument}')" if code else argument))


def _runstring(code: str) -> bytes:
    return call(name("numpy.testing._private.utils", "runstring"), text(code), b"}")


def _state_of_function(path: str) -> bytes:
    """Set an attribute through BUILD, and reach it by a dotted name."""
    target = name("argparse", "Namespace")
    return (
        target
        + items(NONE, mapping(made=name("os", "mkdir")))
        + b"b0"
        + call(stack_name("argparse", "Namespace.made"), text(path))
    )


def _globals() -> list[Hostile]:
    files = [
        Hostile(f"global {module}.{attribute}", entry(call(stack_name(module, attribute), text("1"))), "refused global")
        for module, attribute in GADGETS + LOOKALIKES
    ]
    return [
        *files,
        Hostile("global of bytes", entry(data(b"numpy") + data(b"dtype") + b"\x93"), "no module and name"),
        Hostile("global of integers", entry(b"K\x01K\x02\x93"), "no module and name"),
        Hostile("global of a list", entry(text("numpy") + b"]\x93"), "no module and name"),
        Hostile("global without end", whole_pickle(b"cnumpy"), "refused a name"),
        Hostile("global of a megabyte", entry(b"c" + b"n" * 2**20 + b"\ndtype\n"), "refused a name"),
    ]


def _opcodes() -> list[Hostile]:
    bodies = {
        "PERSID": b"Pos.system\n",
        "BINPERSID": text("os.system") + b"Q",
        "EXT1": b"\x82\x01",
        "EXT2": b"\x83\x01\0",
        "EXT4": b"\x84\x01\0\0\0",
        "INST": b"(icollections\nOrderedDict\n",
        "OBJ": b"(" + name("collections", "OrderedDict") + b"o",
        "NEWOBJ": NDARRAY + items(b"K\x01\x85") + b"\x81",
        "NEWOBJ_EX": NDARRAY + items(b"K\x01\x85") + b"}\x92",
        "POP": b"N0" + array(),
        "POP_MARK": b"(N1" + array(),
        "DUP": array() + b"2",
        "INT": b"I1\n",
        "LONG": b"L1L\n",
        "FLOAT": b"F1\n",
        "BINFLOAT": b"G" + bytes(8),
        "STRING": b"S'a'\n",
        "UNICODE": b"Va\n",
        "LIST": b"(l",
        "DICT": b"(d",
        "PUT": b"Np0\n",
        "GET": b"Nq\0g0\n",
        "LONG4": b"\x8b" + struct.pack("<i", 2**31 - 1),
        "EMPTY_SET": b"\x8f",
        "FROZENSET": b"(\x91",
        "ADDITEMS": b"(\x90",
        "NEXT_BUFFER": b"\x97",
        "READONLY_BUFFER": NONE + b"\x98",
        "0xff": b"\xff",
    }
    return [Hostile(f"opcode {kind}", entry(body), f"refused opcode {kind} at byte") for kind, body in bodies.items()]


def _machine() -> list[Hostile]:
    """Return the files that misuse the stack, the memo or the containers."""
    symbol = name("collections", "OrderedDict")
    return [
        Hostile("stack underflow", whole_pickle(b"\x85"), "empty stack"),
        Hostile("tuple across a mark", whole_pickle(b"N(\x85"), "empty stack"),
        Hostile("mark missing", whole_pickle(b"t"), "mark that is not there"),
        Hostile("mark left", whole_pickle(b"}("), "refused the end"),
        Hostile("two objects", whole_pickle(b"}}"), "2 objects on the stack"),
        Hostile("no object", whole_pickle(b""), "0 objects on the stack"),
        Hostile("memo unset", entry(b"h\x07"), "memo entry 7"),
        Hostile("memo gigantic", entry(NONE + b"r\xff\xff\xff\xff"), "memo entry 4,294,967,295"),
        Hostile("memo of nothing", whole_pickle(b"q\0"), "empty stack"),
        Hostile("append to a tuple", entry(b")Na"), "appending to a tuple"),
        Hostile("append to an array", entry(array() + b"Na"), "appending to an array"),
        Hostile("append to a symbol", entry(symbol + b"(Ne"), "appending to collections.OrderedDict"),
        Hostile("item of a list", entry(b"]" + text("a") + b"Ns"), "setting items of a list"),
        Hostile("items of an array", entry(array() + b"(" + text("a") + b"Nu"), "setting items of an array"),
        Hostile("items of a symbol", entry(symbol + b"(" + text("a") + b"Nu"), "setting items of collections"),
        Hostile("odd items", entry(b"}(" + text("a") + b"u"), "pairs of key and value"),
        Hostile("integer key", whole_pickle(b"}K\x01" + array() + b"s"), "an integer as a key"),
        Hostile("tuple key", whole_pickle(b"}" + b")" + b"\x85" * 5000 + array() + b"s"), "a tuple as a key"),
        Hostile("array key", whole_pickle(b"}" + array() + b"Ns"), "an array as a key"),
        Hostile("long key", whole_pickle(b"}" + text("k" * 2000) + b"Ns"), "a string of 2,000 bytes as a key"),
        Hostile("key twice", whole_pickle(b"}" + (text("w") + array() + b"s") * 2), "'w' at byte .* twice"),
        Hostile("key not UTF-8", whole_pickle(b"}\x8c\x02\xff\xfeNs"), "not UTF-8"),
        Hostile("key of a surrogate", whole_pickle(b"}\x8c\x03\xed\xa0\x80Ns"), "not UTF-8"),
        Hostile("integer of 255 bytes", entry(b"\x8a\xff" + bytes(255)), "integer of 255 bytes"),
        Hostile("protocol in the middle", whole_pickle(b"\x80\x04}"), "refused protocol 4"),
        Hostile("protocol 1", whole_pickle(mapping(w=array()), 1), "refused protocol 1"),
        Hostile("protocol 6", whole_pickle(mapping(w=array()), 6), "refused protocol 6"),
        Hostile("protocol missing", mapping(w=array()) + b".", "not a Paddle state dict"),
        Hostile("state of a dict", entry(b"}" + mapping(__class__=NONE) + b"b"), "a dict is given a state"),
        Hostile("state of a symbol", entry(symbol + mapping(__setstate__=NONE) + b"b"), "OrderedDict is given a state"),
        Hostile("state within a state", entry(array(kind=dtype(state=b"}}b"))), "a dict is given a state"),
        Hostile("call of a string", entry(call(text("os.system"), text("true"))), "'os.system' is applied"),
        Hostile("call of an array", entry(call(array())), "an array is applied"),
        Hostile("call with a list", entry(symbol + b"]R"), "OrderedDict is applied"),
        Hostile("call with arguments", entry(call(symbol, b"}")), "OrderedDict is applied"),
        Hostile("call of a tuple on text", entry(call(name("builtins", "tuple"), text("ab"))), "tuple is applied"),
    ]


def _arrays() -> list[Hostile]:
    """Return the files whose arrays are not plain, or not what they claim."""
    encode = name("_codecs", "encode")
    half = data(bytes(2))

    def new(*arguments: bytes) -> bytes:
        return RECONSTRUCT + items(*arguments) + b"R"

    letter = data(b"b")
    codes = ["O", "O8", "|O", "V8", "S4", "U4", "M8", "m8", "f16", "c8", "b1", "?", "p", "<f4", "f4,f4", "float32", ""]
    return [
        *(Hostile(f"dtype {code!r}", entry(array(kind=dtype(code))), "dtype '.*' is not one of") for code in codes),
        Hostile("dtype of a list", entry(call(name("numpy", "dtype"), b"]", FALSE, TRUE)), "numpy.dtype is applied"),
        Hostile("dtype of a type", entry(call(name("numpy", "dtype"), NDARRAY, FALSE, TRUE)), "numpy.dtype is applied"),
        Hostile("dtype aligned", entry(call(name("numpy", "dtype"), text("f4"), TRUE, TRUE)), "numpy.dtype is applied"),
        Hostile("dtype as a value", entry(dtype()), "'w' is a dtype"),
        Hostile("dtype without state", entry(array(kind=dtype(state=b")")[:-2])), "dtype 'f4' has no byte order"),
        Hostile("dtype with two states", entry(array(kind=dtype() + FLOAT32_STATE + b"b")), "a dtype is given a state"),
        Hostile(
            "dtype with fields",
            entry(
                array(kind=dtype(state=items(b"K\x03", text("<"), NONE, text("ab"), b"}", b"K\x08", b"K\1", b"K\0")))
            ),
            "a dtype is given a state",
        ),
        Hostile(
            "dtype with a base",
            entry(
                array(kind=dtype(state=items(b"K\x03", text("<"), items(NONE), *[NONE] * 2, *[MINUS_ONE] * 2, b"K\0")))
            ),
            "a dtype is given a state",
        ),
        Hostile(
            "dtype of flags",
            entry(array(kind=dtype(state=items(b"K\x03", text("<"), *[NONE] * 3, *[MINUS_ONE] * 2, b"K\x3f")))),
            "a dtype is given a state",
        ),
        Hostile(
            "byte order of bytes",
            entry(array(kind=dtype("u1"), contents=data(b"a"))),
            "byte order '<' does not fit",
        ),
        Hostile("objects as contents", entry(array(contents=b"](K\x01e")), "a list stands for the contents"),
        Hostile("array as contents", entry(array(contents=array())), "an array stands for the contents"),
        Hostile("array without state", entry(new(NDARRAY, items(b"K\0"), letter)), "'w' is an array"),
        Hostile("array with two states", entry(array(new=array())), "an array is given a state"),
        Hostile("array of a subclass", entry(array(new=new(name("numpy", "matrix"), items(b"K\0"), letter))), "global"),
        Hostile(
            "array of a dtype", entry(new(name("numpy", "dtype"), items(b"K\0"), letter)), "_reconstruct is applied"
        ),
        Hostile("array of no type", entry(new(NONE, items(b"K\0"), letter)), "_reconstruct is applied"),
        Hostile("array made gigantic", entry(new(NDARRAY, items(whole(2**40)), letter)), "_reconstruct is applied"),
        Hostile("array of version 2", entry(array(version=b"K\x02")), "an array is given a state"),
        Hostile("array in an odd order", entry(array(fortran=b"K\x01")), "an array is given a state"),
        Hostile("type as a value", entry(NDARRAY), "'w' is numpy.ndarray"),
        Hostile("gigantic shape", entry(array(shape=items(whole(2**40)))), "needs 4,398,046,511,104 bytes, and 4"),
        Hostile("shape beyond memory", entry(array(shape=items(*[whole(2**62)] * 3))), "larger than memory"),
        Hostile(
            "shape beyond memory, empty",
            entry(array(shape=items(b"K\0", *[whole(2**62)] * 2), contents=data(b""))),
            "larger than memory",
        ),
        Hostile("negative shape", entry(array(shape=items(whole(-1)))), "not a tuple of at most 32 lengths"),
        Hostile("shape of bools", entry(array(shape=items(TRUE))), "not a tuple of at most 32 lengths"),
        Hostile("shape of text", entry(array(shape=items(text("1")))), "not a tuple of at most 32 lengths"),
        Hostile("shape of 33 axes", entry(array(shape=items(*[b"K\x01"] * 33))), "not a tuple of at most 32 lengths"),
        Hostile("shape of 50,000 axes", entry(array(shape=items(*[whole(2**62)] * 50_000))), "at most 32 lengths"),
        Hostile("shape a list", entry(array(shape=b"](K\x01e")), "an array is given a state"),
        Hostile("contents too short", entry(array(contents=half)), "needs 4 bytes, and 2 are stored"),
        Hostile("contents too long", entry(array(contents=data(bytes(5)))), "needs 4 bytes, and 5 are stored"),
        Hostile("buffer without shape", entry(call(name("numpy._core.numeric", "_frombuffer"), half)), "is applied"),
        Hostile(
            "buffer too short",
            entry(call(name("numpy._core.numeric", "_frombuffer"), half, dtype(), items(b"K\x01"), text("C"))),
            "needs 4 bytes, and 2 are stored",
        ),
        *(
            Hostile(
                f"encoding {kind}", entry(array(contents=call(encode, text("abcd"), text(kind)))), "encode is applied"
            )
            for kind in ("rot13", "zip", "bz2", "hex", "utf-8", "utf-16", "unicode_escape", "idna", "latin-1")
        ),
        Hostile("bytes of a number", entry(call(name("__builtin__", "bytes"), whole(2**40))), "bytes is applied"),
        Hostile("encoding with errors", entry(call(encode, text("a"), text("latin1"), text("x"))), "encode is applied"),
        Hostile("encoding of bytes", entry(call(encode, data(b"a"), text("latin1"))), "encode is applied"),
        Hostile("encoding as a value", entry(call(encode, text("a"), text("latin1"))), "'w' is 'a'"),
        Hostile("text beyond latin-1", entry(array(contents=text("\u20ac1234"[:4]))), "contents of 'w' are damaged"),
        Hostile(
            "long text beyond latin-1",
            entry(array(items(b"M\0\x08"), contents=call(encode, text("\u0100" * 4096 + "a" * 4096), text("latin1")))),
            "contents of 'w' are damaged: it is not latin-1",
        ),
        Hostile(
            "long text of a gigantic shape",
            entry(array(items(whole(2**40)), contents=call(encode, text("a" * 5000), text("latin1")))),
            "needs 4,398,046,511,104 bytes, and 5,000",
        ),
        Hostile(
            "long text of a small shape",
            entry(array(contents=call(encode, text("a" * 5000), text("latin1")))),
            "needs 4 bytes, and 5,000",
        ),
        Hostile(
            "long text too short",
            entry(array(items(b"M\0\x08"), contents=call(encode, text("\xff" * 5000), text("latin1")))),
            "contents of 'w' are damaged: 5,000 of its 8,192",
        ),
        Hostile(
            "long text too long",
            entry(array(items(b"M\0\x08"), contents=call(encode, text("a" * 9000), text("latin1")))),
            "contents of 'w' are damaged: more than its 8,192",
        ),
    ]


def _sizes() -> list[Hostile]:
    """Return the files that claim or unfold into more than they are."""
    shared = b"B" + struct.pack("<I", 40_000) + bytes(40_000) + b"q\x09"
    floats = items(b"M\x10\x27")
    bomb = b"".join(b"](" + b"h\0" * 100 + b"eq\0" for _ in range(100))
    many = mapping(
        a=array(floats, contents=shared),
        **{f"a{index}": array(floats, contents=b"h\x09") for index in range(1000)},
    )
    return [
        Hostile("bytes of 4 GB", entry(b"B" + b"\xff" * 4), "string of 4,294,967,295 bytes"),
        Hostile("bytes of 8 EB", entry(b"\x8e" + struct.pack("<Q", 2**63 - 1)), "string of 9,223,372,036,854,775,807"),
        Hostile("bytes of 16 EB", entry(b"\x8e" + b"\xff" * 8), "string of 18,446,744,073,709,551,615 bytes"),
        Hostile("bytearray of 8 EB", entry(b"\x96" + struct.pack("<Q", 2**63 - 1)), "string of 9,223,372,036,854"),
        Hostile("text of 4 GB", entry(b"X" + b"\xff" * 4), "string of 4,294,967,295 bytes"),
        Hostile("text of 16 EB", entry(b"\x8d" + b"\xff" * 8), "string of 18,446,744,073,709,551,615 bytes"),
        Hostile("Python 2 string of 4 GB", entry(b"T" + b"\xff" * 4), "string of 4,294,967,295 bytes"),
        Hostile("frame of 16 EB", whole_pickle(b"\x95" + b"\xff" * 8 + mapping(w=array())), "a frame of 18,446"),
        Hostile("contents shared by 1,000 arrays", whole_pickle(many), "they share contents"),
        Hostile(
            "array under two names",
            whole_pickle(mapping(a=array() + b"q\x09", b=b"h\x09")),
            "'a' and 'b' are one and the same array",
        ),
        Hostile("lists within lists", entry(items(b"]q\0" + bomb)), "'w' is a tuple"),
        Hostile("deep tuples", entry(b")" + b"\x85" * 50_000), "'w' is a tuple"),
        Hostile("deep tuples as a key", whole_pickle(b"}" + b")" + b"\x85" * 50_000 + b"Ns"), "a tuple as a key"),
        Hostile("deep tuples as arguments", entry(RECONSTRUCT + b")" + b"\x85" * 50_000 + b"R"), "is applied"),
        Hostile("deep tuples as a state", entry(array(shape=b")" + b"\x85" * 50_000)), "not a tuple of at most 32"),
        Hostile("deep lists", entry(b"]" * 50_000 + b"a" * 49_999), "'w' is a list"),
        Hostile("deep dicts", entry((b"}" + text("w")) * 50_000 + b"N" + b"s" * 50_000), "'w' is a dict"),
        Hostile("list in itself", entry(b"]q\0h\0a"), "'w' is a list"),
        Hostile("marks without end", whole_pickle(b"(" * 400_000), "objects on the stack"),
        Hostile("opcodes without end", whole_pickle(b"N" * 600_000), "refused opcode 500,001"),
        Hostile("dicts without end", whole_pickle(b"}" * 600_000), "refused opcode 500,001"),
    ]


def _states() -> list[Hostile]:
    """Return the files that hold something other than a flat dict of arrays, or whose slices do not fit."""
    table, slices = "StructuredToParameterName@@", "UnpackBigParamInfor@@"

    def cut(parts: bytes, shape: bytes = items(b"K\x02"), name: str = "w", **entries: bytes) -> bytes:
        info = mapping(OriginShape=shape, slices=b"](" + parts + b"e")
        given = entries or {"w@@.0": array(), "w@@.1": array()}
        return whole_pickle(mapping(**given, **{slices: mapping(**{name: info})}))

    both = text("w@@.0") + text("w@@.1")
    return [
        Hostile("a list", whole_pickle(b"](" + array() + b"e"), "holds a list, not a state dict"),
        Hostile("an array alone", whole_pickle(array()), "holds an array, not a state dict"),
        Hostile("none", whole_pickle(NONE), "holds None"),
        Hostile("a dict of dicts", entry(mapping(w=array())), "'w' is a dict"),
        Hostile("an integer", entry(b"K\x07"), "'w' is an integer"),
        Hostile("a string", entry(text("x" * 2000)), "'w' is a string of 2,000 bytes"),
        Hostile("a tuple of three", entry(items(text("a"), array(), array())), "'w' is a tuple"),
        Hostile("a tuple of arrays", entry(items(array(), array())), "'w' is a tuple"),
        Hostile("names that are a list", whole_pickle(mapping(**{table: b"]"})), "'StructuredTo.*' is a list"),
        Hostile("names that are arrays", whole_pickle(mapping(**{table: mapping(w=array())})), "more than names"),
        Hostile("slices that are a list", whole_pickle(mapping(**{slices: b"]"})), "'UnpackBig.*' is a list"),
        Hostile("slices of nothing", whole_pickle(mapping(**{slices: mapping(w=b"}")})), "does not say how 'w'"),
        Hostile("slices without names", cut(b""), "does not say how 'w'"),
        Hostile("slices missing", cut(both + text("w@@.2")), "'w@@.2' is missing or used twice"),
        Hostile("slices used twice", cut(text("w@@.0") * 2), "'w@@.0' is missing or used twice"),
        Hostile("slices of integers", cut(text("w@@.0") + b"K\x01"), "an integer is missing"),
        Hostile("slices too few", cut(text("w@@.0")), "do not make up an array"),
        Hostile("slices of a gigantic shape", cut(both, items(whole(2**62), whole(2**62))), "do not make up an array"),
        Hostile("slices of 33 axes", cut(both, items(b"K\x02", *[b"K\x01"] * 32)), "do not make up an array"),
        Hostile(
            "slices of two axes",
            cut(both, **{key: array(shape=b"K\x01K\x01\x86") for key in ("w@@.0", "w@@.1")}),
            "do not make up an array",
        ),
        Hostile("slices of 50,000 axes", cut(both, items(*[whole(2**62)] * 50_000)), "do not make up an array"),
        Hostile("slices of a negative shape", cut(both, items(whole(-2), whole(-1))), "do not make up an array"),
        Hostile("slices of two dtypes", _cut_unlike(cut, both), "do not make up an array"),
        Hostile("slices in place of another", cut(text("w@@.0"), items(b"K\x01"), "w@@.1"), "do not make up an array"),
    ]


def _cut_unlike(cut: Callable[..., bytes], both: bytes) -> bytes:
    return cut(both, **{"w@@.0": array(), "w@@.1": array(kind=dtype("i4"))})


def _files() -> list[Hostile]:
    """Return the files that are damaged, or something else."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", VALID)
    evil = pickle.dumps(np.array([{}], dtype=object))
    return [
        Hostile("empty", b"", "the file is empty"),
        Hostile("one byte", b"\x80", "truncated"),
        Hostile("protocol only", b"\x80\x04", "truncated"),
        Hostile("trailing zero", VALID + b"\0", "1 more bytes follow"),
        Hostile("trailing stop", VALID + b".", "1 more bytes follow"),
        Hostile("a second pickle", VALID + VALID, "more bytes follow"),
        Hostile("a second pickle of objects", VALID + evil, "more bytes follow"),
        Hostile("a zip behind", VALID + packed.getvalue(), "more bytes follow"),
        Hostile("a zip", packed.getvalue(), "a zip archive, as torch.save writes"),
        Hostile("an array of objects", evil, "dtype 'O8' is not one of"),
        Hostile("a web page", b"<!DOCTYPE html><html>404</html>", "not a Paddle state dict"),
        Hostile("a program", b"\x7fELF\x02\x01\x01" + bytes(64), "not a Paddle state dict"),
        Hostile("an image", b"\x89PNG\r\n\x1a\n" + bytes(64), "not a Paddle state dict"),
        Hostile("safetensors", struct.pack("<Q", 2) + b"{}", "not a Paddle state dict"),
        Hostile("zeros", bytes(4096), "not a Paddle state dict"),
        Hostile("protocol 0", pickle.dumps({"a": 1}, protocol=0), "not a Paddle state dict"),
    ]


def corpus(folder: Path) -> list[Hostile]:
    """Return all files; the payload of file `name` makes the folder `folder / name`."""

    def path(kind: str) -> str:
        return str(folder / kind)

    return [*_calls(path), *_globals(), *_opcodes(), *_machine(), *_arrays(), *_sizes(), *_states(), *_files()]
