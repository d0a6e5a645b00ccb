from tests.integration.test_worker_outages import *
from tests.integration.test_worker_outages import _replaced
def test_x(tmp_path):
    with deployed(tmp_path, storage={"state": str(tmp_path/"state")}, worker={"max_attempts":1}) as d:
        jobs=[d.submit(BRIEF, f"brief-{n}.wav") for n in range(3)]
        log = tmp_path / "at.log"
        d.transcripts.mkdir(exist_ok=True)
        w=start_probed(d, Plan(milestone=Milestone.WINDOW_SUBMITTED, signal="SIGWINCH", log=str(log), pace=0.1))
        until(log.exists,"x")
        with _replaced(d.transcripts):
            until(lambda: w.answers("/readyz")==503 or d.letters(), "pause")
            print(d.letters())
            assert not d.letters()
        d.run_to_end(*jobs)
