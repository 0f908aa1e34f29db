"""The file demo.json: address, credentials and samples of a running demo, readable by its owner only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from annul import durable
from annul.errors import BadInput
from annul.home import Home

FILE: Final = "demo.json"


@dataclass(slots=True)
class DemoRecord:
    """Hold what demo.json holds.

    Args:
        url: address of the doors.
        credentials: name -> {"key", "test_key", "id", "role", "name"}.
        samples: status code -> {"document": fields}; the same for test keys in `test_samples`.
        attempt: the document of the commands to try ("try" in the file).
        births: where the makers of samples go on, live and test.
        seed: seed of the country.
        holders, documents: how large it is.
        person: somebody to try the name check with: {"document", "name", "latin_name"}.
        citizens: people to log in as at the demo's identity provider: {"name", "personal_number", "story"}.
    """

    url: str
    credentials: dict[str, dict[str, str]]
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    test_samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempt: dict[str, Any] = field(default_factory=dict)
    births: list[int] = field(default_factory=lambda: [0, 0])
    seed: int = 0
    holders: int = 0
    documents: int = 0
    person: dict[str, Any] = field(default_factory=dict)
    citizens: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, home: Home) -> DemoRecord | None:
        """Read the file of a home; None when there is none.

        Raises:
            BadInput: it is damaged.
        """
        try:
            value = json.loads(home.demo.read_text(encoding="utf-8"))
            value["attempt"] = value.pop("try", {})
            return cls(**value)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError):
            raise BadInput(
                "The demo's file is damaged.", where=FILE, mend="Move the data folder away and start `annul demo`."
            ) from None

    def write(self, home: Home) -> None:
        """Write the file aside and rename it into place, mode 0600."""
        value = {name: getattr(self, name) for name in self.__slots__ if name != "attempt"}
        value["try"] = self.attempt
        durable.replace(home.demo, json.dumps(value, indent=1, ensure_ascii=False).encode())
