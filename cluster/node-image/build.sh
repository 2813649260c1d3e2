#!/bin/bash
# Runs in a container of the plain Debian root file system and turns it into a kind node, as kind's own Dockerfile
# (images/base/Dockerfile and "kind build node-image") does; /context holds what was built and kind's own files.
set -euo pipefail

cp -r /context/kind-files/. /
chmod 0755 /usr/local/bin/* /kind /kind/bin /kind/bin/*
install -m 0755 /context/containerd/* /usr/local/bin/

find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
  /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
  /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/*
echo ReadKMsg=no >>/etc/systemd/journald.conf
systemctl enable kubelet.service containerd.service undo-mount-hacks.service
systemctl mask systemd-binfmt.service

install -m 0755 /context/bin/{kubeadm,kubelet,kubectl} /usr/bin/
mkdir -p /opt/cni/bin /etc/kubernetes/manifests /kind/manifests
install -m 0755 /context/cni/* /opt/cni/bin/
cp /context/version /kind/version
cp /context/default-cni.yaml /kind/manifests/default-cni.yaml

ctr oci spec |
  jq '.hooks.createContainer[.hooks.createContainer | length] |= . + {"path": "/kind/bin/mount-product-files.sh"}' |
  jq 'del(.process.rlimits)' >/etc/containerd/cri-base.json
# A nested containerd may not lower a process's OOM score below its own where CAP_SYS_RESOURCE is missing.
sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
  -e "s#sandbox_image = .*#sandbox_image = \"$(cat /context/pause-image)\"#" /etc/containerd/config.toml

containerd >/tmp/containerd.log 2>&1 &
daemon=$!
for _ in $(seq 100); do
  ctr version >/dev/null 2>&1 && break
  sleep 0.1
done
ctr --namespace k8s.io images import --no-unpack /context/images.tar
kill "$daemon"
wait "$daemon" || true
rm -rf /tmp/* /var/cache/apt /var/lib/apt/lists /usr/share/doc /usr/share/man /usr/share/locale
