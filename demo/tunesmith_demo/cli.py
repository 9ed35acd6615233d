"""The command behind `make demo`."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

import click

from tunesmith_demo import stories
from tunesmith_demo.promises import BrokenPromiseError
from tunesmith_demo.stage import Stage
from tunesmith_demo.stories.ground import stage_for_stories
from tunesmith_demo.stories.programme import Programme
from tunesmith_demo.story import NAMESPACE, Story
from tunesmith_demo.view import View


@click.group()
def main() -> None:
    """Tunesmith's demo: from nothing to a trained adapter and back to nothing."""


@main.command()
@click.option("--quick", is_flag=True, help="A tiny random model instead of SmolLM2-135M; it is asked nothing.")
@click.option("--keep", is_flag=True, help="Leave everything up and print what to try next.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where everything lives.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), hidden=True)
def run(quick: bool, keep: bool, directory: Path | None, picture: Path | None) -> None:
    """Bring everything up, fine-tune a model, check each promise, give everything back."""
    place = directory or Path(tempfile.mkdtemp(prefix="tunesmith-demo-"))
    with ended_in_good_order(), View(portrait=picture) as view:
        stage = Stage(place, say=view.say)
        story = Story(stage, view, quick)
        try:
            with view.step("bring up a Kubernetes and the provider's simulator"):
                stage.raise_curtain()
            story.tell()
            if keep:
                view.say(what_to_try(stage, {NAMESPACE: "bought.kubeconfig"}))
                return
            story.give_back()
        except BrokenPromiseError as broken:
            view.say(f"The demo broke a promise: {broken}", style="red")
            view.say(f"Logs are in {place}.")
            _end(stage, view, keep)
            sys.exit(1)
        except BaseException:
            _end(stage, view, keep)
            raise
        _end(stage, view, keep=False)
    if directory is None:
        shutil.rmtree(place, ignore_errors=True)
    view.say("Every promise was kept. The provider's list is empty.", style="green")


@main.command()
@click.argument("name")
@click.option("--keep", is_flag=True, help="Leave everything up and print what to try next.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where everything lives.")
def story(name: str, keep: bool, directory: Path | None) -> None:
    """Tell one of the stories, or all, and check each promise: alternative, repair, idle, crash, all."""
    try:
        chosen = stories.named(name)
    except KeyError:
        raise click.UsageError(f"There is no story '{name}'. There are:\n{stories.listed()}") from None
    place = directory or Path(tempfile.mkdtemp(prefix="tunesmith-story-"))
    with ended_in_good_order(), View() as view:
        stage = stage_for_stories(place, view.say)
        programme = Programme(stage, view, keep)
        try:
            programme.tell(chosen)
        except BaseException:
            _end(stage, view, keep)
            raise
        if keep:
            view.look_through(None)
            view.say(what_to_try(stage, {each: f"{each}.kubeconfig" for each in programme.namespaces}))
        else:
            _end(stage, view, keep)
        view.say(programme.told(), style="red" if programme.broken else "green")
    if programme.broken:
        view.say(f"Logs are in {place}.")
        sys.exit(1)
    if directory is None and not keep:
        shutil.rmtree(place, ignore_errors=True)


@main.command()
@click.option("--directory", type=click.Path(path_type=Path, exists=True), required=True)
def down(directory: Path) -> None:
    """End what `run --keep` left up."""
    Stage.end_left(directory)


def what_to_try(stage: Stage, bought: Mapping[str, str]) -> str:
    """The lines that `--keep` prints. `bought` names the kubeconfig of the cluster that each namespace has bought."""
    looks = "\n".join(
        f"  kubectl get gpuc,ftj,shvol -n {namespace} -o wide\n"
        f"  kubectl describe gpuc,ftj -n {namespace}\n"
        f"  kubectl --kubeconfig {stage.directory}/{file} get nodes"
        for namespace, file in bought.items()
    )
    return f"""
Everything is still up. Try:
  export KUBECONFIG={stage.cluster.kubeconfig}
{_where_kubectl_is(stage.tools.kubectl)}{looks}
  kubectl explain ftj.spec.method.dpo
  curl -s {stage.provider_url}/admin/ledger
{how_to_end(stage)}
"""


def how_to_end(stage: Stage) -> str:
    """The line that is owed to whoever is left with a stage that is up."""
    return f"End it with:\n  .venv/bin/tunesmith-demo down --directory {stage.directory}"


@contextlib.contextmanager
def ended_in_good_order() -> Iterator[None]:
    """SIGTERM and a terminal that closes end the work inside as an exception does: nothing that it started stays up.

    Only the first counts: what is being ended then is ended whole. Under `nohup` the terminal may close.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    heeded = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _where_kubectl_is(kubectl: Path) -> str:
    """Nothing, if it is the one that the shell finds by itself."""
    return "" if shutil.which("kubectl") == str(kubectl) else f"  export PATH={kubectl.parent}:$PATH\n"


def _end(stage: Stage, view: View, keep: bool) -> None:
    view.look_through(None)
    if keep:
        view.say(how_to_end(stage))
    else:
        stage.strike()


if __name__ == "__main__":
    main()
