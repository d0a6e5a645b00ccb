"""Serves what the worker knows of itself to probes and to Prometheus, and asks another worker's."""

import http.client
import json
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from transcriber_worker.observability.health import HealthState, Verdict
from transcriber_worker.observability.http_server import REQUEST_TIMEOUT_S, HttpServer, metrics_route, verdict_page


class HealthServer(HttpServer):
    """Serves /livez, /readyz and /metrics."""

    def __init__(
        self,
        state: HealthState,
        registry: CollectorRegistry,
        host: str,
        port: int,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        """Listen on `host`:`port` (0: any free port); raises `WorkerBroken` where that can't be had."""
        routes = {
            "/livez": lambda _accept: verdict_page(state.liveness()),
            "/readyz": lambda _accept: verdict_page(state.readiness()),
            "/metrics": metrics_route(registry),
        }
        super().__init__(routes, host, port, section="observability", request_timeout_s=request_timeout_s)


def probe(url: str, timeout_s: float = 3.0) -> Verdict:
    """Ask a worker's own /livez or /readyz, past any proxy; no answer is no health."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return Verdict(ok=False, body={"status": "not asked", "why": "write http://host:port/livez"})
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/livez")
        response = connection.getresponse()
        body = json.loads(response.read(65_536))
        return Verdict(response.status == 200, body if isinstance(body, dict) else {"status": str(body)})
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Verdict(ok=False, body={"status": "no answer", "why": f"{type(error).__name__}: {error}"})
    finally:
        connection.close()
