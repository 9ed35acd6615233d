"""The command line of the training image: `train` one process, or `launch` all processes of a pod."""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from tunesmith_trainer import __version__
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.endings import Where, classified, failure_message, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.launch import launch
from tunesmith_trainer.listeners import listeners
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.watchdog import Watch, end_stalled_process

# Training never fetches anything: weights and data lie on the storage before it begins.
OFFLINE_AND_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",  # the library's own client waits on the training thread; ours does not
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `tunesmith-trainer`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tunesmith-trainer", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "run one process of the training, as torchrun starts it, or alone"),
        ("launch", "run all processes of this pod, and end with the exit code that explains the others"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", required=True, type=Path, metavar="FILE", help="the configuration, JSON")
    options = parser.parse_args(arguments)
    try:
        configuration = read_configuration(options.config)
    except TrainerError as error:
        sys.stderr.write(f"{error.message}\n")
        return leave(failure_message(error, Where()))
    if options.command == "launch":
        return launch(options.config, configuration)
    return train(configuration)


def read_configuration(path: Path) -> Configuration:
    """The configuration file, checked.

    Raises:
        TrainerError: of class configuration, with every wrong field by its path.
    """
    try:
        return Configuration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainerError(
            ErrorClass.CONFIGURATION, f"The configuration '{path}' cannot be read: {error.strerror}."
        ) from error
    except ValidationError as error:
        wrong = [
            f"{'.'.join(str(part) for part in entry['loc']) or 'the whole'}: {entry['msg']}" for entry in error.errors()
        ]
        raise TrainerError(
            ErrorClass.CONFIGURATION,
            f"The configuration '{path}' is not valid. " + "; ".join(wrong) + ". Unknown keys are refused, so that "
            "nothing asked for is left out in silence.",
        ) from error


def train(configuration: Configuration) -> int:
    """Runs this process of the attempt to its end; returns the exit code."""
    stop = StopWish()
    stop.listen()
    for name, value in OFFLINE_AND_QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("HF_HOME", str(Path(tempfile.gettempdir()) / "tunesmith-hf"))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    reporter = Reporter(configuration, speaks=os.environ.get("RANK", "0") == "0")
    try:
        for listener in listeners(configuration, os.environ):
            reporter.listen(listener)
        with Watch(reporter, configuration, end_stalled_process):
            reporter.stage("Starting")
            from tunesmith_trainer.training import run

            code = leave(run(configuration, stop, reporter))
    except Exception as error:
        failure = classified(error)
        if failure.error_class is ErrorClass.UNCLASSIFIED:
            logging.getLogger(__name__).exception("The attempt failed")
        sys.stderr.write(f"{failure.error_class}: {failure.message}\n")
        code = leave(failure_message(failure, reporter.where))
    finally:
        reporter.close()
    return code


def end(code: int) -> None:
    """Ends the process at once: after a failure a communicator's threads may wait for peers that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command(arguments: list[str] | None = None) -> None:
    """The installed command; does not return."""
    end(main(arguments))
