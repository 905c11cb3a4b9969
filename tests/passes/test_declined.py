"""What looks like a pattern and is not: the pass gives back the very same graph."""

from __future__ import annotations

import pytest
from tapeless.ir.parse import parse
from tapeless.passes.fold import LIMIT, fold
from tapeless.passes.rewriting.rules import RulePass
from tapeless.passes.simplify import simplify
from tapeless.passes.stable import stable
from tapeless.passes.transposes import absorb_transposes

SIMPLIFY = {
    "-0.0 + 0.0 is 0.0": "%x:f64[3] -> %y:f64[3] = add %x, 0.0",
    "0.0 - 0.0 is not -0.0": "%x:f64[3] -> %y:f64[3] = sub 0.0, %x",
    "inf * 0.0 is NaN": "%x:f64[3] -> %y:f64[3] = mul %x, 0.0",
    "inf - inf is NaN": "%x:f64[3] -> %y:f64[3] = sub %x, %x",
    "0.0 / 0.0 is NaN": "%x:f64[3] -> %y:f64[3] = div %x, %x",
    "a third has no exact reciprocal": "%x:f64[3] -> %y:f64[3] = div %x, 3.0",
    "the reciprocal would be subnormal": "%x:f32[3] -> %y:f32[3] = div %x, 1.7014118e+38",
    "x / y * y rounds": """%x:f64[3], %z:f64[3] ->
        %q:f64[3] = div %x, %z
        %y:f64[3] = mul %q, %z""",
    "a - b + b rounds": """%x:f64[3], %z:f64[3] ->
        %q:f64[3] = sub %x, %z
        %y:f64[3] = add %q, %z""",
    "the product of the factors underflows": """%x:f64[3] ->
        %q:f64[3] = mul %x, 1e-200
        %y:f64[3] = mul %q, 1e-200""",
    "not (x < y) holds for NaN, x >= y does not": """%x:f64[3], %z:f64[3] ->
        %q:bool[3] = lt %x, %z
        %y:bool[3] = not %q""",
    "f64 does not hold every i64": """%x:i64[3] ->
        %q:f64[3] = cast %x [dtype=f64]
        %y:i64[3] = cast %q [dtype=i64]""",
    "a square transpose moves elements": "%x:f64[3,3] -> %y:f64[3,3] = transpose %x [perm=(1,0)]",
    "the whole axis, backwards": "%x:f64[3] -> %y:f64[3] = slice %x [::-1]",
    "this reshape joins axes": """%x:f64[2,3] ->
        %q:f64[6] = reshape %x [shape=(6)]
        %y:f64[] = max %q [axes=(0)]""",
    "this reshape adds a trailing axis": """%x:f64[3] ->
        %q:f64[3,1] = reshape %x [shape=(3,1)]
        %y:f64[3,2] = broadcast %q [shape=(3,2)]""",
    "no axis that is summed repeats": """%x:f64[3] ->
        %q:f64[2,3] = broadcast %x [shape=(2,3)]
        %y:f64[2] = sum %q [axes=(1)]""",
    "another region is overwritten": """%x:f64[5], %v:f64[2] ->
        %q:f64[5] = update %x, %v [1:3]
        %y:f64[5] = update %q, %v [2:4]""",
    "the slice meets what was added": """%x:f64[5], %v:f64[2] ->
        %q:f64[5] = add_at %x, %v [1:3]
        %y:f64[2] = slice %q [2:4]""",
    "scattered over more than zeros": """%x:f64[5], %z:f64[5], %v:f64[2], %i:i64[2] ->
        %q:f64[5] = scatter_add %x, %v, %i [axes=(0)]
        %y:f64[5] = add %q, %z""",
    "the scattered sum is smaller than the other": """%x:f64[2,5], %v:f64[2], %i:i64[2] ->
        %o:f64[5] = broadcast 0.0:f64 [shape=(5)]
        %q:f64[5] = scatter_add %o, %v, %i [axes=(0)]
        %y:f64[2,5] = add %q, %x""",
    "without its only reader the bounds check would go": """%v:f64[2], %i:i64[2], %j:i64[2] ->
        %o:f64[3,3] = broadcast 0.0:f64 [shape=(3,3)]
        %q:f64[3,3] = scatter_add %o, %v, %i, %j [axes=(0,1)]
        %y:f64[3] = sum %q [axes=(1)]""",
    "a gather of equal elements keeps its check": """%i:i64[2] ->
        %o:f64[3] = broadcast 2.0:f64 [shape=(3)]
        %y:f64[2] = gather %o, %i [axes=(0)]""",
    "as many elements as before": """%x:f64[3], %i:i64[3] ->
        %q:f64[3] = tanh %x
        %y:f64[3] = gather %q, %i [axes=(0)]""",
    "the smaller side of the product is scaled": """%x:f64[3], %z:f64[4], %s:f64[] ->
        %q:f64[3] = mul %x, %s
        %y:f64[3,4] = outer %q, %z""",
    "-x of an unsigned x wraps around": """%x:u8[3] ->
        %q:u8[3] = neg %x
        %y:u8[3] = abs %q""",
    "x x of an integer x wraps around": """%x:i32[3] ->
        %q:i32[3] = mul %x, %x
        %y:i32[3] = abs %q""",
    "inf - inf is NaN where the sum of the terms is finite": """%x:f64[3] ->
        %q:f64[3] = mul %x, inf
        %y:f64[] = sum %q [axes=(0)]""",
    "an axis that is not counted through": """%x:f64[4,2], %z:f64[4,2] ->
        %i:i64[3] = iota [n=3]
        %y:f64[3,2] = gather %x, %i [axes=(0)]""",
}

