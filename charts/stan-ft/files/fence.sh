#!/bin/sh
# Ends an active server that can no longer be sure of its lock, because the server itself never looks at it again.
#
# Two processes, because one that waits for a silent NFS server cannot even be killed:
#   checker  An NFS lock belongs to the lease of the node's NFS client, and so does the checker's own lock on a file
#            beside the store: when the lease is lost, both are. The kernel then refuses every write through the locked
#            file (EIO), the only sign of it that a process gets. So it writes one byte through, again and again.
#   watcher  Reads what the checker finds, and touches no file. It ends the server at once when the lease was lost, and
#            an active server also when there was no answer for FENCE_LIMIT, before the lease lets another one in.
# What an ended server left in the kernel is written once the NFS server answers again: guard.pl keeps it out.
# Environment: FENCE_VOLUME (mount point), FENCE_INTERVAL and FENCE_LIMIT in seconds (limit 0: half the lease),
# FENCE_MONITOR (URL of the server's monitoring port), POD_NAME.
set -u
say() { echo "fence: $*" >&2; }

# One file per pod and boot of its node: a lock that a dead node left behind is in nobody's way.
read -r boot </proc/sys/kernel/random/boot_id
folder=$FENCE_VOLUME/.fence
own=$folder/$POD_NAME.${boot%%-*}

state() { # the own server's: FT_ACTIVE, FT_STANDBY, or nothing if it gives no answer
  # Not its own -T, with which the wget of busybox 1.35 crashes.
  (timeout 2 wget -q -O - "$FENCE_MONITOR/streaming/serverz") 2>/dev/null | sed -n 's/.*"state": "\([A-Z_]*\)".*/\1/p'
}

hold() { # open and lock our file; file descriptor 8 from then on
  mkdir -p "$folder" && rm -f "$folder/$POD_NAME".* && command exec 8<>"$own" && flock -n 8
}

checker() {
  while true; do
    until hold; do
      say "cannot lock $own yet"
      sleep 1
    done
    echo holding
    while message=$(dd if=/dev/zero bs=1 count=1 conv=notrunc,fsync 2>&1 >&8) || full; do
      echo fine
      sleep "$FENCE_INTERVAL"
    done
    echo "lost ${message##*: }"
    exec 8>&-
  done
}

full() { # no room says nothing about the lock
  case $message in *"No space left"* | *"uota exceeded"*) return 0 ;; esac
  return 1
}

watcher() {
  silent=''
  look
  while true; do
    last=$moment
    # shellcheck disable=SC3045 # busybox has it
    if read -r -t "$limit" news rest; then
      look
      if [ $((moment - last)) -gt "$limit" ]; then
        end_server "this node stood still for $((moment - last)) s"
      fi
      case $news in
        fine)
          [ -z "$silent" ] || say "the store answers again"
          silent=''
          ;;
        holding)
          silent=''
          say "holds $own; lease ${lease:-unknown} s, limit $limit s, every $FENCE_INTERVAL s"
          ;;
        lost)
          # After a silence there is only a server that stood by, or one that began since: neither had this lease's lock.
          if [ -n "$silent" ]; then
            say "the lease was lost ($rest)"
          else
            end_server "its lease was lost ($rest)"
          fi
          ;;
      esac
    elif look && [ $((moment - last)) -lt "$limit" ]; then
      say "the checker ended"
      exit 1
    elif [ -z "$silent" ]; then
      silent=yes
      if [ "$(state)" = FT_STANDBY ]; then
        say "the store gave no answer for $limit s; the server stands by and stays"
      else
        end_server "the store gave no answer for $limit s"
      fi
    fi
  done
}

look() { # seconds since boot, without starting a program
  read -r moment _ </proc/uptime
  moment=${moment%.*}
}

end_server() {
  for process in $(pidof nats-streaming-server); do
    kill -KILL "$process" && say "ended the server (process $process): $1"
  done
}

# Without one of them it would take every look for a silent store, and end a healthy server.
for program in awk dd flock mkdir pidof rm sed sleep timeout wget; do
  command -v "$program" >/dev/null || {
    say "this image has no $program: set fence.image to one that has it, such as nats-streaming:0.25.6-alpine"
    exit 1
  }
done
lease=$(awk -v where="$FENCE_VOLUME" '$1 == "device" { ours = ($5 == where) } ours' /proc/self/mountstats |
  sed -n 's/.*lease_time=\([0-9]*\).*/\1/p')
limit=$FENCE_LIMIT
[ "$limit" -gt 0 ] || limit=$((${lease:-60} / 2))
checker | watcher
