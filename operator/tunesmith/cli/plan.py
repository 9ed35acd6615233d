"""`tunesmith plan`: will a training fit on its GPUs, how long will it take, what will it cost. Asks no cluster."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tunesmith.cli.plan_report import as_json, print_plan
from tunesmith.cli.plan_request import DOES_NOT_FIT_EXIT, METHODS, NotUnderstoodError, Options, Request, request_of
from tunesmith.planning.memory.cards import CARDS, card_of
from tunesmith.planning.memory.objections import objections
from tunesmith.planning.memory.plan import Wish, estimate
from tunesmith.planning.memory.price import gpu_hour_usd
from tunesmith.planning.price_table import PUBLISHED


class _Dollars(click.ParamType[Decimal]):
    """A price."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The number; usage error for anything else."""
        try:
            price = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"'{value}' is not a number of dollars.", param, ctx)
        if not price.is_finite() or price < 0:
            self.fail(f"'{value}' is not a number of dollars.", param, ctx)
        return price


class _Plan(click.Command):
    """A command whose wrong usage is not taken for a training that does not fit."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same, with the status of a request that is not understood."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise NotUnderstoodError(error.format_message(), ctx=error.ctx) from None


@click.command(cls=_Plan)
@click.option("--model", help="A model of the bundled catalogue, by the provider's id or its object's name.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Another's config.json.")
@click.option(
    "-f",
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A FineTuneJob's manifest; options win over it.",
)
@click.option("--method", type=click.Choice(list(METHODS)), help="Default: sft.")
@click.option("--context", type=click.IntRange(1, 2097152), help="Tokens of a row. Default: the model's limit.")
@click.option("--gpu", help=f"The GPUs' type: {', '.join(card.name for card in CARDS)}, or as the provider writes it.")
@click.option("--gpus", type=click.IntRange(1, 8192), help="Default: as many as are needed.")
@click.option("--tuning", type=click.Choice(["lora", "qlora", "full"]), help="Default: lora.")
@click.option("--rank", type=click.IntRange(1, 512), help="Of the adapter. Default: 8.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Of the adapter. Default: 0.")
@click.option("--targets", multiple=True, help="A module that is adapted; again for more. Default: all linear layers.")
@click.option("--precision", type=click.Choice(["amp", "bf16", "fp32"]), help="Default: as the model's row says.")
@click.option("--batch", type=click.IntRange(1, 65536), help="Rows of a step. Default: the largest.")
@click.option("--tokens", type=click.IntRange(1), help="Tokens of the dataset; without them no hours and no dollars.")
@click.option("--epochs", type=click.IntRange(1, 1000), help="How often the dataset is gone through. Default: 1.")
@click.option("--packing/--no-packing", default=None, help="Whether short rows share a sequence. Default: they do.")
@click.option("--price", type=_Dollars(), help="Dollars of a GPU-hour. Default: the provider's published price.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def plan(*, output: str, **options: Any) -> None:
    """Tell whether a training fits, and what it will take. Exit status 0: it fits; 2: it does not; 1: no answer.

    \b
    tunesmith plan --model Qwen/Qwen3-8B --context 16384 --gpu H200 --gpus 8 --tokens 200000000
    tunesmith plan -f job.yaml --gpu H100 -o json
    """
    request = request_of(Options(**options))
    card = card_of(request.gpu_type)
    if card is None:
        known = ", ".join(card.name for card in CARDS)
        raise click.ClickException(f"Not estimated: the memory of '{request.gpu_type}' is not known; known: {known}.")
    wish = Wish(
        work=request.work,
        card=card,
        gpus=request.gpus,
        batch=request.batch,
        limits=request.batch_limits,
        gpu_hour_usd=_price(request),
        packing=request.packing,
    )
    done = estimate(replace(wish, tokens=request.tokens_of(estimate(wish).batch)))
    against = objections(done, request.allowed)
    if output == "json":
        click.echo(json.dumps(as_json(request, done, against), indent=2))
    else:
        print_plan(Console(), request, done, against)
    sys.exit(DOES_NOT_FIT_EXIT if against else 0)


def _price(request: Request) -> Decimal | None:
    return request.price if request.price is not None else gpu_hour_usd(PUBLISHED, request.gpu_type)
