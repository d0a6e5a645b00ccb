"""transcriber-worker: pulls audio references from a broker and writes transcripts, many files at once."""

__version__ = "0.1.0"
