"""Damaged and malicious text gives one error, soon, or a valid graph; never anything else."""

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import all_samples, sample_graph
from tapeless.ir.errors import IRSyntaxError, VerifyError
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify

SEEDS = [
    """\
step(%p.W1:f32[7,3], %x:f32[2,7], %lr:f64[], %m:bool[2,3]@arena+64) {
  %z:f32[2,3] = matmul %x, %p.W1                              # mlp.py:6 via relu
  %h:f32[2,3] = select %m, %z, -0.5
  %c:f64[3] = constant [1.0, nan, -3e-5]
  %i:i64[2] = constant [0, -1]
  %r:f32[2,7] = gather %p.W1, %i [axes=(1)]
  %s:f32[1,3] = slice %h [::2, :]
  %lr32:f32[] = cast %lr [dtype=f32]
  %v0:f32[7,3] = dot_acc %p.W1, %x, %z, %lr32 [ab,ac->bc]
  %p.W1 <- %v0
} -> %h, %c
""",
    """\
f(%W:f64[3,4], %x:f64[4], %gz:f64[3], %m:bool[3]) {
  %W':f64[3,4] = arg %W
  %z:f64[3] = matmul %W', %x
  %y:f64[] = sum %z [axes=(0)]
  %gW:f64[3,4] = gradient %y wrt %W'
  %J1:f64[3,4,3] = jacobian %z wrt %W' [a,b;i] = -2.0 I[a,i] ?%m[i] %x[b] + %W[a,b] %gz[i]
  %J2:f64[4,2] = jacobian %gz wrt %x [a;i;s=3] = slice(0:4:2)[a;i]
  %gW2:f64[3,4] = contract %J1, %gz where %m
  %e:f64[3] = fused %gz body=loop(%g:f64[3]) {
    %q:f64[3] = exp %g
  } -> %q
} -> %gW, %gW2, %e
""".replace("jacobian %gz wrt %x [a;i;s=3]", "jacobian %q wrt %x [a;i]").replace(
        "  %y:f64[] =", "  %q:f64[2] = slice %x [::2]\n  %y:f64[] ="
    ),
    *(str(sample_graph(op, sample)[0]) for _, op, sample in list(all_samples())[::29]),
]
PIECES = [
    "%x", "%z", "%", "f64[]", "f32[2,3]", "[", "]", "(", ")", "{", "}", "->", "<-", ",", ":", "=",
    "-", "?", "I[a,i]", "0", "-1", "999999999999", "1e308", "nan", "true", "None", "@p", "#", "\n",
    'base64"AAAA"', '"', "wrt", "where", "seed", "body=", "[axes=(0,0)]", "[axes=(1.5)]",
    "[dtype=f32]", "[perm=(true,0)]", "[shape=(99999999999999,9)]", "slice(0:3:0)", ":::", "\0",
    "é", "²", "((((((((((", "constant", "gradient", "jacobian", "contract", "dot", "fused",
]  # fmt: skip


def outcome(text):
    """Parse; a graph that comes out is valid and prints as something that parses to itself."""
    start = time.process_time()
    try:
        graph = parse(text)
    except (IRSyntaxError, VerifyError) as error:
        result = str(error)
        assert result and "\n" not in result
    else:
        verify(graph)
        result = str(graph)
        assert str(parse(result)) == result
    assert time.process_time() - start < 5
    return result


def damage(rng, text):
    """One random edit: cut, repeat, replace or swap a piece, or write one word for another."""
    i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    j = min(j, i + 12)
    match rng.randrange(8):
        case 0:
            return text[:i] + text[j:]
        case 1:
            return text[:j] + text[i:]
        case 2:
            return text[:i] + rng.choice(PIECES) + text[j:]
        case 3:
            return text[:i] + " " + rng.choice(PIECES) + " " + text[i:]
        case 4:
            lines = text.splitlines(keepends=True)
            a, b = (rng.randrange(len(lines)) for _ in range(2))
            lines[a], lines[b] = lines[b], lines[a]
            return "".join(lines)
        case _:
            words = list(re.finditer(r"%?[\w.']+|\[[^\]]*\]", text))
            if len(words) < 2:
                return text
            old, new = rng.sample(words, 2)
            return text[: old.start()] + new.group() + text[old.end() :]


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


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_words_in_any_order(words):
    outcome("f(%x:f64[2,3]) {\n %z:f64[2,3] = " + " ".join(words))


@settings(max_examples=200, deadline=None)
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
    outcome(LONG[case])
