import pytest

from accumulator.table_files import load_or_build_table, table_path


def test_a_table_is_built_once_and_loaded_afterwards(parameters, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    first = load_or_build_table(parameters, folder, 5)
    path = table_path(parameters, folder, 5, 32 << 20)
    assert [path] == list(folder.iterdir())

    def unexpected(*arguments, **options):
        raise AssertionError("built again")

    monkeypatch.setattr("accumulator.table_files.build_table", unexpected)
    again = load_or_build_table(parameters, folder, 5)
    assert again.power(7**300) == first.power(7**300)


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[:100] + b"x" + raw[101:]]
)
def test_a_damaged_file_is_replaced(parameters, tmp_path, spoil):
    load_or_build_table(parameters, tmp_path, 5)
    path = table_path(parameters, tmp_path, 5, 32 << 20)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    table = load_or_build_table(parameters, tmp_path, 5)
    assert table.power(3**99) == parameters.group.power(parameters.generator, 3**99)
    assert path.read_bytes() == whole


def test_chains_and_layouts_have_files_of_their_own(parameters, other_chain, tmp_path):
    load_or_build_table(parameters, tmp_path, 5)
    load_or_build_table(other_chain, tmp_path, 5)
    load_or_build_table(parameters, tmp_path, 6)
    assert len(list(tmp_path.iterdir())) == 3


def test_nothing_half_written_stays(parameters, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError("no space left")

    monkeypatch.setattr("accumulator.table_files.Path.replace", full)
    with pytest.raises(OSError, match="no space"):
        load_or_build_table(parameters, tmp_path, 5)
    assert list(tmp_path.iterdir()) == []
