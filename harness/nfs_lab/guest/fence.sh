#!/bin/sh
# Ends this pod's server as soon as it may have lost the store's lock, because the server itself never looks again.
#
# An NFS lock belongs to the lease of the node's NFS client, and so does this script's own lock on a file beside the
# store: when the lease is lost, both are. The kernel then refuses every write through the locked file (EIO), which is
# the only sign of it that a process gets. So: write one byte through to the server again and again.
#   refused   the lease was lost, somebody else may be active: end the server at once
#   no answer for FENCE_LIMIT seconds: end an active server while its lease still keeps the others out
# Environment: FENCE_VOLUME (mount point), FENCE_INTERVAL and FENCE_LIMIT in seconds (limit empty: half the lease),
# FENCE_MONITOR (URL of the server's monitoring port), POD_NAME.
set -u
say() { echo "fence: $*"; }

mount_entry() { # this volume's part of the kernel's statistics of mounts
  awk -v where="$FENCE_VOLUME" '$1 == "device" { ours = ($5 == where) } ours' /proc/self/mountstats
}
lease=$(mount_entry | sed -n 's/.*lease_time=\([0-9]*\).*/\1/p')
limit=${FENCE_LIMIT:-}
[ -n "$limit" ] || limit=$((${lease:-60} / 2))

folder=$FENCE_VOLUME/.fence
# One file per pod and boot of its node: a lock that a dead node left behind is in nobody's way.
own=$folder/$POD_NAME.$(cut -c1-8 /proc/sys/kernel/random/boot_id)

hold() {
  mkdir -p "$folder" && rm -f "$folder/$POD_NAME".* && exec 8<>"$own" && flock -n 8
}

check() { # one byte through the locked file, written through to the server
  message=$(timeout -s KILL "$limit" dd if=/dev/zero bs=1 count=1 conv=notrunc,fsync 2>&1 >&8)
}

end_server() {
  for pid in $(pidof nats-streaming-server); do
    kill -KILL "$pid" && say "ended the server (process $pid): $1"
  done
}

standby() {
  wget -q -T 1 -O - "$FENCE_MONITOR/streaming/serverz" 2>/dev/null | grep -q FT_STANDBY
}

until hold; do
  say "cannot lock $own yet"
  sleep 1
done
say "holds $own; lease ${lease:-unknown (not NFSv4)} s, limit $limit s, every $FENCE_INTERVAL s"
while sleep "$FENCE_INTERVAL"; do
  check
  case $?:$message in
    0:* | *"No space left"* | *"quota exceeded"*) continue ;;
    137:* | 143:*)
      if standby; then
        say "the store gives no answer for $limit s; this server stands by and stays"
        continue
      fi
      end_server "the store gave no answer for $limit s"
      ;;
    *) end_server "the lease was lost (${message##*: })" ;;
  esac
  exec 8>&-
  until hold; do sleep 1; done
  say "holds its lock again"
done
