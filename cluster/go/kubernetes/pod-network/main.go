// The pod network of a local cluster that is built without a container registry (elsewhere kind's own CNI does this).
//
// One pod on every node's host network watches the nodes. It writes the node's CNI configuration from its own pod range,
// keeps one route per other node, and lets pods reach the world outside by masquerading. As it runs all the time, the
// network comes back by itself after a node was stopped, started, or came back with another address.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	configuration = "/etc/cni/net.d/10-pod-network.conflist"
	// A missed event or a route that someone removed is repaired at the next resync.
	resync = 5 * time.Second
)

const template = `{
  "cniVersion": "0.4.0",
  "name": "pod-network",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "mtu": %d,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	self, podSubnet := os.Getenv("NODE_NAME"), os.Getenv("POD_SUBNET")
	if self == "" || podSubnet == "" {
		return errors.New("NODE_NAME and POD_SUBNET must be set in the environment")
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := masquerade(podSubnet); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	factory := informers.NewSharedInformerFactory(client, resync)
	reconcile := func(object any) {
		if node, ok := object.(*corev1.Node); ok && len(node.Spec.PodCIDR) > 0 {
			if err := apply(node, self); err != nil {
				log.Printf("node %s: %v (tried again in %s)", node.Name, err, resync)
			}
		}
	}
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    reconcile,
		UpdateFunc: func(_, object any) { reconcile(object) },
		DeleteFunc: func(object any) {
			if node, ok := object.(*corev1.Node); ok && node.Spec.PodCIDR != "" {
				removeRoute(node.Spec.PodCIDR)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	return nil
}

func apply(node *corev1.Node, self string) error {
	if node.Name == self {
		return configure(node.Spec.PodCIDR)
	}
	_, destination, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return err
	}
	for _, address := range node.Status.Addresses {
		if gateway := net.ParseIP(address.Address); address.Type == corev1.NodeInternalIP && gateway != nil {
			return netlink.RouteReplace(&netlink.Route{Dst: destination, Gw: gateway})
		}
	}
	return nil
}

// configure writes the CNI configuration, at once or not at all, and only when it changes.
func configure(podCIDR string) error {
	mtu := 1500
	if link, err := netlink.LinkByName("eth0"); err == nil {
		mtu = link.Attrs().MTU
	}
	content := fmt.Sprintf(template, mtu, podCIDR)
	if current, err := os.ReadFile(configuration); err == nil && string(current) == content {
		return nil
	}
	temporary := filepath.Join(filepath.Dir(configuration), ".pod-network.tmp")
	if err := os.WriteFile(temporary, []byte(content), 0o644); err != nil {
		return err
	}
	log.Printf("pods of this node use %s", podCIDR)
	return os.Rename(temporary, configuration)
}

func removeRoute(podCIDR string) {
	if _, destination, err := net.ParseCIDR(podCIDR); err == nil {
		_ = netlink.RouteDel(&netlink.Route{Dst: destination})
	}
}

// masquerade hides pods behind their node when they talk to anything outside the pod network.
func masquerade(podSubnet string) error {
	rule := []string{"POSTROUTING", "-s", podSubnet, "!", "-d", podSubnet, "-j", "MASQUERADE"}
	if exec.Command("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...).Run() == nil {
		return nil
	}
	output, err := exec.Command("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables: %w: %s", err, output)
	}
	return nil
}
