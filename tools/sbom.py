"""Writes the training image's software bill of materials from its lock, or checks that what is committed is current.

The list itself is made by cyclonedx-py; hashes come from the lock. Where a package comes from is left out: that is the
index of whoever builds the image, and the hashes hold for all of them.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

LOCK = Path("requirements/trainer.lock")
BILL = Path("trainer/sbom.cdx.json")


def bill_of_materials(lock: Path) -> str:
    """CycloneDX JSON of everything in the lock; the same lock gives the same text."""
    made = subprocess.run(
        [
            str(Path(sys.executable).with_name("cyclonedx-py")),
            "requirements",
            "--output-reproducible",
            "--pyproject",
            "trainer/pyproject.toml",
            "--output-format",
            "JSON",
            "--output-file",
            "-",
            str(lock),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    bill = json.loads(made.stdout)
    for tool in bill["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)
    for component in bill["components"]:
        component["externalReferences"] = [
            {**reference, "url": component["purl"]}
            for reference in component.get("externalReferences", ())
            if reference["type"] == "distribution"
        ]
    return json.dumps(bill, indent=2) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python tools/sbom.py`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the committed bill is not current")
    options = parser.parse_args(arguments)
    text = bill_of_materials(LOCK)
    if not options.check:
        BILL.write_text(text, encoding="utf-8")
        return 0
    if not BILL.is_file() or BILL.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{BILL} is not current. Run: make generate\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
