"""A deployment: which chains and organisations there are, and where their parts lie.

Everything is below one folder::

    deployment.json                 the plan, written last: a folder without it is half-made
    identities/<msp_id>/authority   the organisation's certificate authority
    identities/<msp_id>/owner.pem   the key that authorises the owner's devices
    identities/<msp_id>/<role>      cert.pem and key.pem of one identity
    chains/<chain>.sqlite           the ledger, where it is the embedded one
    stores/<chain>                  the edge's (or the cloud's) content-addressed store
    state/…                         caches and journals of the processes
    modulus.json                    a ceremony's modulus; without it all chains use the RSA-2048 challenge

The embedded ledger holds every organisation's endorsing key in one place. It is the convenient default for
demonstrations, tests and development; separate trust needs separate machines, which real Fabric gives. There
the folder is that of a network (``network.Network``), which has the identities under the same names and files
of its own; the clients use neither a peer's nor an orderer's key.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from accumulator import RSA_2048, Modulus
from accumulator.parameters import CHALLENGE
from edgeproof.errors import DeploymentError
from identity import DevelopmentAuthority, KeyPair, Role, Signer
from identity.certificates import read_pem, spki_of_certificate
from identity.files import read_file
from network.identities import MEMBER_ROLES
from protocol.encodings import decode, encode
from protocol.errors import EncodingError

if TYPE_CHECKING:
    from network.topology import ChainSpec, Topology

__all__ = ["Backend", "ChainPlan", "Deployment", "Plan"]

_SCHEMA = "edgeproof/deployment/v1"
_PLAN_FILE = "deployment.json"
_MODULUS_FILE = "modulus.json"
_CHAINS = "chains"
_OWNER_FILE = "owner.pem"
_OWNER_ALGORITHM = "ecdsa-p256-sha256"
_SAFE_BITS = 2048
_ROLES = (*MEMBER_ROLES, Role.PEER)


class Backend(StrEnum):
    """What keeps the chains of a deployment."""

    EMBEDDED = "embedded"
    FABRIC = "fabric"


@dataclass(frozen=True)
class ChainPlan:
    """One chain and the organisations that stand behind it."""

    chain: str
    organisations: tuple[str, ...]
    """MSP ids; the first one operates the site (its gateway and relay)."""

    @property
    def operator(self) -> str:
        """MSP id of the organisation that operates the site."""
        return self.organisations[0]


@dataclass(frozen=True)
class Plan:
    """Every chain of a deployment."""

    schema: str
    ledger: Backend
    main: ChainPlan
    edges: tuple[ChainPlan, ...]

    @classmethod
    def standard(cls, edges: int) -> Plan:
        """On the embedded ledger: main with two organisations, ``edges`` edges (1 to 26) with three each.

        Raises:
            DeploymentError: another number of edges.
        """
        if not 1 <= edges <= 26:
            raise DeploymentError(f"1 to 26 edges, not {edges}")
        names = [f"edge-{chr(ord('a') + number)}" for number in range(edges)]
        return cls(
            schema=_SCHEMA,
            ledger=Backend.EMBEDDED,
            main=ChainPlan("main", ("cloud-operator", "cloud-auditor")),
            edges=tuple(
                ChainPlan(name, (f"{name}-operator", f"{name}-owner", f"{name}-insurer")) for name in names
            ),
        )

    @classmethod
    def of_network(cls, topology: Topology) -> Plan:
        """The chains of a Fabric network."""

        def chain(spec: ChainSpec) -> ChainPlan:
            return ChainPlan(spec.chain, tuple(spec.organisations))

        return cls(
            schema=_SCHEMA,
            ledger=Backend.FABRIC,
            main=chain(topology.main),
            edges=tuple(chain(edge) for edge in topology.edges),
        )

    @property
    def chains(self) -> tuple[ChainPlan, ...]:
        """Main first, then the edges."""
        return (self.main, *self.edges)

    def chain(self, name: str) -> ChainPlan:
        """One chain's plan.

        Raises:
            DeploymentError: there is no such chain.
        """
        for plan in self.chains:
            if plan.chain == name:
                return plan
        known = ", ".join(plan.chain for plan in self.chains)
        raise DeploymentError(f"there is no chain {name!r} here; there are {known}")


class Deployment:
    """An existing deployment folder.

    Attributes:
        root: the folder.
        plan: its chains and organisations.
    """

    def __init__(self, root: Path) -> None:
        """Open the deployment in ``root``.

        Raises:
            DeploymentError: nothing there, or not readable.
        """
        self.root = root
        try:
            self.plan = decode(Plan, (root / _PLAN_FILE).read_bytes())
        except FileNotFoundError as error:
            raise DeploymentError(
                f"{root} holds no deployment; `edgeproof init --deployment {root}` makes one, "
                "`edgeproof network up` one on Fabric"
            ) from error
        except (OSError, EncodingError) as error:
            raise DeploymentError(f"{root / _PLAN_FILE} cannot be read: {error}") from error

    @classmethod
    def exists(cls, root: Path) -> bool:
        """Whether ``root`` holds a finished deployment."""
        return (root / _PLAN_FILE).is_file()

    @classmethod
    def prepare(cls, root: Path, plan: Plan, now: datetime | None = None) -> Deployment:
        """Make folders and identities; the ledgers' genesis is made by ``edgeproof.setup``.

        A half-made folder (no plan file) is cleared first; a finished one is refused.

        Raises:
            DeploymentError: ``root`` holds a deployment or a network, or files that are not ours.
        """
        if cls.exists(root):
            raise DeploymentError(f"{root} already holds a deployment")
        if (root / "topology.yaml").exists():
            raise DeploymentError(f"{root} already holds a network")
        # The chains' folder is made first and goes last: without it, identities are somebody else's.
        if (root / _CHAINS).is_dir():
            (root / _MODULUS_FILE).unlink(missing_ok=True)
            for part in ("identities", "stores", "state", _CHAINS):
                shutil.rmtree(root / part, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise DeploymentError(f"{root} is not empty and holds no deployment")
        (root / _CHAINS).mkdir(mode=0o700)
        start = now or datetime.now(UTC)
        for chain in plan.chains:
            _make_orderer(root, chain.chain, start)
            for msp_id in chain.organisations:
                _make_organisation(root, msp_id, start)
        for part in ("stores", "state"):
            (root / part).mkdir(mode=0o700, exist_ok=True)
        return cls._unfinished(root, plan)

    @classmethod
    def adopt(cls, root: Path, plan: Plan) -> Deployment:
        """A deployment over a Fabric network's folder, whose identities are there already.

        What only edgeproof needs is added where it is missing: stores, state, and the owner keys of the
        organisations whose own keys are here. May be called again, also with a plan that has got another
        edge; ``finish`` writes the plan down.
        """
        for chain in plan.chains:
            for msp_id in chain.organisations:
                home = root / "identities" / msp_id
                if (home / Role.ADMIN.value / "key.pem").exists() and not (home / _OWNER_FILE).exists():
                    KeyPair.generate(_OWNER_ALGORITHM).save(home / _OWNER_FILE)
            (root / "stores" / chain.chain).mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / "state").mkdir(mode=0o700, exist_ok=True)
        return cls._unfinished(root, plan)

    @classmethod
    def _unfinished(cls, root: Path, plan: Plan) -> Deployment:
        deployment = cls.__new__(cls)
        deployment.root = root
        deployment.plan = plan
        return deployment

    def finish(self) -> None:
        """Write the plan file: from here on the deployment exists."""
        temporary = self.root / (_PLAN_FILE + ".new")
        temporary.write_bytes(encode(self.plan))
        temporary.replace(self.root / _PLAN_FILE)

    def keep_modulus(self, path: Path) -> None:
        """Use a ceremony's modulus for all chains; to be called before their set-up.

        Raises:
            CeremonyFailed: the file is no modulus that every party of its ceremony signed.
            DeploymentError: it is too short to be safe.
        """
        from edgeproof.ceremony.files import load_modulus

        file = load_modulus(path)
        if file.roster.bits < _SAFE_BITS:
            raise DeploymentError(f"{path}: {file.roster.bits} bits; chains need {_SAFE_BITS} or more")
        file.save(self.root / _MODULUS_FILE)

    @cached_property
    def modulus(self) -> Modulus:
        """What all chains accumulate with.

        Raises:
            CeremonyFailed: the deployment's modulus file does not hold.
        """
        path = self.root / _MODULUS_FILE
        if not path.exists():
            return Modulus(RSA_2048, CHALLENGE)
        from edgeproof.ceremony.files import load_modulus

        return load_modulus(path).check()

    def authority(self, msp_id: str) -> DevelopmentAuthority:
        """An organisation's certificate authority."""
        return DevelopmentAuthority.load(self.root / "identities" / msp_id / "authority")

    def signer(self, msp_id: str, role: Role) -> Signer:
        """An organisation's identity of one role."""
        return Signer.load(self.root / "identities" / msp_id / role.value, msp_id=msp_id)

    def public_key(self, msp_id: str, role: Role) -> bytes:
        """DER SubjectPublicKeyInfo of an identity whose private key may be on another host.

        Raises:
            IdentityError: there is no such certificate, or it cannot be used.
        """
        content = read_file(self.root / "identities" / msp_id / role.value / "cert.pem")
        return spki_of_certificate(read_pem(content))

    def has_key(self, msp_id: str, role: Role) -> bool:
        """Whether the private key of that identity is on this host."""
        return (self.root / "identities" / msp_id / role.value / "key.pem").exists()

    def owner_key(self, msp_id: str) -> KeyPair:
        """The key by which an organisation authorises its devices."""
        return KeyPair.load(self.root / "identities" / msp_id / _OWNER_FILE)

    def orderer_authority(self, chain: str) -> DevelopmentAuthority:
        """The certificate authority of a chain's ordering service, on the embedded ledger."""
        return DevelopmentAuthority.load(self.root / "identities" / f"{chain}-orderer" / "authority")

    def orderer(self, chain: str) -> Signer:
        """The identity that signs a chain's blocks, on the embedded ledger."""
        return Signer.load(self.root / "identities" / f"{chain}-orderer" / Role.ORDERER.value)

    def ledger_path(self, chain: str) -> Path:
        """The chain's ledger file, on the embedded ledger."""
        return self.root / _CHAINS / f"{chain}.sqlite"

    def store_path(self, chain: str) -> Path:
        """The content-addressed store of a chain's site."""
        return self.root / "stores" / chain

    def state_path(self, name: str) -> Path:
        """A process's own state file or folder."""
        return self.root / "state" / name

    def organisations(self) -> Iterator[tuple[ChainPlan, str]]:
        """Every (chain, MSP id)."""
        for chain in self.plan.chains:
            for msp_id in chain.organisations:
                yield chain, msp_id


def _make_organisation(root: Path, msp_id: str, now: datetime) -> None:
    folder = root / "identities" / msp_id
    authority = DevelopmentAuthority.create(msp_id, folder / "authority", now=now)
    for role in _ROLES:
        authority.issue(f"{role.value}.{msp_id}", role, now=now).save(folder / role.value)
    KeyPair.generate(_OWNER_ALGORITHM).save(folder / _OWNER_FILE)


def _make_orderer(root: Path, chain: str, now: datetime) -> None:
    name = f"{chain}-orderer"
    folder = root / "identities" / name
    authority = DevelopmentAuthority.create(name, folder / "authority", now=now)
    authority.issue(f"orderer.{chain}", Role.ORDERER, now=now).save(folder / Role.ORDERER.value)
