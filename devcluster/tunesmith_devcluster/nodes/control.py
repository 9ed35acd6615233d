"""How a node shall behave: a small file in its directory that commands write and the node reads."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Control:
    """How a node shall behave."""

    ready: bool = True
    cut_off: bool = False
    lost_gpus: int = 0
    sequence: int = 0

    @classmethod
    def read(cls, directory: Path) -> "Control":
        """What was last asked of the node; the defaults when nothing was."""
        try:
            return cls(**json.loads((directory / "control.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()

    def write(self, directory: Path) -> None:
        """Ask it of the node, all at once."""
        fresh = directory / "control.json.new"
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.rename(directory / "control.json")

    def acknowledge(self, directory: Path) -> None:
        """The node behaves so now."""
        (directory / "control.seen").write_text(str(self.sequence), encoding="utf-8")
