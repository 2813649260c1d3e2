#!/bin/sh
# First process of a machine of the NFS lab: devices, modules, network, then the agent that takes the lab's commands.
# The kernel command line gives lab.name, lab.address (with prefix length), lab.hosts (name=address,name=address)
# and lab.disk, its device.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /run /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp

while read -r module; do
  insmod "/lib/modules/$module" || echo "lab: module $module was not loaded"
done </lib/modules/order

value() { tr ' ' '\n' </proc/cmdline | sed -n "s/^lab\.$1=//p"; }

hostname "$(value name)"
DISK=$(value disk)
export DISK # for nfs-server.sh
echo "127.0.0.1 localhost" >/etc/hosts
value hosts | tr ',' '\n' | sed -n 's/^\(.*\)=\(.*\)$/\2 \1/p' >>/etc/hosts
printf 'root:x:0:0:root:/:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\n' >/etc/group
ip link set lo up
for device in /sys/class/net/eth0 /sys/class/net/vec0; do
  [ -e "$device" ] || continue # QEMU's network card, or that of user mode
  ip address add "$(value address)" dev "${device##*/}"
  ip link set "${device##*/}" up
done

# This process opens the ports and every child inherits them: 3 the log, 4 and 5 the commands and their answers.
if [ -n "$(ls /sys/class/virtio-ports)" ]; then
  # Each can be opened once only.
  for port in /sys/class/virtio-ports/*; do
    case $(cat "$port/name") in
      log) exec 3>"/dev/${port##*/}" ;;
      command) exec 4<>"/dev/${port##*/}" 5>&4 ;;
    esac
  done
else
  exec 3>/dev/ttyS0
  stty -F /dev/ttyS0 raw -echo
  mkfifo /run/commands /run/answers
  nc -l -p 7 </run/answers >/run/commands &
  exec 4<>/run/commands 5>/run/answers
fi
# The host tells a machine that gets no processor time from one that has nothing to say.
while sleep 1; do echo "lab: beat" >&3; done &
. /lab/agent.sh
