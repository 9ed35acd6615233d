"""Reads a configuration file, and says what is wrong with it."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

Kind = TypeVar("Kind", bound=BaseModel)


def read(kind: type[Kind], path: Path) -> Kind:
    """The configuration file, checked.

    Raises:
        TrainerError: of class configuration, with every wrong field by its path.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
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
