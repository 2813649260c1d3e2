// A dynamic provisioner of directories on the library that nfs-subdir-external-provisioner v4.0.2 is built on
// (sig-storage-lib-external-provisioner v6.0.0): the same calls to the API server and the same leader lock, without NFS.
// It runs with the kubeconfig in KUBECONFIG, keeps its lock in POD_NAMESPACE, answers to PROVISIONER_NAME and makes
// hostPath volumes below DIRECTORY. Tests run it with the rights that charts/efs-provisioner gives its controller.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v6/controller"
)

type directories struct {
	client kubernetes.Interface
	root   string
}

// Provision names a directory; the kubelet makes it when a pod first mounts the volume.
func (d directories) Provision(
	_ context.Context, options controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if options.PVC.Spec.Selector != nil {
		return nil, controller.ProvisioningFinished, errors.New("a claim with a selector is not supported")
	}
	kind := core.HostPathDirectoryOrCreate
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   options.PVC.Spec.AccessModes,
			Capacity:                      options.PVC.Spec.Resources.Requests,
			PersistentVolumeSource: core.PersistentVolumeSource{
				HostPath: &core.HostPathVolumeSource{Path: filepath.Join(d.root, options.PVName), Type: &kind},
			},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete reads the volume's class, as nfs-subdir does to learn what to do with the directory, and leaves the directory.
func (d directories) Delete(ctx context.Context, volume *core.PersistentVolume) error {
	_, err := d.client.StorageV1().StorageClasses().Get(ctx, volume.Spec.StorageClassName, meta.GetOptions{})
	return err
}

func main() {
	_ = flag.Set("logtostderr", "true")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		log.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		log.Fatal(err)
	}
	provisioner := directories{client, os.Getenv("DIRECTORY")}
	controller.NewProvisionController(client, os.Getenv("PROVISIONER_NAME"), provisioner, version.GitVersion).
		Run(context.Background())
}
