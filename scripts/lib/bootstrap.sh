# shellcheck shell=bash
# Sourced by every script: gives PYTHON, a virtual environment that holds exactly what requirements.lock pins.
# The environment is kept in the cache under the hash of the lock file, so a second run only looks it up.

. "$(dirname "${BASH_SOURCE[0]}")/python.sh"

CACHE=${STAN_FT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stan-ft}
export STAN_FT_CACHE=$CACHE
export PYTHONPATH=$REPO${PYTHONPATH:+:$PYTHONPATH}

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
  python=$(ensure_python)
  key=$({ cat "$REPO/requirements.lock"; "$python" -VV; echo "$python"; } | sha256sum | cut -c1-16)
  # shellcheck disable=SC2034 # for the script that sources this
  PYTHON=$CACHE/venv/$key/bin/python
  [ -e "$CACHE/venv/$key/.complete" ] || make_venv "$CACHE/venv/$key" "$python"
}

bootstrap
