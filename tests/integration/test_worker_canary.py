"""A secret in every kind of input is looked for everywhere the worker writes."""

import json
from pathlib import Path
from typing import Any

import av
import pytest

from tests.chaos.deployment import BRIEF, Deployment, WorkerProcess, deployed, free_port, probe, until
from tests.chaos.worker_under_test import Plan
from transcriber_worker.domain.job import Job
from transcriber_worker.messages.events import parse_job
from transcriber_worker.observability import events
from transcriber_worker.pipeline.milestones import Milestone
from transcriber_worker.pipeline.records import JobState


def canary(where: str) -> str:
    """A secret that says where it was put."""
    return f"CANARY{where.encode().hex()}"


PLACES = ("attribute", "prompt", "hotword", "tag", "header", "tracestate", "bad traceparent", "url path", "url query",
          "http url", "broken body", "wrong value", "newer version", "event", "playlist", "rubbish", "environment",
          "variable name", "config comment")  # fmt: skip
ECHOED = frozenset({"attribute"})
"""Given back to the caller in events and transcripts, by contract."""


def tagged_recording(path: Path) -> Path:
    """Real speech in a file whose tags hold a secret."""
    with av.open(str(BRIEF)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("flac", rate=16_000)
        assert isinstance(stream, av.AudioStream)
        for tag in ("title", "artist", "comment", "lyrics"):
            target.metadata[tag] = canary("tag")
        for frame in source.decode(audio=0):
            frame.pts = None
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    assert canary("tag").encode() in path.read_bytes()
    return path


def publish_bad(deployment: Deployment) -> int:
    """Everything that ends as a dead letter; returns how many letters there must be."""
    name = f"p/{canary('url path')}{'x' * 20}/n/ns/b/bk/o/call.wav"
    bodies: list[bytes | dict[str, Any]] = [
        {"source": f"https://files.example.com/{name}?token={canary('url query')}"},
        {"source": f"https://not-allowed.example.com/{name}?token={canary('url query')}"},
        {"source": f"https://user:{canary('url query')}@files.example.com/call.wav"},
        {"source": f"http://files.example.com/{canary('http url')}?token={canary('http url')}"},
        {"source": "file:///x.wav", "output": f"https://files.example.com/{canary('url path')}/"},
        f'{{"source": "{canary("broken body")}'.encode(),
        b"\xff" + canary("broken body").encode(),
        {"source": {"password": canary("wrong value")}, "speed": canary("wrong value"),
         "language": canary("wrong value"), "clip": canary("wrong value"), "task": canary("wrong value"),
         "attributes": [canary("wrong value")], "reply_to": f"/{canary('wrong value')}"},
        {"version": 2, "source": canary("newer version"), canary("newer version"): canary("newer version")},
        {"eventType": "com.oraclecloud.objectstorage.createobject", "data": {"resourceName": 5,
         "additionalDetails": {"bucketName": canary("event")}}},
    ]  # fmt: skip
    for body in bodies:
        deployment.publish(body)
    contents = {"list.mp3": f"ffconcat version 1.0\nfile {canary('playlist')}.wav\n",
                "rubbish.mp3": canary("rubbish") * 300}  # fmt: skip
    for file, content in contents.items():
        (deployment.root / file).write_text(content)
        deployment.submit(deployment.root / file, file)
    return len(bodies) + len(contents)


def submit_secretive(deployment: Deployment) -> Job:
    """A good job whose every free field holds a secret."""
    recording = tagged_recording(deployment.root / "tagged.flac")
    options = {"attributes": {"tenant": canary("attribute")}, "prompt": canary("prompt"),
               "hotwords": [canary("hotword")], "word_timestamps": True}  # fmt: skip
    assert deployment.office.shelve is not None
    request = {"source": str(deployment.office.shelve(recording, "secretive.flac")), **options}
    headers = {"x-api-key": canary("header"), "tracestate": f"vendor={canary('tracestate')}",
               "traceparent": canary("bad traceparent")}  # fmt: skip
    deployment.publish(request, headers)
    return parse_job(json.dumps(request).encode(), {}, deployment.office.places.rules, published_at=0.0)


def letters_without_the_message(deployment: Deployment) -> str:
    """The letters less what they keep of the message itself, by design: its body and headers."""
    kept = ("body", "body_base64", "headers")
    letters = deployment.letters().values()
    return json.dumps([{key: value for key, value in letter.items() if key not in kept} for letter in letters])


def told(deployment: Deployment, worker: WorkerProcess, metrics: str) -> dict[str, str]:
    """Everything that the worker wrote for somebody else, by where."""
    outputs = {name: body.decode() for name, body in deployment.outputs().items()}
    return {
        "log": worker.log.read_text(),
        "metrics": metrics,
        "results": json.dumps(deployment.results()),
        "dead letters": letters_without_the_message(deployment),
        **outputs,
    }


@pytest.mark.timeout(200)
def test_no_secret_of_any_input_is_told_to_anybody(tmp_path: Path) -> None:
    port = free_port()
    with deployed(
        tmp_path,
        storage={"allowed_sources": ["https://files.example.com/"]},
        observability={"http_host": "127.0.0.1", "http_port": port, "log_level": "debug", "progress_events": True},
        worker={"max_attempts": 1, "progress_s": 0.001},
    ) as deployment:
        job = submit_secretive(deployment)
        expected_letters = publish_bad(deployment)
        log = tmp_path / "at.log"
        worker = deployment.start(
            Plan(milestone=Milestone.WINDOW_SUBMITTED, jobs=(job.id,), signal="SIGWINCH", log=str(log), pace=0.2),
            environment={"CLOUD_SECRET": canary("environment"), canary("variable name"): "1"},
            comment=canary("config comment"),
        )
        until(log.exists, "the job is at work")
        children = worker.children()
        assert children
        environments = "".join(Path(f"/proc/{child}/environ").read_text() for child in children)
        deployment.run_to_end(job)
        until(lambda: not deployment.messages(), "every message settled")
        assert len(deployment.letters()) == expected_letters
        record = deployment.record(job)
        assert record is not None
        assert record.state is JobState.DONE
        until(lambda: len(worker.lines(events.DELIVERY_INVALID)) == 9, "all logged")
        found = told(deployment, worker, probe(port, "/metrics")[1])
        assert canary("attribute") in found["results"]
        assert canary("attribute") in found["secretive.flac.json"]
        assert "transcriber_dead_letters_total" in found["metrics"]
        found["environment of media processes"] = environments
        leaks = {(place, where) for place in PLACES for where, text in found.items() if canary(place) in text}
        assert leaks == {(place, where) for place in ECHOED for where in ("results", "secretive.flac.json")}
