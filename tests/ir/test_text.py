"""The printed form: golden texts that parse back to themselves, and what the printer decides."""

import numpy as np
import pytest
import tapeless.ir.ops  # noqa: F401
from tapeless.ir.builder import Builder
from tapeless.ir.graph import Graph, Loc, Value
from tapeless.ir.parse import parse
from tapeless.ir.text import clean_name, format_node
from tapeless.ir.types import BOOL, F64, I64, Type

CANONICAL = {
    "step": """\
step(%p.W1:f32[784,128], %x:f32[32,784], %lr:f64[]) {
  %z:f32[32,128] = matmul %x, %p.W1                           # mlp.py:6
  %h:f32[32,128] = maximum %z, 0.0                            # mlp.py:6 via relu
  %t:f32[128,784] = transpose %p.W1 [perm=(1,0)]              # via jacobian-free
  %lr32:f32[] = cast %lr [dtype=f32]
  %v0:f32[784,128] = mul %p.W1, %lr32
  %p.W1 <- %v0
} -> %h""",
    "nothing": """\
empty() {
}""",
    "several results": """\
f(%a:f64[2], %b:bool[2]) {
  %n:i64[] = constant 3
  %s:f64[2] = select %b, %a, -0.0
  %p:bool[2] = and %b, true
} -> %n, %s, %p, %a""",
    "constants": """\
f() {
  %a:f64[3] = constant [1.0, -2.5, 1e+300]
  %b:i32[2,2] = constant [[1, -2], [3, 4]]
  %c:bool[2] = constant [true, false]
  %d:f32[3] = constant [inf, nan, -inf]
  %e:f64[2,0] = constant []
  %g:u64[1] = constant [18446744073709551615]
} -> %a, %b, %c, %d, %e, %g""",
    "literals": """\
f(%x:f32[3], %n:i32[3], %c:bool[]) {
  %a:f32[3] = mul %x, 0.1
  %b:i32[3] = add 7, %n
  %d:f64[3] = broadcast 1.5:f64 [shape=(3)]
  %e:i64[] = select %c, 1:i64, 0:i64
  %g:bool[] = and false, %c
  %h:f32[] = dot_acc 0.5:f32, 1.0:f32, 2.0:f32, 3.0:f32 [,->]
} -> %a, %b, %d, %e, %g, %h""",
    "slices": """\
f(%x:f64[9,4,5], %s:f64[]) {
  %a:f64[3,4,3] = slice %x [2:8:2, :, 1:4]
  %b:f64[9,2,5] = slice %x [::-1, ::2, :]
  %c:f64[2,4,5] = slice %x [3:-1:-2, :, :]
  %d:f64[9,4,5] = update %x, %a [2:8:2, :, 1:4]
  %e:f64[9,4,5] = add_at %x, %a [2:8:2, :, 1:4]
  %g:f64[] = slice %s []
} -> %b, %c, %d, %e, %g""",
    "contractions": """\
f(%a:f64[2,3], %b:f64[3,4], %v:f64[3], %t:f64[5,2,3]) {
  %c:f64[2,4] = matmul %a, %b
  %d:f64[4,2] = matmul %b, %a [ta, tb]
  %e:f64[2,2] = matmul %a, %a [tb]
  %g:f64[3,3] = outer %v, %v
  %h:f64[] = matmul %v, %v
  %i:f64[5,2,4] = matmul %t, %b
  %j:f64[] = dot %a, %a [ab,ab->]
  %k:f64[4,2] = dot %a, %b [ab,bc->ca]
  %l:f64[2,4] = dot_acc %c, %a, %b, 0.5 [ab,bc->ac]
} -> %d, %e, %g, %h, %i, %j, %k, %l""",
    "requests": """\
f(%w:f64[3], %g:f64[]) {
  %w':f64[3] = arg %w
  %y:f64[] = sum %w' [axes=(0)]
  %gw:f64[3] = gradient %y wrt %w'
  %cw:f64[3] = vjp %y wrt %w' seed %g
  %one:f64[3] = vjp %y wrt %w' seed 1.0
  %ty:f64[] = jvp %y wrt %w' seed %w
  %J:f64[3] = total_jacobian %y wrt %w'
} -> %gw, %cw, %one, %ty, %J""",
    "two losses": """\
f(%a:f64[], %b:f64[2]) {
  %a':f64[] = arg %a
  %b':f64[2] = arg %b
  %ga:f64[], %gb:f64[2] = vjp %a', %b' wrt %a', %b' seed %a, %b
} -> %ga, %gb""",
    "jacobians": """\
f(%W:f64[3,4], %x:f64[4,1], %gz:f64[3,1], %m:bool[3,1], %t:f64[3,4], %b:f64[2,3,1]) {
  %z:f64[3,1] = matmul %W, %x
  %s:f64[] = constant 2.0
  %J1:f64[3,4,3,1] = jacobian %z wrt %W [a,b;i,j] = I[a,i] %x[b,0]
  %J2:f64[4,1,3,1] = jacobian %z wrt %x [a,b;i,j] = %W[i,a]
  %J3:f64[3,1,3,1] = jacobian %z wrt %z [a,b;i,j] = -0.5 I[a,i] ?%m[i,0] %s[] + I[a,i] - 2.0
  %J4:f64[3,1,3,1] = jacobian %z wrt %z [a,b;i,j] = 0
  %J5:f64[3,1,3,1] = jacobian %z wrt %z [a,b;i,j] = -%W[a,s] %W[i,s] + %t[a,t] %t[i,t]
  %gW:f64[3,4] = contract %J1, %gz where %m
  %gb:f64[2,3,4] = contract %J1, %b [batch=1]
  %tz:f64[3,1] = contract %t, %J1
} -> %J2, %J3, %J4, %J5, %gW, %gb, %tz""",
    "maps": """\
f(%x:f64[9], %i:i64[3], %y:f64[2,6]) {
  %s:f64[3] = slice %x [2:8:2]
  %g:f64[3] = gather %x, %i [axes=(0)]
  %r:f64[3,4] = reshape %y [shape=(3,4)]
  %J1:f64[9,3] = jacobian %s wrt %x [a;i] = slice(2:8:2)[a;i]
  %J2:f64[9,3] = jacobian %g wrt %x [a;i] = gather(axes=(0), %i)[a;i]
  %J3:f64[2,6,3,4] = jacobian %r wrt %y [a,b;i,j] = reshape[a,b;i,j]
  %J4:f64[9,9] = jacobian %x wrt %x [a;i] = erase(8:1:-2)[a;i]
  %J5:f64[9,9] = jacobian %x wrt %x [a;i;s=3] = slice(2:8:2)[a;s] slice(0:3)[i;s]
} -> %J1, %J2, %J3, %J4, %J5""",
    "region": """\
f(%x:f32[4], %y:f32[4]) {
  %s:f32[], %h:f32[4] = fused %x, %y body(%x:f32[4], %y:f32[4]) {
    %h:f32[4] = mul %x, %y                                    # mlp.py:3
    %v0:f32[4] = add %h, 1.0
    %s:f32[] = sum %v0 [axes=(0)]
  } -> %s, %h                                                 # mlp.py:3 via fuse
  %t:f32[4] = fused %h, %s body=scale(%h:f32[4], %s:f32[]) {
    %t:f32[4] = mul %h, %s
  } -> %t
} -> %t""",
    "places": """\
f(%x:f32[4]@input:0) {
  %one:f32[]@constant+64 = constant 1.0
  %h:f32[4]@arena+4096 = add %x, %one
} -> %h""",
}  # fmt: skip


