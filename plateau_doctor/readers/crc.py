"""CRC-32C of many byte ranges at once, in numpy: the checksum of TensorFlow's record files.

The checksum is linear over GF(2) up to its start value, so a range is cut into blocks that are worked on side
by side and put together with a table that shifts a register past one block. Zero bytes in front leave a
register of zero as it is, so blocks of any length share one width. Polynomial: Castagnoli, RFC 3720 B.4.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["crc32c_of_ranges", "crc32c_of_words", "masked", "masked_crc32c"]

Registers = NDArray[np.uint32]
Bytes = NDArray[np.uint8]

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
START = 0xFFFFFFFF
FEW = 256  # bytes that are sooner worked off one by one
BLOCK = 1024  # bytes worked on as one row
ROWS_AT_ONCE = 1 << 23  # bytes copied into rows at a time
WIDTHS = np.array([16, 32, 48, 64, 80, 96, 128, 192, 256, 384, 512, 768, BLOCK])


def masked_crc32c(data: bytes) -> int:
    """Return the masked CRC-32C of `data`, as it stands in a record."""
    if len(data) <= FEW:
        crc = _byte_by_byte(data)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    whole = np.frombuffer(data, dtype=np.uint8)
    return int(masked(crc32c_of_ranges(whole, np.array([0]), np.array([len(data)])))[0])


def masked(crcs: Registers) -> Registers:
    """Return checksums rotated and shifted as record files store them, shape (n,)."""
    return ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(0xA282EAD8)


def crc32c_of_words(*words: Registers) -> Registers:
    """Return the CRC-32C of n short messages; `words` are their consecutive little-endian words, each (n,)."""
    state = np.full(words[0].shape, START, dtype=np.uint32)
    for word in words:
        state = _step(state ^ word)
    return ~state


def crc32c_of_ranges(data: Bytes, starts: np.ndarray, ends: np.ndarray) -> Registers:
    """Return the CRC-32C of `data[starts[i]:ends[i]]` for each i, shape (n,); an empty range gives 0."""
    starts, ends = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    lengths = ends - starts
    padded = (
        np.concatenate([np.zeros(BLOCK, dtype=np.uint8), data]) if len(data) else np.zeros(BLOCK, np.uint8)
    )
    blocks = np.maximum(1, -(-lengths // BLOCK))
    owner = np.repeat(np.arange(len(lengths)), blocks)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    behind = (blocks[owner] - 1 - place) * BLOCK  # bytes of the range after this block
    block_ends = ends[owner] - behind
    sizes = np.where(place == 0, lengths[owner] - behind, BLOCK)
    registers = _registers(padded, block_ends + BLOCK, sizes)
    found: Registers = ~(_joined(registers, blocks) ^ _moved_start(lengths))
    return found


def _byte_by_byte(data: bytes) -> int:
    """Return the CRC-32C, quicker than in numpy where there is little of it."""
    table, state = _byte_table(), START
    for byte in data:
        state = table[(state ^ byte) & 255] ^ state >> 8
    return state ^ START


@cache
def _byte_table() -> list[int]:
    table: list[int] = _shift_of(0)[0].tolist()
    return table


def _registers(padded: Bytes, ends: np.ndarray, sizes: np.ndarray) -> Registers:
    """Return the register, begun at zero, after the `sizes[i]` bytes before `ends[i]`; sizes are at most BLOCK."""
    found = np.zeros(len(sizes), dtype=np.uint32)
    widths = WIDTHS[np.searchsorted(WIDTHS, sizes)]
    for width in np.unique(widths):
        views = np.lib.stride_tricks.sliding_window_view(padded, int(width))
        members = np.flatnonzero(widths == width)
        for at in range(0, len(members), max(1, ROWS_AT_ONCE // int(width))):
            chosen = members[at : at + max(1, ROWS_AT_ONCE // int(width))]
            rows = views[ends[chosen] - width]
            rows[np.arange(width) < (width - sizes[chosen])[:, None]] = 0
            state = np.zeros(len(chosen), dtype=np.uint32)
            for word in np.ascontiguousarray(rows.view("<u4").T):
                state = _step(state ^ word)
            found[chosen] = state
    return found


def _joined(registers: Registers, blocks: np.ndarray) -> Registers:
    """Return one register a range from those of its blocks, which stand one after another."""
    firsts = np.cumsum(blocks) - blocks
    joined: Registers = registers[firsts].copy()
    for i in np.flatnonzero(blocks > 1):
        joined[i] = _chained(registers[firsts[i] : firsts[i] + blocks[i]])
    return joined


def _chained(registers: Registers) -> int:
    t0, t1, t2, t3 = _past_a_block()
    state = 0
    for register in registers.tolist():
        state = t0[state & 255] ^ t1[state >> 8 & 255] ^ t2[state >> 16 & 255] ^ t3[state >> 24] ^ register
    return int(state)


def _moved_start(lengths: np.ndarray) -> Registers:
    """Return what the start value has become after so many zero bytes, shape (n,)."""
    distinct, which = np.unique(lengths, return_inverse=True)
    state = np.full(len(distinct), START, dtype=np.uint32)
    for bit in range(int(distinct.max(initial=0)).bit_length()):
        chosen = (distinct >> bit) & 1 == 1
        state[chosen] = _applied(_shift_of(bit), state[chosen])
    moved: Registers = state[which]
    return moved


def _step(state: Registers) -> Registers:
    """Return registers moved past four zero bytes; a message's word is put in by xor before."""
    low, high = _word_tables()
    moved: Registers = low[state & np.uint32(0xFFFF)] ^ high[state >> np.uint32(16)]
    return moved


def _applied(tables: Registers, state: Registers) -> Registers:
    parts = [tables[k][(state >> np.uint32(8 * k)) & np.uint32(255)] for k in range(4)]
    moved: Registers = parts[0] ^ parts[1] ^ parts[2] ^ parts[3]
    return moved


@cache
def _past_a_block() -> tuple[list[int], ...]:
    return tuple(row.tolist() for row in _shift_of(BLOCK.bit_length() - 1))


@cache
def _shift_of(bit: int) -> Registers:
    """Return the tables, shape (4, 256), that move a register past 2**bit zero bytes."""
    values = np.arange(256, dtype=np.uint32)
    each = np.stack([values << np.uint32(8 * k) for k in range(4)])
    if bit:
        half = _shift_of(bit - 1)
        return _applied(half, _applied(half, each))
    for _ in range(8):
        each = (each >> np.uint32(1)) ^ np.where(each & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    return each


@cache
def _word_tables() -> tuple[Registers, Registers]:
    values = np.arange(1 << 16, dtype=np.uint32)
    four = _shift_of(2)
    return _applied(four, values), _applied(four, values << np.uint32(16))
