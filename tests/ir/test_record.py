"""Every property of `dataclasses.dataclass` that is used here, of both forms side by side."""

import copy
import dataclasses
import pickle
import threading
from dataclasses import field, fields, replace
from functools import cached_property
from typing import ClassVar

import pytest
from tapeless.ir import record


def plain(dataclass):
    @dataclass
    class Point:
        x: int
        y: float = 2.0
        names: list = field(default_factory=list)

    return Point


def frozen(dataclass):
    @dataclass(frozen=True)
    class Point:
        """A point."""

        x: int
        y: float = 2.0

        @property
        def both(self):
            return self.x, self.y

        @cached_property
        def total(self):
            return self.x + self.y

    return Point


def slotted(dataclass):
    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: float = 2.0

    return Point


def single(dataclass):
    @dataclass(frozen=True)
    class Point:
        x: tuple

    return Point


def empty(dataclass):
    @dataclass(frozen=True)
    class Point:
        pass

    return Point


def keywords(dataclass):
    @dataclass(frozen=True, kw_only=True)
    class Point:
        x: int
        y: float = 2.0

    return Point


def identity(dataclass):
    @dataclass(frozen=True, eq=False)
    class Point:
        x: int

    return Point


def derived(dataclass):
    @dataclass(frozen=True)
    class Base:
        x: int
        y: float = 2.0

    @dataclass(frozen=True)
    class Point(Base):
        z: str = "z"

        def __post_init__(self):
            object.__setattr__(self, "y", self.y + 1)

    return Point


def options(dataclass):
    @dataclass
    class Point:
        x: int
        hidden: int = field(default=3, repr=False, compare=False)
        made: int | None = field(default=None, init=False)
        own: list = field(default_factory=lambda: [1], init=False)
        later: int = field(init=False)

        def __post_init__(self):
            self.later = self.x + 1

    return Point


def explicit(dataclass):
    @dataclass(frozen=True)
    class Point:
        x: int

        def __eq__(self, other):
            return isinstance(other, type(self)) and self.x % 2 == other.x % 2

        def __repr__(self):
            return f"<{self.x}>"

    return Point


def quoted(dataclass):
    @dataclass(frozen=True)
    class Point:
        x: "int"
        y: "float" = 2.0

    return Point


def special(dataclass):
    @dataclass
    class Point:
        x: int
        count: ClassVar[int] = 7
        kind: "ClassVar[str]" = "p"

    return Point


def hashed(dataclass):
    @dataclass(frozen=True)
    class Point:
        x: int

        def __hash__(self):
            return 7

    return Point


KINDS = [
    *(plain, frozen, slotted, single, empty, keywords, identity, derived, options),
    *(explicit, hashed, quoted, special),
]
CALLS = [
    ((), {}),
    ((1,), {}),
    ((3,), {}),
    ((1, 2.5), {}),
    ((1, 2.5), {"names": [4]}),
    ((1, 2.5, "w"), {}),
    ((1, 2, 3, 4), {}),
    ((), {"x": 1}),
    ((), {"x": 1, "y": 5.0}),
    ((1,), {"x": 1}),
    ((1,), {"other": 1}),
    ((1,), {"hidden": 4}),
]


def result(act, *args, **kwargs):
    """What an act gives or raises, without addresses."""
    try:
        return act(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


def facts(cls):
    """Everything that can be seen of a class and of instances made in all these ways."""
    made = [result(cls, *args, **kwargs) for args, kwargs in CALLS]
    points = [p for p in made if isinstance(p, cls)]
    yield [str(p) if not isinstance(p, cls) else "made" for p in made]
    ours = cls.__repr__ is not object.__repr__
    yield [repr(p) for p in points if ours]
    yield [[p == q for q in points] for p in points]
    yield [(p == 1, p != p, p.__eq__(1)) for p in points]
    hashes = [result(hash, p) for p in points]
    yield [[h == k for k in hashes] for h in hashes], [type(h) for h in hashes]
    yield [(f.name, f.default is dataclasses.MISSING, f.init, f.kw_only) for f in fields(cls)]
    yield cls.__match_args__, cls.__name__, cls.__qualname__, cls.__module__
    yield [values(result(replace, p)) for p in points]
    yield [(values(copy.copy(p)), values(copy.deepcopy(p))) for p in points]
    yield [list(dataclasses.asdict(p)) for p in points]
    yield "__slots__" in vars(cls), [hasattr(p, "__dict__") for p in points]
    names = "x" if "__slots__" in vars(cls) else "xq"  # some versions of Python get q wrong there
    yield [[result(setattr, p, n, 9), result(delattr, p, n)] for p in points for n in names]


def values(made):
    """The fields of an instance; an error as it is."""
    if not dataclasses.is_dataclass(made):
        return made
    return [getattr(made, f.name) for f in fields(made)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_is_a_dataclass(kind):
    ours = kind(record.dataclass)
    assert list(facts(ours)) == list(facts(kind(dataclasses.dataclass)))
    assert dataclasses.is_dataclass(ours)


def test_slots():
    ours, theirs = slotted(record.dataclass), slotted(dataclasses.dataclass)
    for cls in (ours, theirs):
        p = cls(1)
        assert repr(p).endswith("Point(x=1, y=2.0)") and p == cls(1, 2.0)
        assert hash(p) == hash(cls(1, 2.0)) and not hasattr(p, "__dict__")
        assert copy.deepcopy(p) == p and copy.copy(p) == p and replace(p, x=4) == cls(4)
        with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field 'x'"):
            p.x = 2
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
            cls()


@record.dataclass(frozen=True, slots=True)
class Slotted:
    x: int
    y: float = 1.5


@record.dataclass(frozen=True)
class Kept:
    x: int
    parts: tuple = ()


@pytest.mark.parametrize("made", [Slotted(1), Kept(2, (Slotted(3),))])
def test_pickle(made):
    again = pickle.loads(pickle.dumps(made))
    assert (again, hash(again), type(again)) == (made, hash(made), type(made))


def test_another_version_of_a_record():
    made = Slotted(1)
    assert record.replace(made, y=3.0) == replace(made, y=3.0) == Slotted(1, 3.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        record.replace(made, z=1)


def test_a_default_that_can_change_is_refused():
    def changing(dataclass):
        @dataclass
        class Point:
            x: list = []  # noqa: RUF012

    ours, theirs = (result(changing, d) for d in (record.dataclass, dataclasses.dataclass))
    assert ours == theirs and ours[0] is ValueError


def test_patterns():
    match Kept(2, (5,)):
        case Kept(x, (only,)):
            assert (x, only) == (2, 5)
        case _:
            raise AssertionError


def test_a_record_in_itself():
    made = plain(record.dataclass)(1)
    made.names.append(made)
    assert repr(made).endswith("Point(x=1, y=2.0, names=[...])")


def test_init_is_compiled_where_instances_are_many_whatever_threads_make_them():
    cls = derived(record.dataclass)
    first = cls.__init__
    start, made = threading.Barrier(8), []

    def make(k):
        start.wait()
        made.extend(cls(k, z="t") for _ in range(2))

    threads = [threading.Thread(target=make, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((p.x, p.y, p.z) for p in made) == sorted([(k, 3.0, "t") for k in range(8)] * 2)
    assert cls.__init__ is not first


def test_a_subclass_that_is_none_keeps_what_it_inherits():
    class Sub(frozen(record.dataclass)):
        pass

    made = Sub(1)
    made.other = 5
    assert (made.x, made.other, made.total) == (1, 5, 3.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.x = 2
    assert made != frozen(record.dataclass)(1)
