"""The subcommands of /cre, one file each."""
