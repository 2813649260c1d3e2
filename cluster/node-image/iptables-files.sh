#!/bin/bash
# Prints, from inside the Debian root file system, every file and link that iptables needs in an image of its own:
# programs, extensions (many are links) and the shared libraries of all of them.
set -euo pipefail

programs=(/usr/sbin/xtables-nft-multi /usr/sbin/nft)
extensions=$(find /usr/lib/x86_64-linux-gnu/xtables -name '*.so')
{
  printf '%s\n' "${programs[@]}" "$extensions"
  # A library is looked up under its soname, which is a link to the file with the full version.
  ldd "${programs[@]}" $extensions | grep -o '/[^ ]*' | grep -v ':$' | while read -r library; do
    printf '%s\n%s\n' "$library" "$(readlink -f "$library")"
  done
} | sort -u
