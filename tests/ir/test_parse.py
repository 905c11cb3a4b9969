"""Reading IR text: round trips over the registry, and one clear error for every defect."""

import importlib

import numpy as np
import pytest
from sampling import all_samples, sample_graph
from tapeless.ir import parse_form, tokens
from tapeless.ir.builder import Builder
from tapeless.ir.errors import IRSyntaxError, TapelessError, VerifyError
from tapeless.ir.evaluate import evaluate
from tapeless.ir.graph import Graph
from tapeless.ir.parse import parse

SAMPLES = list(all_samples())
parse_module = importlib.import_module("tapeless.ir.parse")


@pytest.mark.parametrize(("op", "sample"), [s[1:] for s in SAMPLES], ids=[s[0] for s in SAMPLES])
def test_round_trip_of_every_op(op, sample):
    graph, arrays = sample_graph(op, sample)
    text = str(graph)
    again = parse(text)
    assert str(again) == text
    for expected, got in zip(evaluate(graph, arrays)[0], evaluate(again, arrays)[0], strict=True):
        np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("value", [0.1, np.pi, 1e-40, np.inf, np.nan, -0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip_of_literal_operands(dtype, value, position):
    graph, (x, _) = sample_graph(*next(s[1:] for s in SAMPLES if s[0] == "add-0"))
    b = Builder()
    a = graph.inputs[0] if dtype == np.float32 else b.cast(graph.inputs[0], dtype=np.dtype(dtype))
    operands = [a, b.constant(value, np.dtype(dtype))]
    y = b.add(*(operands if position else operands[::-1]))
    graph = Graph("f", graph.inputs[:1], tuple(b.nodes), (y,))
    again = parse(str(graph))
    assert str(again) == str(graph)
    got, expected = evaluate(again, [x])[0][0], evaluate(graph, [x])[0][0]
    np.testing.assert_array_equal(got, expected, strict=True)


def line(body, inputs="%x:f64[2,3], %n:i64[2], %c:bool[2,3]"):
    """A graph text whose second line is `body`."""
    return f"f({inputs}) {{\n{body}\n}} -> %x"


DEFECTS = {
    "empty text": ("", 1, 1, "expected the name of a graph, found the end of the text"),
    "no graph": ("42", 1, 1, "expected the name of a graph, found '42'"),
    "unknown sign": ("f(!", 1, 3, "no token starts with '!'"),
    "input without a type": ("f(%x) {", 1, 5, "expected ':', found ')'"),
    "not a name": ("f(x:f64[]) {", 1, 3, "expected a %name, found 'x'"),
    "unknown dtype": ("f(%x:f16[]) {", 1, 6, "expected a dtype (bool, i8,"),
    "no shape": ("f(%x:f64) {", 1, 9, "expected '[', found ')'"),
    "negative extent": ("f(%x:f64[-1]) {", 1, 6, "an extent is at least 0"),
    "large extent": ("f(%x:f64[9999999,9999999]) {", 1, 6, "a size at most"),
    "large beside zero": ("f(%x:f64[0,9999999999999]) {", 1, 6, "a size at most"),
    "rank": (f"f(%x:f64[{'1,' * 16}1]) {{", 1, 6, "rank 17 is more than 16"),
    "long number": (f"f(%x:f64[{'1' * 41}]) {{", 1, 10, "at most 40 characters"),
    "input twice": ("f(%x:f64[], %x:f64[]) {", 1, 13, "'%x' is defined twice"),
    "never closed": ("f() {\n", 2, 1, "expected a definition, an update or '}', found the end"),
    "more text": ("f() {\n}\ng() {\n}", 3, 1, "expected the end of the text, found 'g'"),
    "undefined output": ("f() {\n} -> %y", 2, 6, "'%y' is not defined before this use"),
    "undefined": (line("%y:f64[] = neg %z"), 2, 16, "'%z' is not defined before this use"),
    "itself": (line("%y:f64[] = neg %y"), 2, 16, "'%y' is not defined before this use"),
    "defined twice": (line("%x:f64[2,3] = neg %x"), 2, 1, "'%x' is defined twice"),
    "unknown op": (line("%y:f64[] = nag %x"), 2, 12, "there is no op 'nag'"),
    "no op": (line("%y:f64[] = %x"), 2, 12, "expected an op, found '%x'"),
    "wrong type": (line("%y:f64[3] = neg %x"), 2, 13, "neg gives f64[2,3], not f64[3]"),
    "wrong count": (line("%y:f64[2,3], %z:f64[] = neg %x"), 2, 25, "not f64[2,3], f64[]"),
    "wrong shapes": (line("%y:f64[2] = add %x, %n"), 2, 13, "add needs operands of one dtype"),
    "rest of the line": (line("%y:f64[2,3] = neg %x %x"), 2, 22, "expected the end of the line"),
    "bare number": (line("%y:f64[] = neg 1.0"), 2, 16, "no operand gives this number a dtype"),
    "float for int": (line("%y:i64[2] = add %n, 1.0"), 2, 21, "no operand gives this number"),
    "other kind": (line("%y:i64[2] = add %n, 1.0:i64"), 2, 21, "1.0 is not a literal of i64"),
    "overflow": (line("%y:i8[] = neg 128:i8"), 2, 15, "128 does not fit i8"),
    "f32 overflow": (line("%y:f32[] = neg 1e39:f32"), 2, 16, "1e+39 does not fit f32"),
    "f64 overflow": (line("%y:f64[] = neg 1e999:f64"), 2, 16, "'1e999' is too large"),
    "long float": (line(f"%y:f64[] = neg 1.{'0' * 40}"), 2, 16, "at most 40 characters"),
    "missing attribute": (line("%y:f64[] = sum %x"), 2, 12, "missing ['axes']"),
    "unknown attribute": (line("%y:f64[2,3] = neg %x [k=1]"), 2, 15, "unknown attributes ['k']"),
    "attribute twice": (line("%y:f64[] = sum %x [axes=(0),axes=(1)]"), 2, 29, "given twice"),
    "unfit attribute": (line("%y:f64[] = sum %x [axes=3]"), 2, 12, "attributes unfit for sum"),
    "unfit dtype": (line("%y:i64[2] = iota [n=2, dtype=w]"), 2, 13, "dtype w is not"),
    "deep attribute": (line("%y:f64[] = sum %x [axes=" + "(" * 10), 2, 33, "nest at most 8 deep"),
    "half a slice": (line("%y:f64[] = slice %x [1:, :]"), 2, 22, "a start and a stop, or neither"),
    "many slices": (line("%y:f64[] = slice %x [" + "0:1, " * 17), 2, 102, "more than 16"),
    "bad slice": (line("%y:f64[2,3] = slice %x [0:9, :]"), 2, 15, "does not fit an axis of 2"),
    "matmul of three": (line("%y:f64[] = matmul %x, %x, %x"), 2, 12, "takes 2 operands, found 3"),
    "matmul flag": (line("%y:f64[] = matmul %x, %x [tc]"), 2, 27, "expected ta or tb"),
    "matmul ranks": (line("%y:f64[] = matmul %x, 1.0"), 2, 12, "no matmul of ranks 2 and 0"),
    "bad letters": (line("%y:f64[] = dot %x, %x [aa,b->c]"), 2, 24, "a letter twice"),
    "more than letters": (line("%y:f64[] = dot %x, %x [ab,cb->ac, k=1]"), 2, 12, "['k']"),
    "no letters": (line("%y:f64[] = dot %x, %x [1]"), 2, 24, "expected ',', found '1'"),
    "short list": (line("%y:f64[2] = constant [1.0]"), 2, 26, "expected ',', found ']'"),
    "long list": (line("%y:f64[1] = constant [1.0, 2.0]"), 2, 26, "expected ']', found ','"),
    "not a list": (line("%y:f64[1] = constant 1.0"), 2, 22, "expected '[', found '1.0'"),
    "not a number": (line("%y:f64[] = constant %x"), 2, 21, "expected a number, found '%x'"),
    "not empty": (line("%y:f64[0] = constant [1.0]"), 2, 23, "expected ']', found '1.0'"),
    "base64": (line('%y:f64[1] = constant base64"AAA"'), 2, 22, "invalid base64"),
    "short base64": (line('%y:f64[1] = constant base64"AAAA"'), 2, 22, "8 bytes, found 3"),
    "odd bool": (line('%y:bool[1] = constant base64"Ag=="'), 2, 23, "bytes of a bool are 0 and 1"),
    "no wrt": (line("%y:f64[] = gradient %x"), 2, 23, "expected 'wrt', found the end of the line"),
    "two losses": (line("%y:f64[] = gradient %x, %x wrt %x"), 2, 12, "'gradient %y wrt %a'"),
    "seeded gradient": (line("%y:f64[] = gradient %x wrt %x seed %x"), 2, 12, "has the form"),
    "gradient of a matrix": (line("%y:f64[2,3] = gradient %x wrt %x"), 2, 15, "must have shape ()"),
    "contract of one": (line("%y:f64[] = contract %x"), 2, 12, "takes 2 operands, found 1"),
    "no Jacobian": (line("%y:f64[] = contract %x, %x"), 2, 12, "the result of a jacobian node"),
    "region": (line("%y:f64[2,3] = fused %x body=3"), 2, 29, "expected the name of a graph"),
    "region in brackets": (line("%y:f64[2,3] = fused %x [body=3]"), 2, 15, "unfit for fused"),
    "place": (line("%y:f64[2,3]@ = neg %x"), 2, 12, "no token starts with '@'"),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_defects_are_reported_where_they_are(case):
    text, row, column, message = DEFECTS[case]
    with pytest.raises(IRSyntaxError) as caught:
        parse(text)
    error = str(caught.value)
    assert message in error
    assert error.startswith(f"line {row}, column {column}: ")
    assert "\n" not in error


FORM_DEFECTS = {
    "header": ("[a;i,j] = 0", "f64[2,3] needs 2 letters, found 1"),
    "letter twice": ("[a,a;i,j] = 0", "letter a names two axes"),
    "delta as a letter": ("[I,b;i,j] = 0", "I is the delta"),
    "no equals": ("[a,b;i,j] I[a,i]", "expected '=', found 'I'"),
    "number": ("[a,b;i,j] = 3", "expected a factor, found '3'"),
    "no factor": ("[a,b;i,j] = I[a,i] +", "expected a factor, found the end of the line"),
    "one letter": ("[a,b;i,j] = I[a]", "a delta has two letters, found 1"),
    "rank": ("[a,b;i,j] = %x[a]", "'%x' has rank 2, found 1 letters"),
    "extent": ("[a,b;i,j] = %x[b,a]", "letter b has extent 3, here it would be 2"),
    "not 1": ("[a,b;i,j] = %x[a,0]", "0 stands for an axis of extent 1, this one has 3"),
    "not an index": ("[a,b;i,j] = %x[a,1]", "expected a letter or 0, found '1'"),
    "no value": ("[a,b;i,j] = ?I[a,i]", "expected a value, found 'I'"),
    "undefined": ("[a,b;i,j] = %q[a,i]", "'%q' is not defined before this use"),
    "unknown extent": ("[a,b;i,j] = reshape[a,b;s]", "give the extent of s, as in [..;..;s=5]"),
    "extent of a header": ("[a,b;i,j;a=4] = 0", "letter a has extent 2, here it would be 4"),
    "letters": (
        "[a,b;i,j] = " + " ".join(f"I[x{k},y{k}]" for k in range(30)), "more than 48 letters",
    ),
    "factors": ("[a,b;i,j] = " + "I[a,i] " * 65, "more than 64 factors in a term"),
    "terms": ("[a,b;i,j] = I[a,i]" + " + I[a,i]" * 4096, "more than 4096 terms"),
    "map argument": ("[a,b;i,j] = slice(;)[a;i]", "expected a value, a slice or an attribute"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORM_DEFECTS)
def test_defects_of_forms(case):
    form, message = FORM_DEFECTS[case]
    with pytest.raises(IRSyntaxError) as caught:
        parse(line(f"%J:f64[2,3,2,3] = jacobian %x wrt %x {form}"))
    assert message in str(caught.value)


def test_what_concerns_the_whole_graph_is_a_verify_error():
    with pytest.raises(VerifyError, match="invariant 3 is broken after parse"):
        parse(line("%x <- %x\n%x <- %x"))
    with pytest.raises(VerifyError, match=r"invariant 14 .* no map 'shake'.* at a.py:3"):
        parse(line("%J:f64[2,3,2,3] = jacobian %x wrt %x [a,b;i,j] = shake[a;i] # a.py:3"))
    with pytest.raises(VerifyError, match="invariant 15"):
        parse(line("%J:f64[2,3,2,3] = jacobian %x wrt %x [a,b;i,j] = 0\n%y:f64[2,3,2,3] = neg %J"))


def test_regions_have_a_depth_limit():
    depth = parse_module.MAX_REGIONS + 1
    text = line("%y:f64[] = fused body=g() {\n" * depth)
    with pytest.raises(IRSyntaxError, match="regions nest at most 8 deep"):
        parse(text)


def test_the_number_of_nodes_is_limited(monkeypatch):
    monkeypatch.setattr(parse_module, "MAX_NODES", 2)
    body = "\n".join(f"%y{k}:i64[2] = neg %n" for k in range(3))
    with pytest.raises(IRSyntaxError, match="line 4, column 14: more than 2 nodes"):
        parse(line(body))


def test_the_length_of_text_is_limited(monkeypatch):
    monkeypatch.setattr(tokens, "MAX_TEXT", 10)
    with pytest.raises(IRSyntaxError, match="longer than 10"):
        parse("f() {     }")


def test_limits_are_the_documented_ones():
    assert parse_form.MAX_LETTERS == 2 * 16 + 16
    assert issubclass(IRSyntaxError, TapelessError)
