"""The command behind `make demo`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tunesmith_demo.stage import Stage
from tunesmith_demo.story import NAMESPACE, BrokenPromiseError, Story
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
    with View(portrait=picture) as view:
        stage = Stage(place, say=view.say)
        story = Story(stage, view, quick)
        try:
            with view.step("bring up a Kubernetes and the provider's simulator"):
                stage.raise_curtain()
            story.tell()
            if keep:
                view.say(what_to_try(stage))
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
@click.option("--directory", type=click.Path(path_type=Path, exists=True), required=True)
def down(directory: Path) -> None:
    """End what `run --keep` left up."""
    Stage.end_left(directory)


def what_to_try(stage: Stage) -> str:
    """The lines that `--keep` prints."""
    return f"""
Everything is still up. Try:
  export KUBECONFIG={stage.cluster.kubeconfig}
  kubectl get gpuc,ftj,shvol -n {NAMESPACE} -o wide
  kubectl describe ftj demo -n {NAMESPACE}
  kubectl explain ftj.spec.method.dpo
  kubectl --kubeconfig {stage.directory}/bought.kubeconfig get nodes
End it with:
  .venv/bin/tunesmith-demo down --directory {stage.directory}
"""


def _end(stage: Stage, view: View, keep: bool) -> None:
    if view.lens:
        view.lens.close()
        view.lens = None
    if not keep:
        stage.strike()


if __name__ == "__main__":
    main()
