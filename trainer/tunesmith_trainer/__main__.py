"""`python -m tunesmith_trainer`: what torchrun starts."""

from tunesmith_trainer.cli import command

command()
