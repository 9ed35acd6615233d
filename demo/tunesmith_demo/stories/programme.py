"""Tells stories one after another on one stage, and says at the end which promises were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tunesmith_demo.promises import BrokenPromiseError
from tunesmith_demo.stage import Stage
from tunesmith_demo.stories.telling import Telling
from tunesmith_demo.view import View


@dataclass
class Programme:
    """The stories of one evening. With `keep` what they have made stays up. `broken` are the promises not kept."""

    stage: Stage
    view: View
    keep: bool = False
    broken: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)

    def tell(self, chosen: Sequence[type[Telling]]) -> None:
        """All of them; a broken promise ends its story and not the others."""
        with self.view.step("bring up a Kubernetes and the provider's simulator"):
            self.stage.raise_curtain()
        with self.view.step("install the operator with Helm"):
            self.stage.install_operator()
        with self.stage.reader() as reader:
            for each in chosen:
                self._tell(each(self.stage, self.view, reader))

    def told(self) -> str:
        """The last line: what was kept, or what was not."""
        if self.broken:
            return "\n".join(f"A promise was broken: {each}" for each in self.broken)
        return f"Every promise was kept: {', '.join(self.kept)}."

    def _tell(self, story: Telling) -> None:
        self.view.chapter(f"{story.name}: {story.title}")
        self.namespaces.append(story.namespace)
        try:
            story.open()
            story.tell()
            story.close_the_books()
            if not self.keep:
                with self.view.step("give everything back"):
                    story.give_back()
        except BrokenPromiseError as broken:
            self.broken.append(f"{story.name}: {broken}")
            self.view.say(f"A promise was broken: {broken}", style="red")
        else:
            self.kept.append(story.name)
