"""The finish check: whether the job has published a result whose termination message was lost. Needs no GPU.

It writes nothing and claims no attempt; a person may run it as well.
"""

from tunesmith_trainer import publishing
from tunesmith_trainer.contract import Configuration, TerminationMessage
from tunesmith_trainer.exit_codes import ErrorClass
from tunesmith_trainer.progress import Reporter


def finish(configuration: Configuration, reporter: Reporter) -> TerminationMessage:
    """How the job stands: the end of the attempt that published, or success without a path when none has."""
    published, damaged = publishing.found(configuration)
    for damage in damaged:
        reporter.tell(damage)
    if published is not None:
        return published.message(
            configuration.storage.attempt,
            f"Attempt {published.result.attempt} had published this result; it was read again and is whole.",
        )
    return TerminationMessage(
        attempt=configuration.storage.attempt,
        error_class=ErrorClass.SUCCESS,
        message=" ".join(["No attempt of this job has published a result.", *damaged]),
    )
