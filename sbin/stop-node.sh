#!/usr/bin/env bash
# Stops the node of a configuration folder: it makes everything durable, ends within seconds, and this waits for it.
set -u
USAGE="[-c CONF_DIR]"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_options "c:" "$@"

FOLDER="$(node_folder)" || exit 2
PID="$(running_pid "$FOLDER")" || fail "no node runs in $FOLDER"
kill -TERM "$PID" || exit 1
for _ in $(seq 200); do
  is_node "$PID" || { echo "node stopped (process $PID)"; exit 0; }
  sleep 0.1
done
fail "process $PID has not ended after 20 s; its data is safe if you end it with: kill -KILL $PID"
