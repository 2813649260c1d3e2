#!/bin/sh
# Turns a machine into the NFS server: nfs-server.sh LEASE GRACE UID:GID (times in seconds). Started again after a reset it finds its
# disk and its list of clients, so that they can reclaim their locks during the grace period as on a real server.
set -e
mkdir -p /disk
grep -q ' /disk ' /proc/mounts || mount -t ext4 "$DISK" /disk
mkdir -p /disk/export /disk/nfs/nfsdcld /disk/nfs/rpc_pipefs
chown "$3" /disk/export
[ -L /var/lib/nfs ] || { rm -rf /var/lib/nfs && ln -s /disk/nfs /var/lib/nfs; }
touch /disk/nfs/etab /disk/nfs/rmtab
mount -t rpc_pipefs rpc_pipefs /disk/nfs/rpc_pipefs
mount -t nfsd nfsd /proc/fs/nfsd
# EFS is mounted with noresvport, and only "insecure" lets such a client in.
echo '/disk/export *(rw,sync,no_subtree_check,no_root_squash,insecure,fsid=0)' >/etc/exports
# EFS gives no delegations; a dead client's delegation would delay a takeover in a way that EFS never does.
echo 0 >/proc/sys/fs/leases-enable
nfsdcld
exportfs -r
rpc.mountd --no-nfs-version 3
rpc.nfsd --no-nfs-version 3 --lease-time "$1" --grace-time "$2" 8
echo "lab: nfs server is up, lease $(cat /proc/fs/nfsd/nfsv4leasetime) s, grace $(cat /proc/fs/nfsd/nfsv4gracetime) s" >&3
