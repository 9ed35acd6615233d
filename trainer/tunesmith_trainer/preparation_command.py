"""The commands `prepare` and `fetch`: one process, no GPU, one ending for those outside."""

import logging
import os
import sys
import tempfile
from pathlib import Path

from tunesmith_trainer import configuration_file, preparing
from tunesmith_trainer.contract import PrepareConfiguration, TerminationMessage
from tunesmith_trainer.endings import Where, classified, failure_message, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.secrets import HidingFormatter, Secrets
from tunesmith_trainer.preparation_teller import Teller
from tunesmith_trainer.stopping import StopWish


def run(command: str, path: Path) -> int:
    """Runs the command to its end; returns the exit code."""
    stop = StopWish()
    stop.listen()
    secrets = Secrets.of_environment()
    os.environ.setdefault("HF_HOME", str(Path(tempfile.gettempdir()) / "tunesmith-hf"))
    _log_without(secrets)
    try:
        configuration = configuration_file.read(PrepareConfiguration, path)
    except TrainerError as error:
        return _failed(error, secrets, Where())
    with Teller(configuration.storage.attempt, configuration.heartbeat_seconds, secrets.hide) as teller:
        try:
            teller.stage("Starting")
            message = _done(command, configuration, secrets, teller, stop)
        except Exception as error:
            return _failed(error, secrets, teller.where)
    sys.stderr.write(f"{message.message}\n" if message.message else "")
    return leave(message)


def _done(
    command: str, configuration: PrepareConfiguration, secrets: Secrets, teller: Teller, stop: StopWish
) -> TerminationMessage:
    if command == "fetch":
        fetched = preparing.fetch(configuration, secrets, teller, lambda: stop.wanted)
        return preparing.fetched_message(configuration, fetched)
    return preparing.prepare(configuration, secrets, teller, lambda: stop.wanted)


def _failed(error: Exception, secrets: Secrets, where: Where) -> int:
    failure = classified(error)
    if failure.error_class is ErrorClass.UNCLASSIFIED:
        logging.getLogger(__name__).error("The preparation failed", exc_info=error)
    told = TrainerError(failure.error_class, secrets.hide(failure.message))
    sys.stderr.write(f"{told.error_class}: {told.message}\n")
    return leave(failure_message(told, where))


def _log_without(secrets: Secrets) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HidingFormatter(secrets, "%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
