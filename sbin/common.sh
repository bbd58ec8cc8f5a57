# Shared by the scripts beside it: where this installation is, which Python runs it, what -c and -d say.
HOME_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CONF_DIR="$HOME_DIR/conf"
BACKGROUND=0

if [ -n "${IOTDB_PYTHON:-}" ]; then
  PYTHON="$IOTDB_PYTHON"
elif [ -x "$HOME_DIR/.venv/bin/python" ]; then
  PYTHON="$HOME_DIR/.venv/bin/python"
else
  PYTHON=python3
fi

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Python 3.11 or later with this project's libraries, or a line that says what is missing. Nothing is imported for it.
check_python() {
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$PYTHON: is no Python 3.11 or later; IOTDB_PYTHON names another"
  "$PYTHON" -c 'import sys
from importlib.util import find_spec
sys.exit(not all(map(find_spec, ("numpy", "pyarrow", "structlog", "thriftpy2", "yaml"))))' ||
    fail "$PYTHON: lacks what a node needs: say '$PYTHON -m pip install $HOME_DIR', or name another by IOTDB_PYTHON"
}

# Reads the options; $1 names those that this script takes.
read_options() {
  local taken="$1" option
  shift
  while getopts ":$taken" option; do
    case "$option" in
      c) CONF_DIR="$OPTARG" ;;
      d) BACKGROUND=1 ;;
      *) echo "usage: $(basename "$0") ${USAGE}" >&2; exit 2 ;;
    esac
  done
  shift $((OPTIND - 1))
  [ $# -eq 0 ] || { echo "usage: $(basename "$0") ${USAGE}" >&2; exit 2; }
  check_python
  local named="$CONF_DIR"
  CONF_DIR="$(cd "$named" 2>/dev/null && pwd)" || fail "$named: there is no such configuration folder; -c names one"
}

# The folder of the node that CONF_DIR describes; what is wrong with the configuration is on standard error.
node_folder() {
  (cd "$HOME_DIR" && "$PYTHON" -m iotdb_cluster --folder -c "$CONF_DIR")
}

# True while process $1 is a node. One that has ended has no command line any more, also where nothing asks for its exit
# status (a container without an init keeps it as a zombie, which a signal still reaches).
is_node() {
  tr '\0' ' ' 2>/dev/null < "/proc/$1/cmdline" | grep -q 'iotdb_cluster'
} 2>/dev/null

# Prints the process that serves from folder $1, if there is one. A number that another process got meanwhile is not it.
running_pid() {
  local pid
  [ -s "$1/node.pid" ] && pid="$(cat "$1/node.pid")" && is_node "$pid" || return 1
  echo "$pid"
}

# Runs a node with mode $1: in the foreground, or in the background until its ports are open.
start_node() {
  local folder pid
  cd "$HOME_DIR" || exit 1
  if [ "$BACKGROUND" -eq 0 ]; then
    exec "$PYTHON" -m iotdb_cluster "$1" -c "$CONF_DIR"
  fi
  folder="$(node_folder)" || exit 2
  if pid="$(running_pid "$folder")"; then
    fail "the node in $folder runs already as process $pid"
  fi
  mkdir -p "$folder/log" && rm -f "$folder/node.pid" || exit 1
  nohup "$PYTHON" -m iotdb_cluster "$1" -c "$CONF_DIR" < /dev/null >> "$folder/log/output.txt" 2>&1 &
  pid=$!
  # The node writes its pid file when it serves.
  for _ in $(seq 300); do
    if [ -s "$folder/node.pid" ]; then
      echo "node started as process $pid, log in $folder/log"
      exit 0
    fi
    kill -0 "$pid" 2>/dev/null || { tail -n 1 "$folder/log/output.txt" >&2; exit 1; }
    sleep 0.1
  done
  fail "process $pid does not serve after 30 s, see $folder/log"
}
