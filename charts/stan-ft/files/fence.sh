#!/bin/sh
# Keeps an active server that lost its lock from doing harm, because the server itself never looks at its lock again.
#
# Three processes, because one that waits for a silent NFS server cannot even be killed:
#   checker  An NFS lock belongs to the lease of the node's NFS client, and so does the checker's own lock on a file
#            beside the store: when the lease is lost, both are. The kernel then refuses every write through the locked
#            file (EIO), the only sign of it that a process gets. So it writes one byte through, again and again.
#   watcher  Reads what the checker finds, and touches no file. It ends the server at once when the lease was lost, and
#            an active server also when there was no answer for FENCE_LIMIT, before the lease lets another one in.
#   keeper   An ended server's writes may still wait in its node's kernel, and a node that was frozen never noticed
#            anything; both would write into the files of the next active. So while there is an active, the lock file
#            is out of the standbys' reach. When its lock is free, one keeper takes it and replaces each file that a
#            server writes to by a copy: what then still comes for the old files finds no file (ESTALE). It also drops
#            what the last power loss left behind the index, which the server would deliver in place of real messages.
#            Only then it puts the lock file back, for the standbys to take.
# Environment: FENCE_VOLUME (mount point), FENCE_STORE (store directory), FENCE_INTERVAL and FENCE_LIMIT in seconds
# (limit 0: half the lease), FENCE_MONITOR (URL of the server's monitoring port), POD_NAME.
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
  silent=
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
        fine) [ -z "$silent" ] || say "the store answers again" ;;
        holding) say "holds $own; lease ${lease:-unknown} s, limit $limit s, every $FENCE_INTERVAL s" ;;
        lost) end_server "its lease was lost ($rest)" ;;
      esac
      silent=
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

lock=$FENCE_STORE/.rootdir.lck
kept=$folder/lock # a second name of the lock file, always in reach

keeper() {
  while sleep "$FENCE_INTERVAL"; do
    if [ ! -L "$lock" ]; then
      [ "$(state)" != FT_ACTIVE ] || close_gate
    elif command exec 6<>"$kept"; then
      # Whoever is active holds it, on this node too: the NFS server tells two owners on one node apart.
      flock -n 6 && open_gate
      exec 6>&-
    fi
  done
}

close_gate() { # a link into a directory that does not exist: a standby gets "no such file", logs it and tries again later
  ln -f "$lock" "$kept" && ln -s -f closed/while-there-is-an-active "$folder/closed" && mv -f "$folder/closed" "$lock" &&
    say "the lock file is out of reach while this server is active"
}

open_gate() {
  [ -L "$lock" ] || return # another keeper was here in the meantime
  say "the active is gone: renewing the store's files"
  for file in "$FENCE_STORE"/clients.dat "$FENCE_STORE"/server.dat "$FENCE_STORE"/*/subs.dat; do
    renew "$file"
  done
  for channel in "$FENCE_STORE"/*/; do
    [ -d "$channel" ] || continue
    # shellcheck disable=SC2012 # these names are numbers
    renew_slice "$channel$(cd "$channel" && ls | sed -n 's/^msgs\.\([0-9]*\)\.dat$/\1/p' | sort -n | tail -n 1)"
  done
  ln -f "$kept" "$folder/open" && mv -f "$folder/open" "$lock" && say "renewed; the lock file is in reach"
}

renew() { # FILE [BYTES]: a copy of its first bytes (default: all) takes its place
  [ -f "$1" ] || return 0
  if ! head -c "${2:-$(stat -c %s "$1")}" "$1" >"$folder/copy" || ! mv -f "$folder/copy" "$1"; then
    say "could not renew $1"
  fi
}

renew_slice() { # CHANNEL/NUMBER: the messages and the index of a channel's last slice
  data=${1%/*}/msgs.${1##*/}.dat
  index=${data%.dat}.idx
  [ -f "$data" ] || return 0
  size=$(stat -c %s "$data")
  keep=$size
  if [ -f "$index" ]; then
    # After 4 bytes of version, 32 per message: sequence 8, offset 8, time 8, size 4, checksum 4 (stores/filestore.go).
    records=$((($(stat -c %s "$index") - 4) / 32))
    if [ "$records" -gt 0 ]; then
      # shellcheck disable=SC2046 # the numbers are to be words: low and high halves, then the size
      set -- "$1" $(head -c 12 "$index" | od -A n -v -t u4) \
        $(tail -c +$((4 + (records - 1) * 32 + 1)) "$index" | head -c 28 | od -A n -v -t u4)
      # An index whose sequence has gaps is damaged: the server will see that, and then needs all the data.
      [ $(($5 - $3)) -ne $((records - 1)) ] || keep=$(($7 + ($8 << 32) + 8 + ${11}))
    fi
  fi
  if [ "$keep" -lt "$size" ]; then
    say "dropping $((size - keep)) bytes behind the index of $data, which nobody was told to be stored"
  else
    keep=$size
  fi
  renew "$data" "$keep"
  renew "$index"
}

lease=$(awk -v where="$FENCE_VOLUME" '$1 == "device" { ours = ($5 == where) } ours' /proc/self/mountstats |
  sed -n 's/.*lease_time=\([0-9]*\).*/\1/p')
limit=$FENCE_LIMIT
[ "$limit" -gt 0 ] || limit=$((${lease:-60} / 2))
keeper &
checker | watcher
