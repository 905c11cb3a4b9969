"""Damaged and malicious text gives one error, soon, or a valid graph; never anything else."""

import random

import pytest
from hostile import PIECES, SEEDS, damage, outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from tapeless.ir.parse import parse


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_seeds_are_valid(seed):
    parse(SEEDS[seed])


@pytest.mark.parametrize("seed", range(40))
def test_damaged_text(seed):
    rng = random.Random(seed)
    outcomes = set()
    for _ in range(60):
        text = rng.choice(SEEDS)
        for _ in range(rng.randint(1, 3)):
            text = damage(rng, text)
        outcomes.add(outcome(text))
    assert len(outcomes) > 10


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_words_in_any_order(words):
    outcome("f(%x:f64[2,3]) {\n %z:f64[2,3] = " + " ".join(words))


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_any_text(text):
    outcome(text)


DEEP = 20_000
LONG = {
    "parentheses": "f() {\n%x:f64[] = iota [n=" + "(" * DEEP,
    "brackets": "f() {\n%x:f64[1] = constant " + "[" * DEEP,
    "regions": "f() {\n" + "%x:f64[] = fused body=g() {\n" * DEEP,
    "minus signs": "f() {\n%x:f64[] = constant " + "-" * DEEP,
    "digits": "f() {\n%x:i64[] = constant " + "9" * DEEP,
    "extents": "f(%x:f64[" + "1," * DEEP,
    "terms": "f(%x:f64[]) {\n%J:f64[] = jacobian %x wrt %x [;] = " + "1.0 + " * DEEP,
    "deltas": "f(%x:f64[1]) {\n%J:f64[1,1] = jacobian %x wrt %x [a;i] = " + "I[a,i] " * DEEP,
    "letters": "f(%x:f64[1]) {\n%J:f64[1,1] = jacobian %x wrt %x [a;i] = "
    + "".join(f"I[a{k},a{k + 1}] " for k in range(DEEP)),
    "operands": "f(%x:f64[1]) {\n%y:f64[1] = concatenate " + "%x, " * DEEP,
    "quotes": 'f() {\n%x:f64[] = iota [n="' + "a" * DEEP,
    "spaces": "f() {" + " \t" * DEEP + "\n" * DEEP,
    "comments": "f() {\n" + "# a b:1 via x\n" * DEEP + "}",
    "long comment": "f(%x:f64[]) {\n%y:f64[] = neg %x # " + "a:1:" * DEEP + "\n}",
    "same hint": "f() {\n" + "\n".join(f"%x{k}:i64[1] = iota [n=1]" for k in range(2000)) + "\n}",
    "huge shape": "f(%x:f64[]) {\n%y:f64[9] = broadcast %x [shape=(" + "9" * 39 + ")]",
    "huge iota": "f() {\n%y:i64[1099511627776] = iota [n=1099511627776]\n} -> %y",
    "huge constant": "f() {\n%y:i64[1048576,1048576] = constant [1]\n} -> %y",
}


@pytest.mark.parametrize("case", LONG)
def test_long_text(case):
    outcome(LONG[case], seconds=5)
