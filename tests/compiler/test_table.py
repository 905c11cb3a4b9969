import pytest
from tapeless.compiler.table import Table, bytes_text, seconds_text


def test_columns_are_aligned_by_content():
    table = Table("name", "count")
    table.add("a", "1,000")
    table.add("long", "5")
    assert str(table).splitlines() == ["name  count", "----  -----", "a     1,000", "long      5"]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        Table("a").add("1", "2")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (600, "600 B"), (1536, "1.5 KiB"), (411 << 20, "411 MiB"), (3 << 40, "3 TiB")],
)
def test_bytes(count, text):
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.234e-6, "1.23 us"), (0.0456, "45.6 ms"), (2, "2.00 s")]
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text
