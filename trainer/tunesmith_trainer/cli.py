"""The command line of the training image: `prepare`, then `launch` or `train`; `finish` after a lost end; `check`."""

import argparse
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tunesmith_trainer import __version__, configuration_file, preparation_command
from tunesmith_trainer.contract import Configuration, TerminationMessage
from tunesmith_trainer.data import check
from tunesmith_trainer.endings import Where, classified, failure_message, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.launch import launch
from tunesmith_trainer.listeners import listeners
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.watchdog import Watch, end_stalled_process, end_unstopped_process

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
    for name, text in (
        ("prepare", "fetch weights and data to the storage and make the rows ready; needs no GPU"),
        ("fetch", "only fetch weights and data to the storage"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("config", type=Path, metavar="CONFIG", help="the configuration of a preparation, JSON")
    text = "look for a result that the job has published, without GPUs"
    command = commands.add_parser("finish", help=text, description=text)
    command.add_argument("config", type=Path, metavar="CONFIG", help="the configuration, JSON")
    text = "what training would make of a dataset file: rows, tokens, what is dropped, what is broken; exit code 0 or 2"
    check.add_arguments(commands.add_parser("check", help=text, description=text))
    options = parser.parse_args(arguments)
    if options.command == "check":
        _quieten()
        return check.run(options)
    if options.command in ("prepare", "fetch"):
        _quieten()
        return preparation_command.run(options.command, options.config)
    try:
        configuration = configuration_file.read(Configuration, options.config)
    except TrainerError as error:
        sys.stderr.write(f"{error.message}\n")
        return leave(failure_message(error, Where()))
    if options.command == "launch":
        return launch(options.config, configuration)
    if options.command == "finish":
        return finish(configuration)
    return train(configuration)


def train(configuration: Configuration) -> int:
    """Runs this process of the attempt to its end; returns the exit code."""
    stop = StopWish()
    stop.listen()

    def attempt(reporter: Reporter) -> TerminationMessage:
        from tunesmith_trainer.training import run

        return run(configuration, stop, reporter)

    return _to_its_end(configuration, attempt, stop)


def finish(configuration: Configuration) -> int:
    """Looks for a published result, without GPUs; returns the exit code. SIGTERM ends it where it stands."""
    signal.signal(signal.SIGTERM, _asked_to_stop)

    def look(reporter: Reporter) -> TerminationMessage:
        from tunesmith_trainer.finish import finish

        return finish(configuration, reporter)

    return _to_its_end(configuration, look)


def _asked_to_stop(_number: int, _frame: FrameType | None) -> None:
    raise TrainerError(ErrorClass.PREEMPTED, "Asked to stop; what is complete on the storage stays.")


def _to_its_end(
    configuration: Configuration, work: Callable[[Reporter], TerminationMessage], stop: StopWish | None = None
) -> int:
    _quieten()
    os.environ.setdefault("HF_HOME", str(Path(tempfile.gettempdir()) / "tunesmith-hf"))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    reporter = Reporter(configuration, speaks=os.environ.get("RANK", "0") == "0")
    try:
        for listener in listeners(configuration, os.environ):
            reporter.listen(listener)
        with Watch(reporter, configuration, end_stalled_process, stop=stop, on_unmet_stop=end_unstopped_process):
            reporter.stage("Starting")
            code = leave(work(reporter))
    except Exception as error:
        failure = classified(error)
        if failure.error_class is ErrorClass.UNCLASSIFIED:
            logging.getLogger(__name__).exception("The attempt failed")
        sys.stderr.write(f"{failure.error_class}: {failure.message}\n")
        code = leave(failure_message(failure, reporter.where))
    finally:
        reporter.close()
    return code


def _quieten() -> None:
    for name, value in OFFLINE_AND_QUIET.items():
        os.environ.setdefault(name, value)


def end(code: int) -> None:
    """Ends the process at once: after a failure a communicator's threads may wait for peers that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command(arguments: list[str] | None = None) -> None:
    """The installed command; does not return."""
    end(main(arguments))
