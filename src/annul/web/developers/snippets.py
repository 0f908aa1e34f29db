"""Give snippets to copy: one check in curl, Python and JavaScript. The tests run them as they stand on the page."""

from __future__ import annotations

from typing import Final

QUESTION: Final = """{
  "document": {"scheme": "generic", "issuer": "SANDBOX", "kind": "CARD", "number": "S10"},
  "purpose": "account-opening",
  "channel": "in_person"
}"""

CURL: Final = """curl -sS {url}/v1/checks \\
  -H "Authorization: Bearer $ANNUL_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{question}'
"""

PYTHON: Final = """import json
import os
import urllib.error
import urllib.request

question = {question}
request = urllib.request.Request(
    "{url}/v1/checks",
    data=json.dumps(question).encode(),
    headers={{"Authorization": "Bearer " + os.environ["ANNUL_KEY"], "Content-Type": "application/json"}},
)
try:
    with urllib.request.urlopen(request, timeout=5) as answer:
        print(json.load(answer)["outcome"])          # PASS, REFER or STOP
except (urllib.error.URLError, TimeoutError):
    print("NO_ANSWER")                               # never a yes
"""

JAVASCRIPT: Final = """const question = {question};
try {{
  const answer = await fetch("{url}/v1/checks", {{
    method: "POST",
    headers: {{"Authorization": "Bearer " + process.env.ANNUL_KEY, "Content-Type": "application/json"}},
    body: JSON.stringify(question),
    signal: AbortSignal.timeout(5000),
  }});
  const told = await answer.json();
  console.log(answer.ok ? told.outcome : "NO_ANSWER");  // PASS, REFER or STOP
}} catch {{
  console.log("NO_ANSWER");                             // never a yes
}}
"""

SNIPPETS: Final = (("curl", CURL), ("Python", PYTHON), ("JavaScript", JAVASCRIPT))


def snippets(url: str) -> list[tuple[str, str]]:
    """Return (language, text) of every snippet for the register at `url`."""
    return [(name, text.format(url=url, question=QUESTION)) for name, text in SNIPPETS]
