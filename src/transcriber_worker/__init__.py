"""transcriber-worker: pulls audio references from a broker and writes transcripts, many files at once."""

import os

__version__ = "0.1.0"

# Read by the libraries when they are first imported, which is after this line whoever the importer is.
# One OpenBLAS thread makes the features of a window three times faster than many that fight over the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Audio is private: the runtime of the speech detector carries telemetry, and so does what downloads from the model hub.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
