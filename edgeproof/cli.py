"""The ``edgeproof`` command. Subcommands are imported when called, so that an audit starts at once."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["app", "main"]

# name: (module below edgeproof.commands, attribute, one line for the list of commands)
_COMMANDS = {
    "audit": ("audit", "audit_app", "Verify records, models, rounds, anchors and bundles."),
    "bundle": ("audit", "bundle_app", "Export self-contained proof bundles."),
    "recompute": ("audit", "recompute_app", "Spot check: recompute randomly drawn training steps."),
    "trust": ("trust", "app", "Export a deployment's trust root."),
    "device": ("device", "app", "Make device keys, enrol devices, submit readings."),
    "init": ("init", "app", "Make a deployment: identities, ledgers, stores."),
    "ceremony": ("ceremony", "app", "Make a modulus together whose factors nobody knows."),
    "run": ("run", "app", "Start every process of a deployment and keep it running."),
    "network": ("network", "app", "Bring real Hyperledger Fabric networks up and down."),
    "check": ("check", "app", "Look for damage to a deployment's chains and stores."),
    "serve": ("serve", "app", "Run one process: gateway, signer, relay, peer or aggregator."),
    "train": ("train", "app", "Create a training run, or follow one."),
    "demo": ("demo", "app", "Run the whole system on real data, attack it, write a report."),
}

# Their errors are typed and say what is wrong; anything else is a fault of ours and keeps its traceback.
_ROOMS = frozenset({"edgeproof", "gateway", "identity", "ledger", "network", "protocol", "store", "training"})


class _LazyGroup(TyperGroup):
    """A group whose commands are modules that nobody has imported yet."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command as the list shows it; to show the list nothing is imported."""
        if cmd_name not in _COMMANDS:
            return None
        return TyperCommand(cmd_name, help=_COMMANDS[cmd_name][2])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, with its module."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _COMMANDS:
            module, attribute, _ = _COMMANDS[name]
            loaded = importlib.import_module(f"edgeproof.commands.{module}")
            command = typer.main.get_command(getattr(loaded, attribute))
            command.name = name
        return name, command, rest


app = typer.Typer(
    name="edgeproof",
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="End-to-end protection for IoT data and the models trained on it at the edge.",
)


@app.callback()
def _root(
    log_level: str = typer.Option("", "--log-level", help="DEBUG, INFO, WARNING or ERROR (default WARNING)."),
) -> None:
    from edgeproof.settings import Settings

    level = log_level.upper() or Settings.from_environment().log_level or "WARNING"
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise typer.BadParameter("DEBUG, INFO, WARNING or ERROR", param_hint="--log-level")
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def main() -> None:
    """Run the command; an expected fault ends with one line and exit code 1, never a traceback.

    A file that cannot be used is expected too; ``--log-level DEBUG`` shows where it was met.
    """
    try:
        app(prog_name="edgeproof")
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        # Told by where the class stands: importing every room's errors would slow down each start.
        if type(error).__module__.partition(".")[0] not in _ROOMS:
            if not isinstance(error, OSError) or error.filename is None:
                raise
            # A file or folder that somebody named, or a disk: its name and the system's own words say all.
            logging.getLogger(__name__).debug("%s", error, exc_info=True)
            print(f"edgeproof: {error.filename}: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        print(f"edgeproof: {error}", file=sys.stderr)
        sys.exit(1)
