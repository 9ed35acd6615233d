"""`python -m tunesmith_devcluster`: the same as the command `tunesmith-devcluster`."""

from tunesmith_devcluster.cli import main

main()
