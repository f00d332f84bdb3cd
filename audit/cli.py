"""The commands ``audit …``, ``bundle export …`` and ``recompute``.

``audit bundle`` needs two files and nothing else, and starts in a fraction of a second: everything that
touches ledgers, stores or replayers is imported when a command needs it. The composition root hands in an
``Opener``; this room knows no deployment.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from audit.absent import add_absence
from audit.errors import Check, ExitCode, Unusable
from audit.exports import add_exports
from audit.options import (
    AgeOption,
    ContentsOption,
    DeploymentOption,
    FullOption,
    HolderOption,
    JsonOption,
    StateOption,
    TrustFile,
    TrustOption,
)
from audit.ports import AuditedSystem, Opener
from audit.report import Outcome, spot_checked, verified
from audit.running import (
    check_and_remember,
    finish,
    judge,
    profile_of,
    read_file,
    read_hex,
    root_hint,
    trust_of,
    with_system,
)
from audit.state import load_state, remember
from audit.verifier import read_bundle, read_trust

__all__ = ["make_apps", "make_recompute_app"]

_EXITS: Final = (
    "Exit codes: 0 verified, 1 invalid, 2 usage, 3 missing, pending or unverifiable, 4 untrusted key,"
    " 5 inconclusive."
)


def make_apps(opener: Opener) -> tuple[typer.Typer, typer.Typer]:
    """The typer applications ``audit`` and ``bundle``.

    Args:
        opener: opens the deployment's chains and stores for the commands that need them.
    """
    audit = _app(f"Verify records, models, rounds, anchors and bundles. {_EXITS}")
    _add_bundle(audit)
    _add_subjects(audit, opener)
    _add_anchors(audit, opener)
    add_absence(audit, opener)
    _add_chain(audit)
    _add_recompute(audit, opener)
    bundle = _app("Self-contained proof bundles.")
    export = _app("Write a proof bundle to a file.")
    add_exports(export, opener)
    bundle.add_typer(export, name="export")
    return audit, bundle


def make_recompute_app(opener: Opener) -> typer.Typer:
    """``recompute`` alone, for a command of its own."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    _add_recompute(app, opener)
    return app


def _app(text: str) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=text)


# ---------------------------------------------------------------------- commands


