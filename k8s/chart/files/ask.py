"""Ask the service for a recommendation. Ends with 0 when it is a real one, or 1 and a line that says why not."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request


def main() -> int:
    request = urllib.request.Request(
        os.environ["SERVICE_URL"] + "/v1/recommendations",
        data=json.dumps({"user_id": "helm-test", "n": 5}).encode(),
        headers={"Authorization": "Bearer " + os.environ["API_KEY"], "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        print(f"{error.code}: {error.read(2000).decode(errors='replace')}")
        return 1
    except (OSError, ValueError) as error:
        print(f"no answer: {error}")
        return 1
    items = answer.get("items")
    if not isinstance(items, list) or not answer.get("recommendation_id"):
        print(f"this is no recommendation: {json.dumps(answer)[:2000]}")
        return 1
    print(f"version {answer.get('model_version')}: {[item['item_id'] for item in items]}")
    if not items and os.environ["ALLOW_EMPTY"] != "true":
        print("the list is empty: import a catalogue first, or set test.allowEmpty")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
