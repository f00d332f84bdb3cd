from __future__ import annotations

from pathlib import Path

from network.logs import follow_logs, log_files, tail


def test_the_ends_of_the_chosen_logs(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("a.peer.x", "a.orderer.y"):
        (logs / f"{name}.log").write_text("".join(f"{name} {n}\n" for n in range(20_000)))
    (logs / "a.peer.x.log.1").write_text("old\n")
    others = tmp_path / "others"
    assert [file.stem for file in log_files([others, logs], [])] == ["a.orderer.y", "a.peer.x"]
    others.mkdir()
    (others / "a.gateway.log").touch()
    assert [file.stem for file in log_files([logs, others], [])] == ["a.gateway", "a.orderer.y", "a.peer.x"]
    (file,) = log_files([logs, others], ["peer"])
    assert tail(file, 2) == ["a.peer.x 19998", "a.peer.x 19999"]
    assert len(tail(file, 10_000)) == 10_000
    assert len(tail(file, 10**6)) == 20_000
    assert tail(file, 0) == []


def test_what_is_written_is_followed_through_a_turn(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("before\n")
    lines = follow_logs([log])

    def write(text: str) -> None:
        with log.open("a") as file:
            file.write(text)

    # The generator notes where the logs end when it is first asked, so it is asked with something to find.
    import threading

    timer = threading.Timer(0.2, write, ["first\nhal"])
    timer.start()
    assert next(lines) == ("one", "first")
    timer.join()
    write("f\n")
    assert next(lines) == ("one", "half")
    log.write_text("new\n")
    assert next(lines) == ("one", "new")
