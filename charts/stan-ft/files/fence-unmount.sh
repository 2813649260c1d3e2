#!/bin/sh
# Has the node's kernel drop what it still holds for the volume, each time that a line comes through a named pipe.
#
# A killed server's writes stay in the kernel for as long as the NFS server is silent, and are sent when it answers. A
# forced unmount ends every request that waits, whichever process and mount namespace it is of (MNT_FORCE acts on the
# superblock), even where the unmounting itself is refused. It needs CAP_SYS_ADMIN, so it is a container of its own.
# Environment: FENCE_VOLUME (mount point), FENCE_UNMOUNT (the named pipe).
set -u

# A busy volume stays mounted. This directory makes it busy.
cd "$FENCE_VOLUME" || exit 1
[ -p "$FENCE_UNMOUNT" ] || mkfifo -m 666 "$FENCE_UNMOUNT" || exit 1
exec 3<>"$FENCE_UNMOUNT"
echo "fence-unmount: ready" >&2
while read -r _ <&3; do
  # In the background: one that waits for the NFS server itself is freed by the next.
  umount -f "$FENCE_VOLUME" 2>/dev/null &
done
