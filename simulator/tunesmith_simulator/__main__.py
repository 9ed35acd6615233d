"""``python -m tunesmith_simulator`` is the command ``tunesmith-simulator``."""

from tunesmith_simulator.cli import main

main()
