"""Read a TensorFlow checkpoint bundle with numpy alone: an index of sorted string tables and a raw data file.

The index is a LevelDB table (its keys share prefixes with their neighbours); each value is a protocol buffer
`BundleEntryProto` that says where in the data file a tensor lies. Sources: LevelDB's table_format.md, TensorFlow's
tensor_bundle.proto. Only what a checkpoint of float32 tensors in one uncompressed shard needs.
"""

from collections.abc import Iterator

import numpy as np

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two block handles, padding, the magic number
DT_FLOAT = 1


def read_bundle(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Every float32 tensor of a checkpoint by name, from the bytes of its `.index` and `.data-00000-of-00001`.

    Raises ValueError where the bytes are not such a bundle.
    """
    if len(index) < FOOTER or int.from_bytes(index[-8:], "little") != MAGIC:
        raise ValueError("not a TensorFlow checkpoint index: its last bytes are not a table's magic number")
    _, position = _handle(index, len(index) - FOOTER)
    block, _ = _handle(index, position)
    tensors = {}
    for _, value in _entries(index, *block):
        for key, entry in _entries(index, *_handle(value, 0)[0]):
            if key and (tensor := _tensor(entry, data)) is not None:
                tensors[key.decode()] = tensor
    return tensors


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the position after the two numbers."""
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of one block of a table."""
    block = table[offset : offset + size]
    if table[offset + size] != 0:
        raise ValueError("a compressed checkpoint index; only uncompressed ones can be read")
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # before the restart points and their count
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Field numbers of a protocol buffer message, each with its value as a number or as the bytes of a message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield number, value, b""
        elif kind == 2:
            length, position = _varint(message, position)
            yield number, 0, message[position : position + length]
            position += length
        elif kind == 5:
            yield number, int.from_bytes(message[position : position + 4], "little"), b""
            position += 4
        else:
            raise ValueError(f"a checkpoint entry has a field of unknown kind {kind}")


def _tensor(entry: bytes, data: bytes) -> np.ndarray | None:
    """The tensor of a BundleEntryProto: dtype = 1, shape = 2, offset = 4, size = 5. None where it is not float32."""
    values = {number: value for number, value, _ in _fields(entry)}
    if values.get(1) != DT_FLOAT:
        return None
    shape_message = b"".join(content for number, _, content in _fields(entry) if number == 2)
    sizes = [content for number, _, content in _fields(shape_message) if number == 2]
    shape = [{number: value for number, value, _ in _fields(size)}.get(1, 0) for size in sizes]
    offset, size = values.get(4, 0), values[5]
    return np.frombuffer(data[offset : offset + size], "<f4").reshape(shape)
