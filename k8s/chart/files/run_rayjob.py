"""Make a RayJob from a template and wait for its end. Ends with 0 when the job succeeded, otherwise 1.

Argument: the template, a RayJob without a name. RAYJOB_NAME is its name: a pod that is started again finds the RayJob
of the first and goes on waiting for it. Needs `create` and `get` on rayjobs, and nothing besides Python.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount"))
POLL_S = float(os.environ.get("POLL_S", "10"))
GIVE_UP_S = 600.0
"""How long the API server may stay away."""


def call(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call of Kubernetes' API. The token is read each time: it is replaced while the pod runs."""
    request = urllib.request.Request(
        url,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": "Bearer " + (ACCOUNT / "token").read_text(), "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=30, context=context) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def main(template: Path) -> int:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    namespace = (ACCOUNT / "namespace").read_text().strip()
    name = os.environ["RAYJOB_NAME"]
    base = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    url = f"{base}/apis/ray.io/v1/namespaces/{namespace}/rayjobs"
    job = json.loads(template.read_text())
    job["metadata"]["name"] = name

    made = False
    said = ""
    answered = time.monotonic()
    while True:
        try:
            if made:
                status = call("GET", f"{url}/{name}").get("status", {})
                answered = time.monotonic()
                state, result = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
                if (state, result) != said:
                    said = (state, result)
                    print(f"{name}: {state} {result} {status.get('message', '')}".rstrip(), flush=True)
                if state in {"Complete", "Failed"}:
                    return 0 if result == "SUCCEEDED" else 1
            else:
                call("POST", url, job)
                made = True
                print(f"made rayjob/{name}", flush=True)
                continue
        except urllib.error.HTTPError as error:
            if error.code == 409:
                made = True
                print(f"rayjob/{name} exists already", flush=True)
                continue
            if error.code in {400, 403, 404, 422}:
                print(f"{error.code}: {error.read(2000).decode(errors='replace')}")
                return 1
            print(f"the API server answers {error.code}", flush=True)
        except OSError as error:
            print(f"the API server does not answer: {error}", flush=True)
        if time.monotonic() - answered > GIVE_UP_S:
            return 1
        time.sleep(POLL_S)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
