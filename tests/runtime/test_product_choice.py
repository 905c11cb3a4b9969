"""Which products are left to the BLAS: measured, measured_choice, and read again."""

import pytest
from tapeless.runtime import blas, product_choice
from tapeless.runtime.matrix import measured_choice
from tapeless.runtime.product_choice import (
    CLASSES,
    PRODUCTS,
    Contest,
    best,
    choose,
    measure,
)
from tapeless.runtime.store import open_store

SIZES = (2**17, 2**20, 2**24)


@pytest.mark.parametrize(
    ("leads", "expected"),
    [
        ((1.0, 1.0, 1.0), CLASSES[2]),
        ((1.1, 0.98, 0.5), CLASSES[1]),
        ((2.0, 0.9, 2.0), CLASSES[0]),
        ((0.9, 2.0, 2.0), 0),
    ],
)
def test_tiles_get_the_classes_up_to_the_first_they_lose(leads, expected):
    contests = [Contest("", work, lead, 1.0) for work, lead in zip(SIZES, leads, strict=True)]
    assert best(contests) == expected


def test_a_class_is_won_by_its_geometric_mean():
    assert best([Contest("", 2**17, 2.0, 1.0), Contest("", 2**17, 0.5, 1.0)]) == CLASSES[0]
    assert best([Contest("", 2**17, 2.0, 1.0), Contest("", 2**17, 0.4, 1.0)]) == 0


def test_the_products_are_in_order_of_their_classes():
    ends = [next(end for end in CLASSES if m * k * n < end) for m, k, n, _, _ in PRODUCTS]
    assert ends == sorted(ends) and set(ends) == set(CLASSES)


@pytest.mark.skipif(blas.find() is None, reason="NumPy brought no usable BLAS")
def test_both_are_measured_on_one_thread_and_the_choice_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(product_choice, "BUDGET", 0.0)
    monkeypatch.setenv("TAPELESS_CACHE", str(tmp_path))
    found = blas.find()
    assert found is not None
    before = found.threads
    (contest,) = measure("f64", [(9, 8, 7, 0, 1)])
    assert (contest.name, contest.work, found.threads) == ("9x8x7 B^T", 504, before)
    assert contest.blas > 0 and contest.tiles > 0
    store = open_store()
    assert store is not None and measured_choice("f32", store) is None
    choose("f32", store)
    assert measured_choice("f32", store) in (0, *CLASSES)
    assert measured_choice("f64", store) is None


def test_without_a_blas_there_is_nothing_to_choose(monkeypatch):
    monkeypatch.setattr(product_choice, "find", lambda: None)
    assert measure("f32") == []
