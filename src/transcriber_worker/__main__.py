"""`python -m transcriber_worker`."""

from transcriber_worker.cli import main

if __name__ == "__main__":
    main()