@pytest.mark.parametrize("name", CANONICAL)
def test_canonical_text_parses_to_itself(name):
    assert str(parse(CANONICAL[name])) == CANONICAL[name]


def test_free_spelling_is_normalised():
    text = """

    # a comment above
    f ( %x : f64[ 2, 3 ] ) {   # and here
      %y:f64[3,2] = dot %x, 2.0 [qp,->pq]      # not a location
      %z:f64[2,2] = dot %x, %x [nk,mk->nm]     # x.py:1
    } -> %y ,
    """.replace(" ,\n", "\n")
    assert str(parse(text)) == (
        "f(%x:f64[2,3]) {\n"
        "  %y:f64[3,2] = dot %x, 2.0 [ab,->ba]\n"
        "  %z:f64[2,2] = matmul %x, %x [tb]                            # x.py:1\n"
        "} -> %y"
    )


def graph_of(b, *outputs, inputs=(), name="f", updates=()):
    return Graph(name, tuple(inputs), tuple(b.nodes), outputs, updates)


def test_names_are_unique_and_keep_hints():
    x = Value(Type(F64, (2,)), "x")
    b = Builder()
    values = [b.neg(x, name_hint=hint) for hint in ("x", "W1", "W1", None, "v0", "x", None, "")]
    text = str(graph_of(b, *values, inputs=[x]))
    assert text.splitlines()[-1] == "} -> %x1, %W1, %W1_1, %v0, %v0_1, %x2, %v1, %v2"
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        ("p['W1']", "p_'W1'_"),
        ("1x", "_1x"),
        ("<lambda>", "_lambda_"),
        ("β", "β"),
        ("a b\nc", "a_b_c"),
        (".", "_."),
        ("'", "_'"),
    ],
)
def test_hints_become_identifiers(hint, name):
    assert clean_name(hint) == name
    x = Value(Type(F64), hint)
    text = str(Graph(hint, (x,), (), (x,)))
    assert f"%{name}:f64[]" in text
    assert str(parse(text)) == text


