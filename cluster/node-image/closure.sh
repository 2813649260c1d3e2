#!/bin/bash
# Prints, from inside the Debian root file system, every file that the given programs need in an image of their own:
# the programs, plug-ins named by a pattern, and the shared libraries of all of them.
set -euo pipefail

wanted=()
for pattern in "$@"; do
  for file in $pattern; do
    wanted+=("$file")
  done
done
{
  printf '%s\n' "${wanted[@]}"
  # A library is looked up under its soname, which may be a link to the file with the full version.
  ldd "${wanted[@]}" | grep -o '/[^ ]*' | grep -v ':$'
} | sort -u
