"""Runs the trainer's command in a child of a server that has torch loaded: real processes, started in no time."""

import os

import torch

from tunesmith_trainer.cli import command


def run(arguments, environment, output):
    """The target of a child process: the trainer with stdout and stderr in a file; does not return."""
    os.environ.update(environment)
    torch.set_num_threads(1)  # two threads that wait for each other on a busy machine are ten times slower
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    command(arguments)
