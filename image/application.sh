#!/bin/sh
# Installs the project's wheel into the image's environment, as a tree of its own to be laid over the dependencies.
# Called by the Dockerfile.
set -eu

python=/opt/transcriber-worker/bin/python
/build/bin/pip --python "$python" install --quiet --disable-pip-version-check --no-compile --no-deps \
	--root /application /wheel/*.whl
"$python" -m compileall -q --invalidation-mode unchecked-hash -s /application /application
