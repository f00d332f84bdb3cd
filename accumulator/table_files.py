"""Tables kept in a cache folder that the caller names: the one module of this room that touches a disk.

Deleting the folder loses nothing but time. Whoever may write to it may make proofs fail, by a table that was
made to pass the sampled check; keep it as private as the keys beside it.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from accumulator.errors import InvalidTable
from accumulator.parameters import Parameters
from accumulator.tables import DEFAULT_MEMORY, FixedBaseTable, build_table, plan_layout

__all__ = ["load_or_build_table", "table_path"]


def table_path(parameters: Parameters, folder: Path, elements: int, memory: int) -> Path:
    """The file of the table for these parameters and this layout."""
    layout = plan_layout(parameters.value_bytes, elements, memory)
    return folder / f"table-{parameters.digest.hex()}-{layout.dense}-{layout.wide}-{layout.lanes}.bin"


def load_or_build_table(
    parameters: Parameters, folder: Path, elements: int = 1024, *, memory: int = DEFAULT_MEMORY
) -> FixedBaseTable:
    """The generator's table from the folder; built and kept there when absent or unusable.

    Args:
        parameters: the chain's.
        folder: made when absent.
        elements: as `build_table`.
        memory: as `build_table`.

    Raises:
        OSError: the folder cannot be read or written.
        ValueError: as `build_table`.
    """
    path = table_path(parameters, folder, elements, memory)
    layout = plan_layout(parameters.value_bytes, elements, memory)
    with contextlib.suppress(FileNotFoundError, InvalidTable):
        return FixedBaseTable.decode(parameters, layout, path.read_bytes())
    table = build_table(parameters, elements, memory=memory)
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside and moved: a reader sees a whole file or none, whoever else is building it.
    handle, name = tempfile.mkstemp(dir=folder, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(table.encode())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return table
