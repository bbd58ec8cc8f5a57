#!/usr/bin/env bash
# Starts a node that is to join the running cluster of its seed nodes: in the foreground, or with -d in the background.
set -u
USAGE="[-c CONF_DIR] [-d]"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_options "c:d" "$@"
start_node -a
