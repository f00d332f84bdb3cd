"""Reading the caller's files."""

from pathlib import Path

import pytest

from audit import running
from audit.errors import Check, Unusable
from audit.running import read_file


def test_what_is_too_large_is_refused_whether_or_not_it_tells_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_MAX_FILE", 1000)
    file = tmp_path / "bundle.json"
    file.write_bytes(b"x" * 1000)
    assert len(read_file(file, "bundle")) == 1000
    file.write_bytes(b"x" * 1001)
    for path in (file, Path("/dev/zero")):
        with pytest.raises(Unusable) as refusal:
            read_file(path, "bundle")
        assert refusal.value.check is Check.USAGE
