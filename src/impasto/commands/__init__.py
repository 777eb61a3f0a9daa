"""The subcommands that have rooms of their own."""