STABLE = {
    "divided by the totals of the columns": """%z:f64[3,3] ->
        %e:f64[3,3] = exp %z
        %s:f64[3] = sum %e [axes=(1)]
        %y:f64[3,3] = div %e, %s""",
    "divided by another total": """%z:f64[3], %x:f64[3] ->
        %e:f64[3] = exp %z
        %f:f64[3] = exp %x
        %s:f64[] = sum %f [axes=(0)]
        %y:f64[3] = div %e, %s""",
    "total over axes apart from each other": """%z:f64[2,3,2] ->
        %e:f64[2,3,2] = exp %z
        %s:f64[3] = sum %e [axes=(0,2)]
        %k:f64[3,1] = reshape %s [shape=(3,1)]
        %q:f64[2,3,2] = div %e, %k
        %y:f64[3] = log %s""",
    "totals of more axes than the rows have": """%z:f64[3] ->
        %e:f64[3] = exp %z
        %s:f64[] = sum %e [axes=(0)]
        %k:f64[2,1] = broadcast %s [shape=(2,1)]
        %y:f64[2,3] = div %e, %k""",
    "the shift varies along the axis": """%z:f64[3,3] ->
        %m:f64[3] = max %z [axes=(0)]
        %d:f64[3,3] = sub %z, %m
        %y:f64[3,3] = softmax %d [axis=1]""",
    "the shift is no maximum": """%z:f64[3,3], %m:f64[3,1] ->
        %d:f64[3,3] = sub %z, %m
        %y:f64[3,3] = softmax %d [axis=1]""",
    "the shift is added to other rows": """%z:f64[3,3] ->
        %m:f64[3] = max %z [axes=(1)]
        %k:f64[3,1] = reshape %m [shape=(3,1)]
        %d:f64[3,3] = sub %z, %k
        %l:f64[3] = logsumexp %d [axis=1]
        %c:f64[3,1] = reshape %l [shape=(3,1)]
        %y:f64[3,3] = add %c, %m""",
    "log-sum-exp of something else": """%z:f64[3,3], %x:f64[3,3] ->
        %l:f64[3] = logsumexp %x [axis=1]
        %c:f64[3,1] = reshape %l [shape=(3,1)]
        %d:f64[3,3] = sub %z, %c
        %y:f64[3,3] = exp %d""",
    "log-sum-exp of other rows": """%z:f64[3,3] ->
        %l:f64[3] = logsumexp %z [axis=1]
        %d:f64[3,3] = sub %z, %l
        %y:f64[3,3] = exp %d""",
    "weighted sum of exponentials": """%z:f64[3], %w:f64[3] ->
        %e:f64[3] = exp %z
        %v:f64[3] = mul %w, %e
        %s:f64[] = sum %v [axes=(0)]
        %y:f64[] = log %s""",
    "mean of exponentials divided by a variable": """%z:f64[3], %n:f64[] ->
        %e:f64[3] = exp %z
        %s:f64[] = sum %e [axes=(0)]
        %q:f64[] = div %s, %n
        %y:f64[] = log %q""",
    "sum of exponentials divided by -3": """%z:f64[3] ->
        %e:f64[3] = exp %z
        %s:f64[] = sum %e [axes=(0)]
        %q:f64[] = div %s, -3.0
        %y:f64[] = log %q""",
    "more logarithms than before": """%z:f64[3] ->
        %p:f64[3] = sigmoid %z
        %q:f64[2,3] = broadcast %p [shape=(2,3)]
        %y:f64[2,3] = log %q""",
    "one branch has no stable logarithm": """%z:f64[3], %x:f64[3], %c:bool[3] ->
        %p:f64[3] = sigmoid %z
        %q:f64[3] = select %c, %p, %x
        %y:f64[3] = log %q""",
    "2 - sigmoid": """%z:f64[3] ->
        %p:f64[3] = sigmoid %z
        %q:f64[3] = sub 2.0, %p
        %y:f64[3] = log %q""",
    "powers a library function computes": """%x:f64[3] ->
        %a:f64[3] = power %x, 13.0
        %b:f64[3] = power %a, 1.5
        %c:f64[3] = power %b, -2.5
        %y:f64[3] = power 3.0, %c""",
}

