"""Damaged IR text, and what must come of it: one error, soon, or a valid graph."""

from __future__ import annotations

import random
import re
import resource
import time
from collections.abc import Callable
from typing import Final

from sampling import all_samples, sample_graph
from tapeless.ir.errors import IRSyntaxError, VerifyError
from tapeless.ir.parse import parse
from tapeless.ir.verify import verify

SECONDS: Final = 1.0
"""The most processor time one text may take to be refused or understood."""
Edit = Callable[[random.Random, str], str]
MEGABYTES: Final = 200
"""The most memory it may need."""

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


def outcome(text: str, seconds: float = SECONDS) -> str:
    """The error, or the text of the graph, which is valid and prints as something that parses to
    itself. AssertionError for anything else, and for one that takes too long or too much."""
    start, before, result = time.process_time(), _peak(), ""
    try:
        graph = parse(text)
    except (IRSyntaxError, VerifyError) as error:
        result = str(error)
        assert result and "\n" not in result
    else:
        verify(graph)
        result = str(graph)
        assert str(parse(result)) == result
    assert time.process_time() - start < seconds, "too slow"
    assert _peak() - before < MEGABYTES, "too large"
    return result


def _peak() -> int:
    """The most megabytes the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def hostile(rng: random.Random, text: str) -> str:
    """A text with a few random edits: of words, lines, numbers, brackets, names, characters."""
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        edit: Edit = rng.choice((damage, damage, renumbered, rebracketed, scrambled))
        text = edit(rng, text)
    return text


def renumbered(rng: random.Random, text: str) -> str:
    """One number replaced: by a neighbour, a huge or a negative one, one that is no number."""
    found = list(re.finditer(r"-?[0-9][0-9.e+-]*", text))
    if not found:
        return text
    old = rng.choice(found)
    new = rng.choice(
        ("0", "1", "-1", "2", "7", "1048576", "1099511627776", "9" * 39, "9" * 50, "1e999", "-0.0",
         "nan", "1.5", "0x10", "1_000", "1e", "007")
    )  # fmt: skip
    return text[: old.start()] + new + text[old.end() :]


def rebracketed(rng: random.Random, text: str) -> str:
    """One bracket dropped, doubled or turned into another."""
    found = [k for k, c in enumerate(text) if c in "()[]{}"]
    if not found:
        return text
    k = rng.choice(found)
    new: str = rng.choice(("", text[k] * 2, *"()[]{}"))
    return text[:k] + new + text[k + 1 :]


def scrambled(rng: random.Random, text: str) -> str:
    """Random bytes in place of a few characters."""
    i = rng.randrange(len(text) + 1)
    noise = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
    return text[:i] + noise.decode("utf-8", "replace") + text[i + rng.randrange(3) :]


def damage(rng: random.Random, text: str) -> str:
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


_CALLS: Final = (
    "__import__('os').system('id')", "exec('x=1')", "eval('1')", "open('/etc/passwd').read()",
    "().__class__.__bases__[0].__subclasses__()", "globals()['x']", "getattr(x, '__dict__')",
    "print('x')", "compile('1', '', 'eval')", "breakpoint()", "lambda: 0", "[q for q in ()]",
    "f'{1}'", "x.__init__", "import os",
)  # fmt: skip
_FRAMES: Final = ("{}", "\n    {}\n", "x = 1; {}", '"""\n{}\n"""', "k0\n\n\n{}\n")
PAYLOADS: Final = (
    *(
        frame.format(call)
        for k, call in enumerate(_CALLS)
        for frame in (_FRAMES[0], _FRAMES[1 + k % 4], _FRAMES[1 + (k + 1) % 4])
    ),
    "x\x00y(", "x\r\nimport os", "\u202ereversed()", "%s%n", "{0.__class__}", "'); import os; ('",
    "#\nimport os", "\\\nimport os", "/../../tmp/x.py; import os", "class A: pass",
)  # fmt: skip
"""Texts that would do something if they were taken for code."""
