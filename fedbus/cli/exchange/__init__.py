"""Policy in and out of files: `policy import`, `policy export`, and directories in `policy apply`."""