def _add_bundle(app: typer.Typer) -> None:
    @app.command()
    def bundle(
        file: Annotated[Path, typer.Argument(help="The bundle.")],
        trust: TrustFile,
        state: StateOption = None,
        max_age: AgeOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Verify a proof bundle offline: this file and the trust root, nothing else."""

        def work() -> Outcome:
            root = read_trust(read_file(trust, "trust root"))
            result = check_and_remember(read_bundle(read_file(file, "bundle")), root, state, max_age)
            return verified(result)

        finish(work, as_json)


def _add_subjects(app: typer.Typer, opener: Opener) -> None:
    @app.command()
    def record(
        chain: Annotated[str, typer.Argument(help="The edge that recorded it.")],
        record_id: Annotated[str, typer.Argument(metavar="RECORD", help="Record id, 64 hex digits.")],
        holder: HolderOption = None,
        full: FullOption = False,
        trust: TrustOption = None,
        state: StateOption = None,
        max_age: AgeOption = None,
        as_json: JsonOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """Prove one record from the chains, and compare the store's bytes with what the device signed."""

        def work(system: AuditedSystem) -> Outcome:
            identifier = read_hex(record_id, "record id")
            made = system.prover.record_bundle(chain, identifier, holder, profile_of(full))
            return judge(system, made, trust, state, max_age, contents=True)

        finish(lambda: with_system(opener, deployment, work), as_json)

    @app.command()
    def model(
        run: Annotated[str, typer.Argument(help="The run.")],
        version: Annotated[int, typer.Argument(min=1, help="The model version.")],
        contents: ContentsOption = False,
        holder: HolderOption = None,
        full: FullOption = False,
        trust: TrustOption = None,
        state: StateOption = None,
        max_age: AgeOption = None,
        as_json: JsonOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """Prove a model version's whole lineage: every round, step, vote, data set and record."""

        def work(system: AuditedSystem) -> Outcome:
            made = system.prover.model_bundle(run, version, holder=holder, profile=profile_of(full))
            return judge(system, made, trust, state, max_age, contents=contents)

        finish(lambda: with_system(opener, deployment, work), as_json)

    @app.command("round")
    def round_(
        run: Annotated[str, typer.Argument(help="The run.")],
        number: Annotated[int, typer.Argument(min=1, help="The round.")],
        contents: ContentsOption = False,
        holder: HolderOption = None,
        full: FullOption = False,
        trust: TrustOption = None,
        state: StateOption = None,
        max_age: AgeOption = None,
        as_json: JsonOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """Prove one round: its steps, their votes and data, its aggregate, and what they start from."""

        def work(system: AuditedSystem) -> Outcome:
            made = system.prover.round_bundle(run, number, holder=holder, profile=profile_of(full))
            return judge(system, made, trust, state, max_age, contents=contents)

        finish(lambda: with_system(opener, deployment, work), as_json)


def _add_anchors(app: typer.Typer, opener: Opener) -> None:
    @app.command()
    def anchors(
        trust: TrustOption = None,
        state: StateOption = None,
        as_json: JsonOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """Compare what every chain says about itself with what the others accepted of it."""

        def work(system: AuditedSystem) -> Outcome:
            from audit.live import audit_anchors

            root = trust_of(system, trust)
            report, statements = audit_anchors(system, root)
            if state is not None:
                before = load_state(state).under(root)
                for chain, heads in report.heads.items():
                    before.check_head(chain, heads.get(chain, 0))
                remember(state, root, statements)
            line = f"{report.statements} statements agree at {report.sightings} places{root_hint(trust)}"
            fields = {
                "statements": report.statements,
                "sightings": report.sightings,
                "heads": report.heads,
            }
            return Outcome(ExitCode.VERIFIED, line, fields)

        finish(lambda: with_system(opener, deployment, work), as_json)


def _add_chain(app: typer.Typer) -> None:
    @app.command()
    def chain(
        blocks: Annotated[
            list[Path],
            typer.Option(
                "--blocks",
                metavar="PATH",
                help="Copy of a chain: a peer's folder of block files, or an embedded ledger's file."
                " Give it once for each chain; they are compared with one another.",
            ),
        ],
        trust: TrustFile,
        anchors: Annotated[
            list[Path] | None,
            typer.Option(
                "--anchors",
                metavar="FILE",
                help="Bundle or audit state whose anchors the copies must agree with; as often as wanted.",
            ),
        ] = None,
        state: StateOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Verify a whole chain offline from a copy of its blocks; names the first block that does not hold.

        Links, data, orderers' signatures under the configurations that it carries, endorsements, and its own
        anchors, computed from the blocks, against what other chains and the given files hold.
        """

        def work() -> Outcome:
            from audit.copies import audit_copies
            from audit.live import translated

            with translated():
                root = read_trust(read_file(trust, "trust root"))
                return audit_copies(blocks, root, anchors or (), state)

        finish(work, as_json)


def _add_recompute(app: typer.Typer, opener: Opener) -> None:
    @app.command()
    def recompute(
        run: Annotated[str, typer.Argument(help="The run.")],
        sample: Annotated[int, typer.Option("--sample", min=1, help="Steps to recompute.")] = 3,
        false_steps: Annotated[
            int, typer.Option("--false-steps", min=1, help="State the odds against so many false steps.")
        ] = 1,
        nonce: Annotated[
            str, typer.Option("--nonce", help="Public draw: the auditor's nonce, 64 hex digits.")
        ] = "",
        commitment: Annotated[
            str, typer.Option("--commitment", help="Public draw: what was published of the nonce.")
        ] = "",
        block: Annotated[
            int | None, typer.Option("--block", min=0, help="Public draw: the main block named beforehand.")
        ] = None,
        trust: Annotated[
            Path | None,
            typer.Option(
                "--trust",
                help="Trust root: draw from the newest version's lineage, proved under it."
                " Without it the deployment is believed which steps there are.",
            ),
        ] = None,
        as_json: JsonOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """Spot check: recompute randomly drawn training steps from store and ledger alone.

        The draw comes from this machine's own randomness, or from a committed nonce and a block of main that
        was named before it existed, so that anybody can repeat it.
        """

        def work(system: AuditedSystem) -> Outcome:
            import secrets

            from audit.live import translated
            from audit.recomputing import recompute as run_check
            from audit.spotcheck import Randomness, public_source
            from protocol.blocks import header_hash

            def source() -> Randomness:
                if not nonce and not commitment and block is None:
                    return secrets.token_bytes
                if not nonce or not commitment or block is None:
                    raise Unusable(Check.USAGE, "a public draw needs --nonce, --commitment and --block")
                with translated():
                    header = system.ledgers[system.trust.main].block(block).header
                opened, published = read_hex(nonce, "nonce"), read_hex(commitment, "commitment")
                return public_source(opened, published, header_hash(header), run)

            def progress(line: str) -> None:
                if sys.stderr.isatty():
                    typer.echo(f"recomputing {line}", err=True)

            root = None if trust is None else trust_of(system, trust)
            check = run_check(system, run, sample, source, progress, root)
            return spot_checked(check, false_steps, proven=root is not None)

        finish(lambda: with_system(opener, deployment, work), as_json)
