"""Write the bill of materials of what runs: CycloneDX 1.6 with licences and hashes, of exactly the locked packages.

    python scripts/sbom.py TOOL OUTPUT      TOOL: cyclonedx-py of requirements/sbom.txt      (make sbom)

The tool describes the environment; what tests alone need is taken out again. A locked package that is missing is an error.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def locked() -> dict[str, str]:
    """Return name -> version of the packages of requirements/run.lock that this machine installs."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    for line in (ROOT / "requirements" / "run.lock").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#", "-")):
            wanted = Requirement(line.rstrip("\\ "))
            if wanted.marker is None or wanted.marker.evaluate():
                found[plain(wanted.name)] = str(next(iter(wanted.specifier)).version)
    return found


def plain(name: str) -> str:
    """Return the normal form of a package's name. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def kept(bill: dict[str, Any], packages: dict[str, str]) -> dict[str, Any]:
    """Return the bill with nothing but these packages and annul itself.

    Raises:
        SystemExit: a package is missing, or of another version.
    """
    by_name = {plain(each["name"]): each for each in bill["components"]}
    wrong = [name for name, version in packages.items() if by_name.get(name, {}).get("version") != version]
    if wrong:
        raise SystemExit(f"sbom: not installed as locked: {', '.join(wrong)}. Run: make setup")
    components = [each for name, each in sorted(by_name.items()) if name in packages]
    references = {each["bom-ref"] for each in components} | {bill["metadata"]["component"]["bom-ref"]}
    depending = [
        each | {"dependsOn": [other for other in each.get("dependsOn", []) if other in references]}
        for each in bill["dependencies"]
        if each["ref"] in references
    ]
    return bill | {"components": components, "dependencies": depending}


def main(arguments: list[str]) -> int:
    """Write the bill and say what is in it."""
    tool, output = arguments
    asked = [tool, "environment", "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--of", "JSON"]
    done = subprocess.run([*asked, sys.executable], capture_output=True, text=True, check=True)
    bill = kept(json.loads(done.stdout), locked())
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(bill, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unknown = [each["name"] for each in bill["components"] if not each.get("licenses")]
    print(f"{output}: {len(bill['components'])} packages; without a licence in their metadata: {', '.join(unknown) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
