"""Where everything of a network lies below its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from identity.tls import TlsIdentity
from network.errors import NetworkError

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Paths below one network's folder::

    topology.yaml                   the topology that was brought up
    identities/<msp>/authority      the organisation's authority     (absent where it brings its own)
    identities/<msp>/tls-authority  its authority for TLS            (likewise)
    identities/<msp>/msp            its public description
    identities/<msp>/<role>         cert.pem and key.pem of one identity
    nodes/<node>                    one process: msp/, tls/, configuration, data/
    channels/<chain>                configtx.yaml and genesis.block
    packages, builder               chaincode packages, the peers' external builder
    run, logs                       process records; one log a process
    """

    root: Path
    """Absolute."""

    @classmethod
    def of(cls, root: Path) -> Layout:
        """The layout of a folder, whose path is made absolute."""
        return cls(root.absolute())

    @property
    def topology(self) -> Path:
        """The topology that was brought up."""
        return self.root / "topology.yaml"

    def check_vacant(self) -> None:
        """Make sure that the folder holds a network, or may become one's.

        Raises:
            NetworkError: it holds a deployment on another ledger, finished or half-made.
        """
        others = (self.root / "deployment.json", self.root / "chains")
        if not self.topology.exists() and any(path.exists() for path in others):
            raise NetworkError(
                f"{self.root} already holds a deployment on the embedded ledger; use another folder (--root)"
            )

    def organisation(self, msp_id: str) -> Path:
        """Everything of one organisation."""
        return self.root / "identities" / msp_id

    def authority(self, msp_id: str) -> Path:
        """The folder of its authority."""
        return self.organisation(msp_id) / "authority"

    def tls_authority(self, msp_id: str) -> Path:
        """The folder of its authority for TLS."""
        return self.organisation(msp_id) / "tls-authority"

    def msp(self, msp_id: str) -> Path:
        """Its MSP without any key."""
        return self.organisation(msp_id) / "msp"

    def revoking(self, msp_id: str) -> Path:
        """Names of the organisation's identities whose revocation is not finished, one a line."""
        return self.organisation(msp_id) / "revoking"

    def tls_roots(self, msp_id: str) -> Path:
        """PEM of the authorities that its TLS endpoints are certified by."""
        return self.organisation(msp_id) / "tls-roots.pem"

    def client_tls_folder(self, msp_id: str) -> Path:
        """The folder of the certificate that its clients show where TLS asks for one."""
        return self.organisation(msp_id) / "client-tls"

    def guest_tls_folder(self, msp_id: str, host: str) -> Path:
        """The folder of the certificate that another host's clients show to the organisation's peer."""
        return self.organisation(msp_id) / f"client-tls.{host}"

    def client_tls(self, msp_id: str) -> TlsIdentity:
        """What this folder's clients show there: the organisation's own certificate with its key, or on
        another host the one that was issued for that host.

        Raises:
            KeyStoreError: it is not there.
        """
        own = self.client_tls_folder(msp_id)
        guests = sorted(self.organisation(msp_id).glob(f"{own.name}.*"))
        return TlsIdentity.load(guests[0] if guests and not own.exists() else own)

    def identity(self, msp_id: str, role: str) -> Path:
        """The folder of one identity."""
        return self.organisation(msp_id) / role

    def node(self, name: str) -> Path:
        """The folder of one process."""
        return self.root / "nodes" / name

    def next_folder(self, name: str) -> Path:
        """Where an orderer's new ``tls`` and ``identity`` wait until its channel knows them."""
        return self.node(name) / "next"

    def channel(self, chain: str) -> Path:
        """What a channel was made from."""
        return self.root / "channels" / chain

    def genesis(self, chain: str) -> Path:
        """A channel's block 0."""
        return self.channel(chain) / "genesis.block"

    @property
    def packages(self) -> Path:
        """Chaincode packages."""
        return self.root / "packages"

    def package(self, label: str) -> Path:
        """One chaincode package."""
        return self.packages / f"{label}.tar.gz"

    def released(self, peer: str, package_id: str) -> Path:
        """What the external builder released for a package that a peer has installed."""
        # Fabric's own name for it: the characters of a package id that a file system may refuse are replaced.
        build = package_id.replace(":", "-")
        return self.node(peer) / "data" / "externalbuilder" / "builds" / build / "release"

    @property
    def builder(self) -> Path:
        """The peers' external builder."""
        return self.root / "builder"

    @property
    def run(self) -> Path:
        """Records, control and locks of what runs."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    def log(self, node: str) -> Path:
        """The log of one process."""
        return self.logs / f"{node}.log"
