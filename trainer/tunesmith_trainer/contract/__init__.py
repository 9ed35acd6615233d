"""What trainer and operator agree on: the configuration file, the lines on stdout, the end, and the result.

The models here are the single source; `python -m tunesmith_trainer.contract --write` makes the JSON Schemas from them.
"""

from tunesmith_trainer.contract.check import DatasetReport
from tunesmith_trainer.contract.configuration import API_VERSION, Configuration
from tunesmith_trainer.contract.messages import (
    Heartbeat,
    PreparedSaid,
    ProgressLine,
    Result,
    TerminationMessage,
)
from tunesmith_trainer.contract.preparation import PrepareConfiguration

__all__ = [
    "API_VERSION",
    "Configuration",
    "DatasetReport",
    "Heartbeat",
    "PrepareConfiguration",
    "PreparedSaid",
    "ProgressLine",
    "Result",
    "TerminationMessage",
]
