"""The subcommands of ``edgeproof``, one module each, imported only when called."""
