"""systemd units of a network's processes: one unit a process, one target for all of them.

Each process sees of the network's folder what is its own, may write to its data alone, gains no privilege and
has none. Keys and sections: systemd.service(5), systemd.exec(5), systemd.unit(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from network.child import ProcessSpec
from network.files import write_text
from network.rendering import Service

__all__ = ["unit_name", "write_units"]

_TARGET = """\
[Unit]
Description=Edgeproof network {name}
Wants={units}

[Install]
WantedBy=multi-user.target
"""

_UNIT = """\
[Unit]
Description=Edgeproof {kind} {process}
PartOf={target}
After=network-online.target time-sync.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
ExecStart={command}
{environment}Restart=always
RestartSec=1
TimeoutStopSec=15
KillMode=mixed
UMask=0077
LimitNOFILE=65536
StandardOutput=journal
StandardError=journal

# Of the network's folder only what is this process's own is there.
TemporaryFileSystem={root}:ro
{binds}ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
{memory}RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy={target}
"""


def write_units(name: str, root: Path, services: Sequence[Service], folder: Path, *, user: str) -> list[Path]:
    """Write the units into ``folder``.

    Args:
        name: the network's name.
        root: the network's folder.
        services: what to run.
        folder: where the unit files go; to be copied to ``/etc/systemd/system``.
        user: whom the processes run as; must own the network's folder.

    Returns:
        The files; the target is the first.

    Raises:
        NetworkError: the disk refuses.
    """
    target = f"edgeproof-{name}.target"
    units = [unit_name(service.spec) for service in services]
    files = {target: _TARGET.format(name=name, units=" ".join(units))}
    for unit, service in zip(units, services, strict=True):
        files[unit] = _UNIT.format(
            kind=service.kind,
            process=service.spec.name,
            target=target,
            user=user,
            command=" ".join(_word(word) for word in service.spec.command),
            environment="".join(
                f"Environment={_quoted(f'{key}={value}')}\n"
                for key, value in service.spec.environment.items()
            ),
            root=_path(root.absolute()),
            binds="".join(f"BindReadOnlyPaths={_path(path)}\n" for path in service.readable)
            + "".join(f"BindPaths={_path(path)}\n" for path in service.writable),
            # Programs, or the network itself, may lie in somebody's home.
            home="read-only",
            # The foreign function interface below Python's packages makes executable memory.
            memory="" if service.kind == "chaincode" else "MemoryDenyWriteExecute=yes\n",
        )
    for file, text in files.items():
        write_text(folder / file, text)
    return [folder / file for file in files]


def unit_name(spec: ProcessSpec) -> str:
    """The unit of a process."""
    return f"edgeproof-{spec.name}.service"


def _word(word: str) -> str:
    """One word of a command line: nothing in it is expanded."""
    return _quoted(word.replace("$", "$$"))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"'


def _path(path: Path) -> str:
    # These settings split at colons and blanks; both can be escaped, specifiers by doubling.
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(" ", "\\x20").replace("%", "%%")
