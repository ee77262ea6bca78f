"""What passes through the wall between grader and submission: numbers and text, as bytes, and nothing else.

A frame is JSON plus arrays as npy bytes. It is never a pickle, which could run code on the side that reads it. Whatever
comes from the other side may be forged, so nothing in it is trusted: not a length, not a shape, not a name.
"""

import io
import json
import math
import struct
from typing import Any, BinaryIO

import numpy as np

from scratchlm.terminal import in_one_line

MAGIC = b"slm1"
MOST, MOST_TEXT = 2**25, 2**20  # bytes in a frame, and in its JSON
MOST_NUMBERS = 2**22  # in an array; if it is empty, along its other axes: (10**9, 0) takes no room, but its sums do
KINDS = "biufc"  # arrays of numbers, and no others
Blobs = list[bytes]


class Garbled(Exception):
    """What came through the wall is not a frame."""


class NotNumbers:
    """Stands for a result that is neither numbers nor text, of which only a description is sent."""

    def __init__(self, text: str) -> None:
        self.text = in_one_line(text, 200)

    def __repr__(self) -> str:
        """Return the description."""
        return self.text


# --- values to bytes, and back ---------------------------------------------------------------------------------------


def pack(value: Any, blobs: Blobs, depth: int = 0) -> Any:
    """Return a value as JSON, with its arrays appended to blobs; describe whatever cannot be sent."""
    if value is None or type(value) in (bool, float, str):
        return {"plain": value}
    if type(value) is int and abs(value) < 2**64:
        return {"plain": value}
    if type(value) in (list, tuple) and depth < 8:
        return {type(value).__name__: [pack(item, blobs, depth + 1) for item in value]}
    if type(value) is dict and depth < 8 and all(type(key) is str for key in value):
        return {"dict": {key: pack(item, blobs, depth + 1) for key, item in value.items()}}
    if isinstance(value, np.ndarray) and value.nbytes + sum(map(len, blobs)) > MOST // 2:
        return {"other": f"an array of shape {value.shape}, far too large"}  # a view may be too large for memory
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in KINDS:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(value).reshape(value.shape), allow_pickle=False)
        blobs.append(buffer.getvalue())
        return {"scalar" if isinstance(value, np.generic) else "array": len(blobs) - 1}
    try:
        shown = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{type(value).__name__} {value!r}"
    except Exception:
        shown = "an object that cannot even be shown"
    return {"other": shown[:200]}


def unpack(tree: Any, blobs: Blobs) -> Any:
    """Return the value that `pack` was given; Garbled if the bytes do not come from `pack`."""
    try:
        ((kind, value),) = tree.items()
        if kind == "plain" and (value is None or type(value) in (bool, int, float, str)):
            return value
        if kind in ("list", "tuple"):
            items = [unpack(item, blobs) for item in value]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {in_one_line(key, 80): unpack(item, blobs) for key, item in value.items()}
        if kind in ("array", "scalar"):
            array = _array(blobs[value])
            blobs[value] = b""  # each array only once: a frame of 30 MB must not grow to 30 GB
            return array if kind == "array" else array[()]
        if kind == "other":
            return NotNumbers(str(value))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Garbled(f"not a value: {error}") from None
    raise Garbled(f"{kind!r} is not a kind of value")


def _array(blob: bytes) -> Any:
    """Return the array from npy bytes, after checking that its header promises no more than the bytes contain."""
    buffer = io.BytesIO(blob)
    try:
        if np.lib.format.read_magic(buffer) != (1, 0):
            raise ValueError("not the first version of npy")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
    except Exception as error:  # a header is Python syntax, and can fail in as many ways
        raise ValueError(f"not a header: {error!s:.80}") from None
    data = blob[buffer.tell() :]
    if dtype.kind not in KINDS or len(data) != dtype.itemsize * math.prod(shape):
        raise ValueError("a header that does not fit its data")
    if math.prod(max(side, 1) for side in shape) > MOST_NUMBERS:
        raise ValueError(f"an array of shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def to_bytes(message: dict[str, Any]) -> bytes:
    """Return a frame; every value under "value" or "values" may contain arrays."""
    blobs: Blobs = []
    head = {key: pack(value, blobs) for key, value in message.items()}
    text = json.dumps(head).encode()
    parts = [struct.pack(">I", len(text)), text]
    parts += [part for blob in blobs for part in (struct.pack(">Q", len(blob)), blob)]
    payload = b"".join(parts)
    return MAGIC + struct.pack(">Q", len(payload)) + payload


def length_of(prefix: bytes) -> int:
    """Return how many bytes follow the first twelve of a frame."""
    length = int(struct.unpack(">Q", prefix[4:])[0])
    if prefix[:4] != MAGIC or length > MOST:
        raise Garbled("something other than a frame came through the pipe")
    return length


def from_bytes(payload: bytes) -> dict[str, Any]:
    """Return the message of a frame."""
    try:
        (size,) = struct.unpack_from(">I", payload)
        if size > MOST_TEXT:
            raise ValueError("too much of it")
        head = json.loads(payload[4 : 4 + size])
        blobs, place = [], 4 + size
        if place > len(payload):
            raise ValueError("it ends too early")
        while place < len(payload):
            (length,) = struct.unpack_from(">Q", payload, place)
            blobs.append(payload[place + 8 : place + 8 + length])
            place += 8 + length
        return {key: unpack(value, blobs) for key, value in head.items()}
    except (ValueError, struct.error, AttributeError, RecursionError) as error:
        raise Garbled(f"a broken frame: {error}") from None


class Pipe:
    """Frames read from one descriptor and written to another."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self.source, self.sink = source, sink

    def send(self, message: dict[str, Any]) -> None:
        """Send a frame."""
        self.sink.write(to_bytes(message))
        self.sink.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for a frame; EOFError when there will be no more."""
        return from_bytes(self._exactly(length_of(self._exactly(12))))

    def _exactly(self, count: int) -> bytes:
        data = self.source.read(count)
        if len(data) < count:
            raise EOFError
        return data
