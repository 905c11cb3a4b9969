"""Philox against its published known answers, and how keys, blocks and domains become bits."""

from typing import Any

import numpy as np
import pytest
from tapeless.ir.errors import IRSyntaxError
from tapeless.ir.parse import parse
from tapeless.ir.philox import philox4x32, random_bits
from tapeless.ir.types import I32, I64

# From the file `kat_vectors` of the authors' library Random123, philox4x32 with 10 rounds:
# counter, key, answer.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> Any:
    return [np.uint64(int(word, 16)) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    assert philox4x32(words(counter), words(key)) == words(answer)


def test_blocks_are_computed_alike_alone_and_together():
    counter = [np.arange(5, dtype=np.uint64), *words("1 2 3")]
    together = philox4x32(counter, words("4 5"))
    for k in range(5):
        alone = philox4x32([*halves(k), *words("1 2 3")], words("4 5"))
        assert [w[k] for w in together] == alone


def halves(*numbers: int) -> Any:
    return [np.uint64(number) for number in numbers]


def block(key, number, domain):
    """One block of a key, by the definition of its counter."""
    seed, stream = (int(word) % 2**64 for word in key)
    number += domain << 62
    counter = [number % 2**32, number >> 32, stream % 2**32, stream >> 32]
    answer = philox4x32(halves(*counter), halves(seed % 2**32, seed >> 32))
    return [int(word) for word in answer]


@pytest.mark.parametrize("key", [(0, 0), (-1, 5), (2**63 - 1, -(2**63))])
@pytest.mark.parametrize("domain", [0, 1, 3])
def test_the_layout_of_bits(key, domain):
    key = np.array(key)
    expected = [w for number in range(3) for w in block(key, number, domain)]
    narrow = random_bits(key, (11,), I32, domain)
    assert narrow.dtype == np.int32
    assert [int(w) % 2**32 for w in narrow] == expected[:11]
    wide = random_bits(key, (5,), I64, domain)
    assert wide.dtype == np.int64
    pairs = zip(expected[::2], expected[1::2], strict=True)
    assert [int(w) % 2**64 for w in wide] == [low + (high << 32) for low, high in pairs][:5]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (4, 0, 2)])
@pytest.mark.parametrize("dtype", [I32, I64])
def test_a_shape_is_the_beginning_of_a_longer_one(shape, dtype):
    key = np.array([3, 4])
    bits = random_bits(key, shape, dtype, 0)
    assert bits.shape == shape and bits.dtype == dtype
    np.testing.assert_array_equal(bits.ravel(), random_bits(key, (40,), dtype, 0)[: bits.size])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("shape=(3), dtype=f32", "makes i32 or i64, not f32"),
        ("shape=(-1), dtype=i64", "negative extent"),
        ("shape=(3), dtype=i64, domain=4", "domain must be 0, 1, 2 or 3, got 4"),
        ("shape=(3), dtype=i64, domain=1.5", "domain must be 0, 1, 2 or 3, got 1.5"),
    ],
)
def test_what_the_type_rule_refuses(attributes, message):
    text = f"f(%k:i64[2]) {{\n  %r:i64[3] = random_bits %k [{attributes}]\n}} -> %r\n"
    with pytest.raises(IRSyntaxError, match=message):
        parse(text)
