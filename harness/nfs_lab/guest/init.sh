#!/bin/sh
# First process of a machine of the NFS lab: devices, modules, network, then the agent that takes the lab's commands.
# The kernel command line gives lab.name, lab.address (with prefix length) and lab.hosts (name=address,name=address).
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
echo "127.0.0.1 localhost" >/etc/hosts
value hosts | tr ',' '\n' | sed -n 's/^\(.*\)=\(.*\)$/\2 \1/p' >>/etc/hosts
printf 'root:x:0:0:root:/:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\n' >/etc/group
ip link set lo up
ip address add "$(value address)" dev eth0
ip link set eth0 up

# A port can be opened once only, so this process opens both and every child inherits them: 3 the log, 4 the commands.
for port in /sys/class/virtio-ports/*; do
  case $(cat "$port/name") in
    log) exec 3>"/dev/${port##*/}" ;;
    command) exec 4<>"/dev/${port##*/}" ;;
  esac
done
# The host tells a machine that gets no processor time from one that has nothing to say.
while sleep 1; do echo "lab: beat" >&3; done &
. /lab/agent.sh
