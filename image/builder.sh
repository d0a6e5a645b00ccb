#!/bin/sh
# What builds: pip in an environment of its own, and the image's environment, still empty and without pip. Called by the
# Dockerfile, in stages of which nothing but that environment is kept.
set -eu

if ! python3 -c 'import ensurepip' 2>/dev/null; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends python3-venv
fi
python3 -m venv /build
python3 -m venv --without-pip /opt/transcriber-worker
