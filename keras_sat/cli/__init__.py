"""What the commands share: arguments, experiments by name, the table of subcommands."""
