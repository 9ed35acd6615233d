"""Every class of the table ends a real process with its code and its termination message, whatever raised it.

Classes that take a whole attempt (success, data, model, limits, configuration, divergence, stall, missing GPUs,
preemption, supersession) are shown in the other files of this folder; this one holds the mapping of exceptions.
"""

import forked
import pytest

from tunesmith_trainer.exit_codes import BY_CLASS, ErrorClass

ENDS = [
    ("host_memory", ErrorClass.OUT_OF_MEMORY, "Out of memory"),
    ("cuda_memory", ErrorClass.OUT_OF_MEMORY, "CUDA out of memory"),
    ("mmap_refused", ErrorClass.OUT_OF_MEMORY, "Cannot allocate memory"),
    ("storage_full", ErrorClass.INFRASTRUCTURE, "The storage failed"),
    ("lost_mount", ErrorClass.INFRASTRUCTURE, "The storage failed"),
    ("lost_peer", ErrorClass.INFRASTRUCTURE, "A process of the group was lost"),
    ("closed_connection", ErrorClass.INFRASTRUCTURE, "A process of the group was lost"),
    ("credentials", ErrorClass.CREDENTIALS, "The token was refused"),
    ("superseded", ErrorClass.SUPERSEDED, "A newer attempt"),
    ("a_bug", ErrorClass.UNCLASSIFIED, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("what", "error_class", "words"), ENDS, ids=[what for what, _, _ in ENDS])
def test_an_exception_ends_the_process_with_the_code_of_its_class(workshop, what, error_class, words):
    pod = workshop.train(
        workshop.configuration(f"ends-{what.replace('_', '-')}"),
        target=forked.run_and_fail,
        TUNESMITH_TEST_FAILURE=what,
    )
    assert pod.ended() == BY_CLASS[error_class].code, pod.output.read_text()
    message = pod.message()
    assert message.error_class is error_class
    assert words in message.message


def test_a_wrong_command_line_is_usage(workshop):
    pod = workshop.train(workshop.configuration("usage"), target=forked.run_with_a_wrong_command)
    assert pod.ended() == BY_CLASS[ErrorClass.USAGE].code
    assert "usage: tunesmith-trainer" in pod.output.read_text()


def test_a_module_that_the_model_lacks_ends_the_attempt_before_its_first_step(workshop):
    document = workshop.configuration("misspelt", tuning={"targetModules": ["q_proj", "no_such"]})
    pod = workshop.train(document)
    assert pod.ended() == BY_CLASS[ErrorClass.LIMITS].code, pod.output.read_text()
    assert "no module 'no_such'" in pod.message().message
    assert pod.message().step == 0
