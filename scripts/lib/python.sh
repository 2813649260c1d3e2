# shellcheck shell=bash
# Sourced by the scripts: where this checkout is, and a Python that requirements.lock was made for.

set -euo pipefail

# shellcheck disable=SC2034 # for the script that sources this
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

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

# Prints the first Python of the lock's versions that can make virtual environments; fails if there is none.
find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -I -c '
import ensurepip, sys, sysconfig, venv
usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
sys.exit(not (usual and (3, 11) <= sys.version_info < (3, 15)))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# Installs one with apt-get: the distribution's own first, then those that it offers by name.
install_python() {
  local version found
  found=$(python3 -VV 2>/dev/null | head -n 1) || found="no python3"
  command -v apt-get >/dev/null ||
    die "CPython 3.11 to 3.14 with the modules venv and ensurepip is needed, here is ${found}: install it, then run this again."
  echo "==> installing Python with apt-get" >&2
  as_root apt-get update -qq || die "apt-get update failed (see above): check this machine's package sources and network."
  for version in 3 3.14 3.13 3.12 3.11; do
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version" "python$version-venv" ca-certificates >/dev/null 2>&1 || continue
    ! find_python >/dev/null || return 0
  done
  die "CPython 3.11 to 3.14 with the modules venv and ensurepip is needed, and apt-get offers none (here is ${found}): install one, then run this again."
}

# Prints what find_python finds, after an installation if need be.
ensure_python() {
  find_python >/dev/null || install_python
  find_python
}