def test_a_scalar_constant_with_a_role_of_its_own_has_a_line():
    x = Value(Type(F64), "x")
    b = Builder()
    output, updated, unused, operand = (b.constant(v) for v in (1.0, 2.0, 3.0, 4.0))
    y = b.add(operand, output)
    text = str(graph_of(b, output, y, inputs=[x], updates=((x, updated),)))
    assert text == (
        "f(%x:f64[]) {\n"
        "  %v0:f64[] = constant 1.0\n"
        "  %v1:f64[] = constant 2.0\n"
        "  %v2:f64[] = constant 3.0\n"
        "  %v3:f64[] = add 4.0, %v0\n"
        "  %x <- %v1\n"
        "} -> %v0, %v3"
    )
    assert unused.shape == ()
    assert str(parse(text)) == text


def test_a_literal_alone_says_its_dtype():
    b = Builder()
    y = b.add(b.constant(1.0), b.constant(2.0))
    text = str(graph_of(b, y))
    assert "%v0:f64[] = add 1.0:f64, 2.0:f64" in text
    assert str(parse(text)) == text


def test_equal_literals_are_one_constant_after_parsing():
    text = "f(%x:f64[2]) {\n  %y:f64[2] = add %x, 1.0\n  %z:f64[2] = mul %y, 1.0\n} -> %z"
    assert [node.op.name for node in parse(text).nodes] == ["constant", "add", "mul"]


def test_zeros_of_either_sign_stay_apart():
    text = "f(%x:f64[2]) {\n  %y:f64[2] = add %x, 0.0\n  %z:f64[2] = mul %y, -0.0\n} -> %z"
    graph = parse(text)
    assert [node.op.name for node in graph.nodes] == ["constant", "add", "constant", "mul"]
    assert str(graph) == text


def test_comments_keep_the_base_name_of_the_file():
    x = Value(Type(F64), "x")
    b = Builder()
    with b.at(Loc("/home/me/train me.py", 12), "autodiff of\n a node"):
        y = b.neg(x)
    text = str(graph_of(b, y, inputs=[x]))
    assert text.splitlines()[1].endswith("  # train me.py:12 via autodiff of a node")
    (node,) = parse(text).nodes
    assert (node.loc, node.origin) == (Loc("train me.py", 12), "autodiff of a node")


def test_places_are_made_printable():
    x = Value(Type(F64), "x", "arena [64, 8]")
    text = str(Graph("f", (x,), (), (x,)))
    assert "%x:f64[]@arena__64__8_" in text
    assert str(parse(text)) == text


def test_large_constants_are_base64():
    array = np.arange(65, dtype=np.float32)
    b = Builder()
    text = str(graph_of(b, b.constant(array)))
    assert 'constant base64"AAAAAAAAgD8' in text
    again = parse(text)
    assert str(again) == text
    np.testing.assert_array_equal(again.nodes[0].attrs["value"], array, strict=True)


@pytest.mark.parametrize("dtype", [BOOL, I64, F64], ids=str)
def test_large_constants_of_any_layout(dtype):
    array = np.asfortranarray(np.arange(70).reshape(7, 10) % 3).astype(dtype)
    b = Builder()
    text = str(graph_of(b, b.constant(array)))
    value = parse(text).nodes[0].attrs["value"]
    np.testing.assert_array_equal(value, array, strict=True)
    assert not value.flags.writeable


def test_one_node_prints_even_if_the_graph_is_malformed():
    foreign = Value(Type(F64), "y")
    b = Builder()
    z = b.add(foreign, 1.0)
    assert format_node(graph_of(b, z), b.nodes[-1]) == "%v0:f64[] = add %?y, 1.0"
