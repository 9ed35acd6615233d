"""Turns one pair of answers into the token ids of the prompt, the better answer and the worse one.

The prompt is the same for both and is never cut: a long answer is cut at its end, at the context length.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from tunesmith_trainer.data.encoding import Dropped, Encoder, ensure_tools_rendered
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.rows import Preference, PreferenceTalk, PreferenceText

Parts = tuple[list[int], list[int], list[int]]


@dataclass(frozen=True)
class Pair:
    """One row ready for preference training; the prompt with either answer is at most the context.

    `whole_tokens` is the length of the longer side before the cut; `number` the line or row of the file that it was
    made from.
    """

    prompt_ids: Sequence[int]
    chosen_ids: Sequence[int]
    rejected_ids: Sequence[int]
    whole_tokens: int
    number: int = 0

    @property
    def tokens(self) -> int:
        """Length of both sequences; each goes through the model with the prompt."""
        return 2 * len(self.prompt_ids) + self.learnt_tokens

    @property
    def learnt_tokens(self) -> int:
        """Tokens of both answers."""
        return len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def truncated(self) -> bool:
        """Whether an answer was longer than its room."""
        return self.whole_tokens > len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    def compact(self) -> "Pair":
        """The same in a sixth of the memory, for rows that wait."""
        prompt, chosen, rejected = (array("i", ids) for ids in (self.prompt_ids, self.chosen_ids, self.rejected_ids))
        return Pair(prompt, chosen, rejected, self.whole_tokens, self.number)


def pair(row: Preference, encoder: Encoder, rules: MaskingRules) -> Pair:
    """Token ids of one pair, cut at the context length.

    Raises:
        Dropped: when the template cannot render the row stably, when the prompt leaves no room for either answer, or
            when the answers are the same as far as they are kept.
    """
    prompt, chosen, rejected = _talk(row, encoder, rules) if isinstance(row, PreferenceTalk) else _text(row, encoder)
    whole_tokens = len(prompt) + max(len(chosen), len(rejected))
    room = max(0, rules.context_length - len(prompt))
    chosen, rejected = chosen[:room], rejected[:room]
    # Without a prompt the first token of an answer has no predecessor to predict it from: it needs a second one.
    fewest = 1 if prompt else 2
    if min(len(chosen), len(rejected)) < fewest:
        raise Dropped("noTrainableTokens", whole_tokens)
    if chosen == rejected:
        raise Dropped("identicalAnswers", whole_tokens)
    return Pair(prompt, chosen, rejected, whole_tokens)


def _text(row: PreferenceText, encoder: Encoder) -> Parts:
    prompt, chosen = encoder.continued_opening(row.prompt, row.chosen)
    _, rejected = encoder.continued_opening(row.prompt, row.rejected)
    return prompt, chosen + encoder.end, rejected + encoder.end


def _talk(row: PreferenceTalk, encoder: Encoder, rules: MaskingRules) -> Parts:
    prompt = encoder.render(row.messages, row.tools, answer_follows=True)
    answers = (row.chosen, row.rejected)
    chosen, rejected = (encoder.render((*row.messages, answer), row.tools) for answer in answers)
    for answer, whole in zip(answers, (chosen, rejected), strict=True):
        ensure_tools_rendered(whole, (*row.messages, answer), row.tools)
    if not (chosen.startswith(prompt) and rejected.startswith(prompt)):
        if rules.on_unstable_template == "Refuse":
            raise Dropped("unstableTemplate")
        return _divergent(encoder.ids(chosen), encoder.ids(rejected), encoder.ids(prompt))
    prompt_ids, chosen_ids = encoder.continued(prompt, chosen[len(prompt) :])
    _, rejected_ids = encoder.continued(prompt, rejected[len(prompt) :])
    return prompt_ids, chosen_ids, rejected_ids


def _divergent(chosen: list[int], rejected: list[int], prompt: list[int]) -> Parts:
    """The answers begin where a rendering leaves the prompt's, as TRL has it: the prompt's last tokens are learnt."""
    agreed = takewhile(lambda ids: len(set(ids)) == 1, zip(chosen, rejected, prompt, strict=False))
    border = sum(1 for _ in agreed)
    return chosen[:border], chosen[border:], rejected[border:]
