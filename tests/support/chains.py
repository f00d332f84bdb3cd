"""Embedded chains for tests: organisations, signers and an open ledger in one call.

::

    chain = make_chain(tmp_path, "edge-a")                      # the product's contracts
    chain = make_chain(tmp_path, "main", invoke=my_contract)    # a test's own
    chain.ledger.submit(message)                                # as a client of the first organisation
    chain.acting_as("Org2MSP", Role.ADMIN).submit(message)      # as anybody else

Organisations given to several calls with one ``tmp_path`` are the same organisations on every chain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fabric_protos.common import common_pb2

from identity.authority import DevelopmentAuthority
from identity.roles import Role
from identity.signers import Signer
from ledger.embedded import EmbeddedLedger, Invoke, build_genesis

ORGANISATIONS = ("Org1MSP", "Org2MSP")
ORDERER_ORGANISATION = "OrdererMSP"


@dataclass
class TestChain:
    """A chain and everybody who may act on it."""

    __test__ = False  # pytest must not collect it

    path: Path
    genesis: common_pb2.Block
    authorities: dict[str, DevelopmentAuthority]
    """By MSP id, the orderers' included."""
    organisations: tuple[str, ...]
    endorsers: tuple[Signer, ...]
    """One peer an organisation."""
    orderer: Signer
    invoke: Invoke | None
    ledger: EmbeddedLedger
    """Opened for a client of the first organisation."""
    _signers: dict[tuple[str, Role, str], Signer] = field(default_factory=dict)

    def signer(self, msp_id: str, role: Role, name: str = "") -> Signer:
        """An identity of an organisation; the same one for the same arguments."""
        key = (msp_id, role, name)
        if key not in self._signers:
            now = datetime.now(UTC) - timedelta(minutes=5)
            self._signers[key] = self.authorities[msp_id].issue(
                name or f"{role.value}.{msp_id}", role, now=now
            )
        return self._signers[key]

    def acting_as(self, msp_id: str, role: Role, name: str = "") -> EmbeddedLedger:
        """The open ledger for another submitter."""
        return self.ledger.acting_as(self.signer(msp_id, role, name))

    def open(self, submitter: Signer | None = None, **options: object) -> EmbeddedLedger:
        """A ledger of its own on the same file, as another process would open it; close it."""
        arguments: dict[str, object] = {
            "submitter": submitter or self.signer(self.organisations[0], Role.CLIENT),
            "endorsers": self.endorsers,
            "orderer": self.orderer,
            "invoke": self.invoke,
        }
        return EmbeddedLedger(self.path, **{**arguments, **options})  # type: ignore[arg-type]

    def save(self, folder: Path) -> Path:
        """Write what another process needs to open the chain, for ``open_saved``."""
        for number, endorser in enumerate(self.endorsers):
            endorser.save(folder / f"endorser{number}")
        self.orderer.save(folder / "orderer")
        self.signer(self.organisations[0], Role.CLIENT).save(folder / "submitter")
        (folder / "path").write_text(str(self.path.absolute()))
        return folder

    def close(self) -> None:
        self.ledger.close()


def open_saved(folder: Path, invoke: Invoke | None = None) -> EmbeddedLedger:
    """Open a chain that ``TestChain.save`` described, in any process."""
    return EmbeddedLedger(
        Path((folder / "path").read_text()),
        submitter=Signer.load(folder / "submitter"),
        endorsers=[Signer.load(home) for home in sorted(folder.glob("endorser*"))],
        orderer=Signer.load(folder / "orderer"),
        invoke=invoke,
    )


def authorities_in(folder: Path, msp_ids: Sequence[str]) -> dict[str, DevelopmentAuthority]:
    """The organisations' authorities below ``folder``, made where they are missing."""
    now = datetime.now(UTC) - timedelta(minutes=10)
    found = {}
    for msp_id in msp_ids:
        home = folder / "authorities" / msp_id
        exists = (home / "cert.pem").exists()
        found[msp_id] = (
            DevelopmentAuthority.load(home) if exists else DevelopmentAuthority.create(msp_id, home, now=now)
        )
    return found


def make_chain(
    tmp_path: Path,
    chain: str = "main",
    organisations: Sequence[str] = ORGANISATIONS,
    invoke: Invoke | None = None,
    *,
    endorsements: int = 2,
    clock: Callable[[], float] = time.time,
) -> TestChain:
    """A fresh chain below ``tmp_path`` with its ledger open.

    Args:
        tmp_path: the test's folder.
        chain: the chain's id.
        organisations: MSP ids of the endorsing organisations.
        invoke: runs the contracts; the product's where not given.
        endorsements: distinct organisations that must endorse.
        clock: the peers' clock.
    """
    authorities = authorities_in(tmp_path, (*organisations, ORDERER_ORGANISATION))
    now = datetime.now(UTC) - timedelta(minutes=5)
    endorsers = tuple(authorities[name].issue(f"peer0.{name}", Role.PEER, now=now) for name in organisations)
    orderer = authorities[ORDERER_ORGANISATION].issue("orderer0", Role.ORDERER, now=now)
    genesis = build_genesis(
        chain,
        [authorities[name].fabric_msp_config() for name in organisations],
        [authorities[ORDERER_ORGANISATION].fabric_msp_config()],
        now=now,
        endorsements=endorsements,
    )
    path = tmp_path / f"{chain}.sqlite"
    EmbeddedLedger.create(path, genesis)
    submitter = authorities[organisations[0]].issue(f"client.{organisations[0]}", Role.CLIENT, now=now)
    ledger = EmbeddedLedger(
        path, submitter=submitter, endorsers=endorsers, orderer=orderer, invoke=invoke, clock=clock
    )
    made = TestChain(path, genesis, authorities, tuple(organisations), endorsers, orderer, invoke, ledger)
    made._signers[organisations[0], Role.CLIENT, ""] = submitter
    return made
