#!/bin/sh
# What every image starts from, on whatever base: a Python, CA certificates, the user, the places that volumes go to.
# Called by the Dockerfile.
set -eu

if ! command -v python3 >/dev/null || ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends ca-certificates python3
	apt-get clean
	rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log
fi
python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
	echo "this base has $(python3 --version): choose one with Python 3.11, 3.12 or 3.13" >&2
	exit 1
}

# The chart's podSecurityContext names the same numbers. The home is what is writable below a read-only root.
groupadd --gid 10001 transcriber
useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --no-log-init --shell /usr/sbin/nologin transcriber
# A new volume takes over the owner of the folder that it is mounted on.
install -d -o 10001 -g 10001 /data /models /scratch
