"""Run annul as `python -m annul`."""

from annul.cli import main

main()
