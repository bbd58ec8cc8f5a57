#!/usr/bin/env bash
# Starts a node: in the foreground, or with -d in the background, with its log and pid file in the node's folder.
set -u
USAGE="[-c CONF_DIR] [-d]"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_options "c:d" "$@"
start_node -s
