#!/usr/bin/env bash
# Starts a node: in the foreground, or with -d in the background, with its log and pid file in the node's folder.
set -u
USAGE="[-c CONF_DIR] [-d]"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_options "c:d" "$@"

cd "$HOME_DIR" || exit 1
if [ "$BACKGROUND" -eq 0 ]; then
  exec "$PYTHON" -m iotdb_cluster -s -c "$CONF_DIR"
fi

FOLDER="$(node_folder)" || exit 2
if PID="$(running_pid "$FOLDER")"; then
  fail "the node in $FOLDER runs already as process $PID"
fi
mkdir -p "$FOLDER/log" && rm -f "$FOLDER/node.pid" || exit 1
nohup "$PYTHON" -m iotdb_cluster -s -c "$CONF_DIR" < /dev/null >> "$FOLDER/log/output.txt" 2>&1 &
PID=$!
# The node writes its pid file when it serves.
for _ in $(seq 300); do
  if [ -f "$FOLDER/node.pid" ]; then
    echo "node started as process $PID, log in $FOLDER/log"
    exit 0
  fi
  kill -0 "$PID" 2>/dev/null || { tail -n 1 "$FOLDER/log/output.txt" >&2; exit 1; }
  sleep 0.1
done
fail "process $PID does not serve after 30 s, see $FOLDER/log"
