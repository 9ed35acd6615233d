"""Writes the contract as JSON Schemas, or checks that what is committed is current."""

import argparse
import json
import sys
from pathlib import Path

from pydantic import BaseModel

from tunesmith_trainer.contract import (
    Configuration,
    DatasetReport,
    Heartbeat,
    PrepareConfiguration,
    ProgressLine,
    Result,
    TerminationMessage,
)
from tunesmith_trainer.contract.messages import TERMINATION_MESSAGE_BYTES
from tunesmith_trainer.exit_codes import ENDINGS

SCHEMAS: dict[str, type[BaseModel]] = {
    "configuration": Configuration,
    "prepare": PrepareConfiguration,
    "progress": ProgressLine,
    "heartbeat": Heartbeat,
    "termination": TerminationMessage,
    "result": Result,
    "check": DatasetReport,
}
DEFAULT_DIRECTORY = Path("contract/v1")


def documents() -> dict[str, str]:
    """All files of the contract, by name."""
    files: dict[str, object] = {}
    for name, model in SCHEMAS.items():
        schema = model.model_json_schema(by_alias=True)
        files[f"{name}.schema.json"] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"https://tunesmith.dev/contract/v1/{name}.schema.json",
            **schema,
        }
    files["exit-codes.json"] = {
        "terminationMessageBytes": TERMINATION_MESSAGE_BYTES,
        "exitCodes": [
            {"code": int(e.code), "errorClass": e.error_class, "retry": e.retry, "meaning": e.meaning} for e in ENDINGS
        ],
    }
    return {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}


def stale(directory: Path) -> list[str]:
    """Names of files that differ from the models, are missing, or are left over."""
    wanted = documents()
    present = {path.name for path in directory.glob("*.json")} if directory.is_dir() else set()
    return sorted(
        name
        for name in present | wanted.keys()
        if name not in wanted or name not in present or (directory / name).read_text() != wanted[name]
    )


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m tunesmith_trainer.contract`."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith_trainer.contract", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the files")
    mode.add_argument("--check", action="store_true", help="fail when they are not current")
    parser.add_argument("directory", nargs="?", type=Path, default=DEFAULT_DIRECTORY)
    options = parser.parse_args(arguments)
    if options.check:
        if differing := stale(options.directory):
            sys.stderr.write(f"{options.directory} is not current ({', '.join(differing)}). Run: make generate\n")
            return 1
        return 0
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in stale(options.directory):
        (options.directory / name).unlink(missing_ok=True)
    for name, text in documents().items():
        (options.directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
