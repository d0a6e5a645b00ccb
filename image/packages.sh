#!/bin/sh
# Installs a lock of requirements/, such as `cuda`, into the image's environment, for its Python. Called by the Dockerfile.
set -eu

name=$1
python=/opt/transcriber-worker/bin/python
version=$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# Wheels only: nothing here could compile, and no setup.py is run.
/build/bin/pip --python "$python" install --quiet --disable-pip-version-check --no-compile \
	--require-hashes --only-binary :all: -r "requirements/$name-py$version.txt"

# Of OCI's SDK, thousands of modules for all its services, only what the worker talks to is compiled.
compile="$python -P -m compileall -q -j 0 --invalidation-mode unchecked-hash"
$compile -x "$packages/oci/" "$packages"
$compile -l "$packages/oci"
for part in _vendor auth circuit_breaker dns fips object_storage pagination queue retry; do
	[ ! -d "$packages/oci/$part" ] || $compile "$packages/oci/$part"
done

# NVIDIA's libraries are most of the image and rarely change: a layer of their own.
mkdir -p "/cuda$packages"
if [ -d "$packages/nvidia" ]; then
	mv "$packages/nvidia" "/cuda$packages/"
	# Found as any library of the system, by whatever process: no search path has to reach the model's.
	mkdir -p /cuda/etc/ld.so.conf.d
	find "/cuda$packages/nvidia" -name 'lib*.so*' -printf '%h\n' | sort -u | sed 's|^/cuda||' \
		>/cuda/etc/ld.so.conf.d/transcriber-worker.conf
fi
