#!/usr/bin/env bash
# Pins every dependency by hash into requirements/, for each Python that is supported. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # python version, name, extra arguments
	local python=$1 name=$2
	shift 2
	uv pip compile pyproject.toml --quiet --universal --no-emit-index-url --no-annotate --generate-hashes \
		--python-version "$python" --custom-compile-command "make lock" \
		--output-file "requirements/$name-py${python/./}.txt" "$@"
}

for python in 3.11 3.12 3.13; do
	compile "$python" dev --extra dev "${@}"
	# The runtime is a subset of what is tested: the same versions, by constraint.
	compile "$python" runtime --constraint "requirements/dev-py${python/./}.txt" requirements/build.in "${@}"
	compile "$python" cuda --extra cuda --constraint "requirements/dev-py${python/./}.txt" requirements/build.in "${@}"
done
