#!/usr/bin/env bash
# Pins every dependency by hash into requirements/, for each Python that is supported. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."

extra=("$@")

compile() { # python version, name, inputs and options
	local python=$1 name=$2
	shift 2
	uv pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes \
		--python-version "$python" --custom-compile-command "make lock" \
		--output-file "requirements/$name-py${python/./}.txt" "$@" "${extra[@]}"
}

for python in 3.11 3.12 3.13; do
	# Everything else is a subset of what is tested: the same versions, by constraint.
	tested=(--constraint "requirements/dev-py${python/./}.txt")
	compile "$python" dev pyproject.toml --extra dev
	compile "$python" runtime pyproject.toml requirements/build.in "${tested[@]}"
	# The image's: what builds the package stays in the stage that builds it.
	compile "$python" build requirements/build.in "${tested[@]}"
	compile "$python" cuda pyproject.toml --extra cuda "${tested[@]}"
	compile "$python" torch pyproject.toml --extra cuda --extra torch-encoder "${tested[@]}"
	compile "$python" exporter requirements/exporter.in "${tested[@]}"
done
# A tool of the docs' tests, in an environment of its own: one lock for all.
uv pip compile --quiet --universal --no-emit-index-url --no-annotate --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" --output-file requirements/oci-cli.txt requirements/oci-cli.in "${extra[@]}"
