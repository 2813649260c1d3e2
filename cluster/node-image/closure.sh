#!/bin/bash
# Prints, from inside the Debian root file system, every file that the given programs need in an image of their own:
# the programs, plug-ins and other files named by a pattern (for a directory, all that is in it), and the shared
# libraries of all of them. Each line: the path, a tab, the file behind it (links become copies).
set -euo pipefail

programs=()
# shellcheck disable=SC2048,SC2086 # patterns, and names without blanks
wanted=$(find -L $* -type f)
for file in $wanted; do
  # For anything else ldd fails.
  [[ $(head -c 4 "$file") != $'\x7fELF' ]] || programs+=("$file")
done
{
  printf '%s\n' "$wanted"
  # A library is looked up under its soname, which may be a link to the file with the full version.
  [[ ${#programs[@]} -eq 0 ]] || ldd "${programs[@]}" | grep -o '/[^ ]*' | grep -v ':$'
} | sort -u | while read -r file; do
  printf '%s\t%s\n' "$file" "$(readlink -f "$file")"
done
