"""`python -m fedbus` is the `fedbus` command."""

from fedbus.cli.main import main

main()
