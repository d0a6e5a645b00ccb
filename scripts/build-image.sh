#!/usr/bin/env bash
# Builds a target of the Dockerfile as transcriber-worker:VERSION (the others: transcriber-worker:VERSION-exporter, ...).
#
#   scripts/build-image.sh [TARGET] [OPTION...]
#
# TARGET: worker (default), worker-torch, worker-model, exporter. Options go to the builder: docker, or else buildah:
#
#   scripts/build-image.sh worker --build-arg BASE_IMAGE=my-registry/python:3.12-slim
#   scripts/build-image.sh worker-model --build-arg MODEL=small
#   scripts/build-image.sh exporter --secret id=pip,src=pip.conf --tag my-registry/transcriber-exporter:1
#
# BUILDER=buildah chooses one, REPOSITORY=my-registry/transcriber-worker another name.
set -euo pipefail
cd "$(dirname "$0")/.."

target=worker
if [[ ${1:-} != "" && ${1:-} != -* ]]; then
	target=$1
	shift
fi
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/transcriber_worker/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || true)
suffix=${target#worker}
suffix=${suffix#-}

for candidate in ${BUILDER:-docker buildah}; do
	case $candidate in
	docker) docker info >/dev/null 2>&1 && builder=(docker build) && break ;;
	# HEALTHCHECK and SHELL are Docker's own: OCI's image format would drop them.
	*) command -v "$candidate" >/dev/null && builder=("$candidate" build --format docker --layers) && break ;;
	esac
done
[[ -n ${builder:-} ]] || {
	echo "no builder: start Docker, or install buildah or podman" >&2
	exit 1
}

"${builder[@]}" --file Dockerfile --target "$target" \
	--build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
	--tag "${REPOSITORY:-transcriber-worker}:$version${suffix:+-$suffix}" "$@" .
