#!/usr/bin/env bash
# Builds the image where there is no Docker and no registry of images, and tries it: as root, with
# Debian's buildah and mmdebstrap. What it is given goes to `buildah build`.
#
#   apt-get install --no-install-recommends buildah mmdebstrap
#   deploy/try-image.sh --volume /etc/ssl/certs:/etc/ssl/certs:ro
#
# BASE=python:3.12-slim: that image, fetched. Otherwise Debian's own Python stands in for it.
set -euo pipefail
cd "$(dirname "$0")/.."

place=$(mktemp -d)
store=(buildah --root "$place/store" --runroot "$place/run")
container=
finish() {
	[ -z "$container" ] || "${store[@]}" rm "$container" >/dev/null || true
	# What is still mounted is not removed.
	"${store[@]}" rmi --all --force >/dev/null || true
	umount "$place/store/overlay" 2>/dev/null || true
	rm -rf --one-file-system "$place"
}
trap finish EXIT

say() { printf '%s\n' "== $*"; }

if [ -z "${BASE:-}" ]; then
	say "a base of Debian's packages"
	mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip \
		--dpkgopt=path-exclude='/usr/share/doc/*' --dpkgopt=path-exclude='/usr/share/man/*' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin' \
		--customize-hook='ln -s python3 "$1/usr/bin/python"' \
		bookworm "$place/base.tar"
	container=$("${store[@]}" from scratch)
	"${store[@]}" add --quiet "$container" "$place/base.tar" / >/dev/null
	BASE=localhost/python:debian
	"${store[@]}" commit --quiet --rm "$container" "$BASE" >/dev/null
	container=
	rm "$place/base.tar"
fi

say "the image, on $BASE"
"${store[@]}" build --isolation chroot --format docker --layers --build-arg BASE="$BASE" \
	--file deploy/Dockerfile --tag localhost/tickgate "$@" . >"$place/build.log" 2>&1 ||
	{ tail -30 "$place/build.log" >&2; exit 1; }
"${store[@]}" inspect --type image --format '{{.Manifest}}' localhost/tickgate |
	grep -o '"size":[0-9]*' | tail -n +2 | sed 's/"size":/layer, bytes: /'

container=$("${store[@]}" from localhost/tickgate)
inside() { "${store[@]}" run --isolation chroot "$container" -- "$@"; }

say "who it is, and what it may write"
inside tickgate --version
inside sh -ec '
	test "$(id -u):$(id -g)" = 10001:10001
	find / -xdev -writable ! -type l ! -path "/tmp*" ! -path "/var/tmp*" ! -path "/run/lock*" \
		! -path "/dev/*" ! -path "$PWD*" >/tmp/writable 2>/tmp/unreadable || true
	if grep . /tmp/writable; then exit 1; fi
	if command -v redis-server gcc; then exit 1; fi'

say "a gateway without its Redis is alive, and ends when it is told to"
inside sh -ec '
	export TICKGATE_GATEWAY_PORT=18787 TICKGATE_ADMIN_ENABLED=false REDIS_URL=redis://127.0.0.1:1/0
	if healthcheck 18787 2>/dev/null; then exit 1; fi
	tickgate gateway & gateway=$!
	tries=0
	until healthcheck 18787 2>/dev/null; do
		tries=$((tries + 1)); test $tries -lt 100; sleep 0.2
	done
	kill -TERM $gateway
	wait $gateway'
say "the image is as it should be"
