"""Checks the checksums of all records of a window in one sweep: the quick twin of `crc.crc32c_of_ranges`.

A payload with its bare checksum behind it is, as a polynomial over GF(2), divisible by CRC-32C's own. So is a row of
such records, with zeros between them; and so it stays when a piece in front is xored into the places that a multiple
of the polynomial with few terms names. A window is folded up that way, a few long xors at a time, until little is
left, which must be divisible, too. By squaring, a multiple in x is one in x**2, x**4 ... as well.

One check of 32 bits stands for all records of the window: damage passes it as seldom as it passes a record's own,
once in 2**32. What does not pass is looked for record by record, by the plain twin.
"""

from __future__ import annotations

import numpy as np

from plateau_doctor.readers.bulk.cursors import Bytes, Places, overlapping
from plateau_doctor.readers.crc import POLYNOMIAL, Registers
from plateau_doctor.readers.framing import FRAME, HEAD, TAIL

__all__ = ["FEW_TERMS", "LONG", "all_hold"]

LONG = (6777, 484, 100)  # exponents of a multiple with four terms, besides 0
FEW_TERMS = (209, 144, 54, 39, 14)  # ... with six
SHORTEST = 4  # bytes of a payload, of which the start value turns the first four over
LINK = TAIL + FRAME  # a checksum, the frame's head behind it, and the four bytes that begin its payload
WORDS, BITS = (
    (8, 1),
    (8, 1),
)  # units of the folds with FEW_TERMS, in words and then in bits; each leaves an eighth


def all_hold(raw: Bytes, starts: Places, ends: Places) -> bool:
    """Whether every record's checksum holds; the records follow one another without a gap.

    False also where a payload is too short for the sweep.
    """
    if not len(starts) or int((ends - starts).min()) < SHORTEST:
        return False
    begin, size = int(starts[0]) - HEAD, int(ends[-1] - starts[0]) + FRAME
    words = np.empty(-(-(size + 2 * LINK) // 8), dtype="<u8")
    line = words.view(np.uint8)
    line[:TAIL] = line[TAIL + size :] = 0
    line[TAIL : TAIL + size] = raw[begin : begin + size]
    _bare(line, np.append(0, ends - begin + TAIL))
    return _remainder(words) == 0


def _bare(line: Bytes, links: Places) -> None:
    """Leave payloads and bare checksums alone in the line; `links` is where each checksum stands."""
    places = overlapping(line, f"V{LINK}")
    parts = places[links].view("<u4").reshape(-1, LINK // 4)
    parts[:, 0] = ~_unmasked(parts[:, 0])
    parts[:, 1 : 1 + HEAD // 4] = 0
    parts[:, -1] = ~parts[:, -1]
    parts[0, 0] = parts[-1, -1] = 0  # nothing comes before the first payload, nor behind the last checksum
    places[links] = parts.reshape(-1).view(f"V{LINK}")


def _unmasked(stored: Registers) -> Registers:
    turned = stored - np.uint32(0xA282EAD8)
    return (turned >> np.uint32(17)) | (turned << np.uint32(15))


def _remainder(words: np.ndarray) -> int:
    """Return the register after the words, begun at zero."""
    words = _folded(words, LONG, 1)
    for unit in WORDS:
        words = _folded(words, FEW_TERMS, unit)
    number, bits = int.from_bytes(words.tobytes(), "little"), 64 * len(words)
    for unit in BITS:
        number, bits = _folded_number(number, bits, unit)
    return _divided(number, bits)


def _folded(words: np.ndarray, terms: tuple[int, ...], unit: int) -> np.ndarray:
    """Xor the first words into later ones for as long as the multiple fits; return those that are left."""
    longest = unit * terms[0]
    shifts = [longest, *(longest - unit * term for term in terms[1:])]
    piece = min(shifts)
    at = 0
    while (left := len(words) - longest - at) > 0:
        size = min(piece, left)
        front = words[at : at + size]
        for shift in shifts:
            target = words[at + shift : at + shift + size]
            np.bitwise_xor(target, front, out=target)
        at += size
    return words[at:]


def _folded_number(number: int, bits: int, unit: int) -> tuple[int, int]:
    """Do the same to the bits of a whole number, the first of which are its lowest."""
    longest = unit * FEW_TERMS[0]
    piece = longest - unit * FEW_TERMS[1]
    while bits > longest:
        size = min(piece, bits - longest)
        front = number & ((1 << size) - 1)
        number >>= size
        number ^= front << (longest - size)
        for term in FEW_TERMS[1:]:
            number ^= front << (longest - unit * term - size)
        bits -= size
    return number, bits


def _divided(number: int, bits: int) -> int:
    """Return the register after so many bits, one by one."""
    for _ in range(bits):
        number = (number >> 1) ^ (POLYNOMIAL if number & 1 else 0)
    return number
