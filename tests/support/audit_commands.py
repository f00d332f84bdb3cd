"""The audit's commands, called as by a user."""

from audited import opener_of
from typer.testing import CliRunner

from audit.cli import make_apps, make_recompute_app


class Commands:
    """Both applications over one system."""

    def __init__(self, system):
        self.audit, self.bundle = make_apps(opener_of(system))
        self.recompute = make_recompute_app(opener_of(system))

    def run(self, app, *arguments):
        """Exit code and what was printed."""
        result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=True)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output