TRANSPOSES = {
    "a transpose somebody else reads": """%x:f64[2,3], %z:f64[3,4] ->
        %d:f64[2,4] = matmul %x, %z
        %t:f64[4,2] = transpose %d [perm=(1,0)]
        %y:f64[2,4] = tanh %d
        %u:f64[4,2] = tanh %t""",
    "nothing was reshaped": "%x:f64[1,3], %z:f64[3,4] -> %y:f64[1,4] = matmul %x, %z",
    "the reshape joins axes": """%x:f64[2,3], %z:f64[6,4] ->
        %q:f64[1,6] = reshape %x [shape=(1,6)]
        %y:f64[1,4] = matmul %q, %z""",
}

FOLD = {
    "an index out of range is found when the program runs": """ ->
        %c:f64[3] = constant [1.0, 2.0, 3.0]
        %i:i64[2] = constant [0, 5]
        %y:f64[2] = gather %c, %i [axes=(0)]""",
    "the result would be large": f""" ->
        %c:f64[2] = constant [1.0, 2.0]
        %d:f64[{LIMIT},1] = broadcast 1.0:f64 [shape=({LIMIT},1)]
        %y:f64[{LIMIT},2] = add %c, %d""",
    "a counter stays a counter": " -> %y:i64[3] = iota [n=3]",
}

CASES = [
    pytest.param(run, text, id=f"{run.__name__}-{why}")
    for run, cases in (
        (simplify, SIMPLIFY), (stable, STABLE), (absorb_transposes, TRANSPOSES), (fold, FOLD),
    )
    for why, text in cases.items()
]  # fmt: skip


@pytest.mark.parametrize(("run", "text"), CASES)
def test_declined(run: RulePass, text: str) -> None:
    inputs, _, body = text.partition("->")
    results = [line.split(":")[0].strip() for line in body.strip().splitlines()]
    graph = parse(f"f({inputs.strip()}) {{\n{body}\n}} -> {results[-1]}")
    after = run(graph)
    assert after is graph, f"became\n{after}"
