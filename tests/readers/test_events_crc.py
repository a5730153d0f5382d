from __future__ import annotations

import time

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as oracle

from plateau_doctor.readers.crc import crc32c_of_ranges, crc32c_of_words, masked, masked_crc32c

VECTORS = [  # RFC 3720, B.4, and the usual check value
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_the_published_vectors_hold(data: bytes, expected: int) -> None:
    raw = np.frombuffer(data, dtype=np.uint8)
    assert crc32c_of_ranges(raw, np.array([0]), np.array([len(data)])).tolist() == [expected]


def test_ranges_of_every_length_agree_with_tensorboard() -> None:
    rng = np.random.default_rng(3)
    data = rng.integers(0, 256, 12_000, dtype=np.uint8)
    lengths = np.concatenate(
        [np.arange(0, 300), [511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 5000, 9999]]
    )
    starts = rng.integers(0, 2000, len(lengths))
    found = masked(crc32c_of_ranges(data, starts, starts + lengths)).tolist()
    whole = data.tobytes()
    assert found == [oracle(whole[s : s + n]) for s, n in zip(starts.tolist(), lengths.tolist(), strict=True)]


def test_words_and_bytes_give_the_same_checksum() -> None:
    low, high = np.array([7, 300, 0], dtype=np.uint32), np.array([0, 1, 0], dtype=np.uint32)
    pairs = [
        int(a).to_bytes(4, "little") + int(b).to_bytes(4, "little") for a, b in zip(low, high, strict=True)
    ]
    assert masked(crc32c_of_words(low, high)).tolist() == [masked_crc32c(pair) for pair in pairs]


def test_a_16_mb_record_is_checked_in_well_under_a_second() -> None:
    data = np.zeros(16 << 20, dtype=np.uint8)
    began = time.process_time()
    crc32c_of_ranges(data, np.array([0]), np.array([len(data)]))
    assert time.process_time() - began < 2.0  # 0.2 s measured; the bar leaves room for a loaded machine
