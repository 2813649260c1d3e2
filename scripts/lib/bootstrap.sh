# shellcheck shell=bash
# Sourced by every script: gives PYTHON, of a virtual environment that holds exactly what requirements.lock pins.
# The environment is kept in the cache under the hash of the lock file, so a second run only looks it up.

. "$(dirname "${BASH_SOURCE[0]}")/python.sh"

bootstrap() {
  local python found
  python=$(ensure_python)
  found=$("$python" -I -c 'import sys; sys.path.insert(0, sys.argv[1]); from harness.ground import lockedenv; lockedenv.main()' "$REPO")
  export STAN_FT_CACHE=${found%%$'\n'*}
  # Debian's users have no sbin there, and file systems and routes are made by programs in it.
  export PATH=$PATH:/usr/sbin:/sbin
  export PYTHONPATH=$REPO${PYTHONPATH:+:$PYTHONPATH}
  # What pinned tools keep for later goes away with the cache, and nothing of it is left in the user's home.
  export HELM_CACHE_HOME=${HELM_CACHE_HOME:-$STAN_FT_CACHE/helm}
  export KUBECACHEDIR=${KUBECACHEDIR:-$STAN_FT_CACHE/kube}
  # shellcheck disable=SC2034 # for the script that sources this
  PYTHON=${found#*$'\n'}
}

bootstrap
