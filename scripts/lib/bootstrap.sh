# shellcheck shell=bash
# Sourced by every script: gives PYTHON, a virtual environment that holds exactly what requirements.lock pins.
# The environment is kept in the cache under the hash of the lock file, so a second run only looks it up.

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${STAN_FT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stan-ft}
export STAN_FT_CACHE=$CACHE
export PYTHONPATH=$REPO${PYTHONPATH:+:$PYTHONPATH}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root to install Debian packages ($*): run it as root, or install sudo first."
  fi
}

# Prints the first Python that is new enough and can make virtual environments; fails if there is none.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

install_python() {
  command -v apt-get >/dev/null ||
    die "Python 3.11 or later with the venv module is needed, and this is no Debian or Ubuntu: install it, then run this again."
  echo "==> installing Python with apt-get" >&2
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv ca-certificates >/dev/null
  find_python >/dev/null ||
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3.11 python3.11-venv >/dev/null
}

# Makes the virtual environment in directory $1 with the Python $2, under a lock, once.
make_venv() {
  local venv=$1 python=$2 started=$SECONDS
  mkdir -p "$(dirname "$venv")"
  exec 9>"$venv.lock"
  flock 9
  if [ ! -e "$venv/.complete" ]; then
    echo "==> Python packages from requirements.lock" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --disable-pip-version-check -q --no-deps --require-hashes --only-binary :all: -r "$REPO/requirements.lock" >&2 ||
      die "the Python packages could not be installed (see above): check that this machine reaches a Python package index, then run this again."
    touch "$venv/.complete"
    echo "    done in $((SECONDS - started)) s" >&2
  fi
  exec 9>&-
}

bootstrap() {
  local python key
  find_python >/dev/null || install_python
  python=$(find_python) || die "no Python 3.11 or later with the venv module was found: install it, then run this again."
  key=$({ cat "$REPO/requirements.lock"; "$python" -VV; echo "$python"; } | sha256sum | cut -c1-16)
  # shellcheck disable=SC2034 # for the script that sources this
  PYTHON=$CACHE/venv/$key/bin/python
  [ -e "$CACHE/venv/$key/.complete" ] || make_venv "$CACHE/venv/$key" "$python"
}

bootstrap
