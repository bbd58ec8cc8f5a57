#!/usr/bin/env bash
# Removes a node, dead or alive, from the cluster of the seed nodes in the configuration; exit status 0 when it is gone.
set -u
USAGE="[-c CONF_DIR] IP META_PORT"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
[ $# -ge 2 ] || { echo "usage: $(basename "$0") ${USAGE}" >&2; exit 2; }
TARGET=("${@: -2}")
read_options "c:" "${@:1:$#-2}"

cd "$HOME_DIR" || exit 1
exec "$PYTHON" -m iotdb_cluster -r "${TARGET[@]}" -c "$CONF_DIR"
