"""Network namespaces as hosts: each with one address, all joined by a switch whose links can be impaired."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).parent


class Hosts:
    """Hosts by name.

    Args:
        addresses: IPv4 address of each, in one /24.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._tag = f"ep{os.getpid()}"
        self._addresses = dict(addresses)
        self._switch: subprocess.Popen[str] | None = None

    def __enter__(self) -> Hosts:
        try:
            switch = self._namespace("switch")
            _ip("netns", "add", switch)
            for number, (name, address) in enumerate(self._addresses.items()):
                host = self._namespace(name)
                _ip("netns", "add", host)
                _ip("-n", host, "link", "set", "lo", "up")
                _ip(
                    "-n",
                    switch,
                    "link",
                    "add",
                    f"port{number}",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    host,
                )
                _ip("-n", switch, "link", "set", f"port{number}", "up")
                _ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", host, "link", "set", "eth0", "up")
            ports = [f"port{number}" for number in range(len(self._addresses))]
            self._switch = subprocess.Popen(
                self.inside("switch", [sys.executable, str(SUPPORT / "impaired_switch.py"), *ports]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._switch.stdout is not None
            assert self._switch.stdout.readline() == "ready\n"
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._switch is not None:
            assert self._switch.stdin is not None
            assert self._switch.stdout is not None
            self._switch.stdin.close()
            self._switch.wait(10)
            self._switch.stdout.close()
            self._switch = None
        for name in ("switch", *self._addresses):
            subprocess.run(["ip", "netns", "del", self._namespace(name)], capture_output=True)

    def inside(self, name: str, command: list[str]) -> list[str]:
        """A command line that runs in a host."""
        return ["ip", "netns", "exec", self._namespace(name), *command]

    def link(self, name: str, *, up: bool = True, delay_s: float = 0.0, loss: float = 0.0) -> None:
        """Set the link of one host: cut, or with a delay each way and a share of frames that are lost."""
        number = list(self._addresses).index(name)
        order = {"port": f"port{number}", "up": up, "delay_s": delay_s, "loss": loss}
        assert self._switch is not None
        assert self._switch.stdin is not None
        assert self._switch.stdout is not None
        self._switch.stdin.write(json.dumps(order) + "\n")
        self._switch.stdin.flush()
        assert self._switch.stdout.readline() == "done\n"

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"


class Agent:
    """Does single things on a host (``host_agent``)."""

    def __init__(self, hosts: Hosts, host: str, root: Path) -> None:
        command = hosts.inside(host, [sys.executable, str(SUPPORT / "host_agent.py"), str(root)])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str, chain: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, chain]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@contextlib.contextmanager
def hosts(addresses: Mapping[str, str]) -> Iterator[Hosts]:
    """Make hosts; skips the test, aloud, where this process may not make namespaces."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need iproute2's ip")
    attempt = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    if os.geteuid() != 0 or attempt.returncode != 0:
        pytest.skip("making network namespaces is not permitted here (needs root)")
    with Hosts(addresses) as made:
        yield made


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
