"""Invariants on the one thing an FT group shares: its store, on one ReadWriteMany claim with working locks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stanft.invariants import mount_options
from stanft.invariants.config import readable
from stanft.invariants.model import Manifests, Severity, Unseen, invariant
from stanft.invariants.servers import Server
from stanft.kube import objects
from stanft.kube.objects import Object, dig, quantity

_SHARED_KINDS = ("persistentVolumeClaim", "nfs", "csi", "azureFile", "cephfs", "glusterfs", "quobyte")
_ONE_NODE_SOURCES = ("hostPath", "local", "awsElasticBlockStore", "gcePersistentDisk", "azureDisk", "cinder")
# Provisioners of volumes for one node: block devices, which refuse ReadWriteMany, and directories of a node.
_ONE_NODE_DRIVERS = (
    *("ebs.csi.aws.com", "kubernetes.io/aws-ebs", "ebs.csi.eks.amazonaws.com", "pd.csi.storage.gke.io"),
    *("kubernetes.io/gce-pd", "disk.csi.azure.com", "kubernetes.io/azure-disk", "cinder.csi.openstack.org"),
    *("kubernetes.io/cinder", "dobs.csi.digitalocean.com", "csi.hetzner.cloud", "linodebs.csi.linode.com"),
    *("csi.scaleway.com", "rancher.io/local-path", "k8s.io/minikube-hostpath"),
    *("docker.io/hostpath", "microk8s.io/hostpath", "openebs.io/local", "topolvm.io"),
)
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def on_files(manifests: Manifests) -> list[Server]:
    """The servers with a readable configuration that keep their store in files."""
    return [server for server in readable(manifests) if server.store == "file" and server.store_directory]


def claims(manifests: Manifests) -> list[Object]:
    """The claims that hold a store (all claims where no server is among the objects)."""
    return manifests.store_claims()


@dataclass(frozen=True)
class Mount:
    """Whatever carries mount options for the store: an object, the options, and the kind of the file system."""

    item: Object
    options: list[str]
    kind: str

    def __str__(self) -> str:
        return objects.label(self.item)


def mounting(manifests: Manifests) -> list[Mount]:
    """The classes and volumes that may hold a store (all where it is not plain which do), and inline volumes."""
    used = claims(manifests)
    classes = {dig(each, "spec.storageClassName") or _beta_class(each) for each in used}
    unclear = not used or None in classes
    found = [_of_class(each) for each in manifests.of("StorageClass") if unclear or objects.name(each) in classes]
    names = {objects.name(each) for each in used}
    volumes = {dig(each, "spec.volumeName") for each in used}
    for volume in manifests.of("PersistentVolume"):
        bound = dig(volume, "spec.claimRef.name") in names or objects.name(volume) in volumes
        if unclear or bound or (dig(volume, "spec.storageClassName") or _beta_class(volume)) in classes:
            found.append(_of_volume(volume))
    for server in manifests.servers:
        volume = server.store_volume or {}
        if "nfs" in volume or "csi" in volume:
            found.append(_of_source(server.workload, volume, []))
    return found


def _of_class(item: Object) -> Mount:
    parameters = item.get("parameters") or {}
    options = [*(item.get("mountOptions") or []), str(parameters.get("mountOptions") or "")]
    kind = mount_options.kind_of(str(item.get("provisioner", "")), str(parameters.get("protocol", "")))
    return Mount(item, mount_options.split(options), kind)


def _of_volume(item: Object) -> Mount:
    old = str(dig(item, "metadata.annotations", {}).get(mount_options.BETA_ANNOTATION, ""))
    return _of_source(item, item.get("spec") or {}, [*dig(item, "spec.mountOptions", []), old])


def _of_source(item: Object, source: Object, options: list[str]) -> Mount:
    """A volume's source, of a PersistentVolume or inline in a pod."""
    attributes = dig(source, "csi.volumeAttributes", {})
    options = [*options, str(attributes.get("mountOptions") or "")]
    driver = str(dig(source, "csi.driver", ""))
    kind = mount_options.NFS if "nfs" in source else mount_options.kind_of(driver, str(attributes.get("protocol", "")))
    return Mount(item, mount_options.split(options), kind)


def _beta_class(item: Object) -> str | None:
    found = dig(item, "metadata.annotations", {}).get(_BETA_CLASS)
    return None if found is None else str(found)


@invariant("standby-exists", lambda manifests: manifests.servers, "Run two replicas or more.")
def standby_exists(manifests: Manifests, server: Server) -> Iterator[str]:
    """There is somebody to take over: the FT group has at least two servers."""
    if server.known and manifests.group_size(server) < 2:
        group = f"in the group {server.group[1]}" if server.group[1] else "and no FT group"
        yield f"{manifests.group_size(server)} server {group}"


@invariant(
    "shared-claim", on_files, "Mount one claim by name (volumes[].persistentVolumeClaim.claimName) in every replica."
)
def shared_claim(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    """Every replica has the store directory on one and the same claim."""
    mount, volume = server.store_mount, server.store_volume
    if mount is None and str(server.store_directory).startswith("$"):
        if not server.differs(server.store_directory):
            yield Unseen(f"the store directory is {server.store_directory}, whose value is not among these objects")
    elif mount is None:
        yield f"the store directory {server.store_directory} is on no volume: each replica has its own"
    elif volume is None:
        yield f"the store is on {mount['name']}, which is no volume of the pod: {_template_note(server, mount['name'])}"
    elif not any(kind in volume for kind in _SHARED_KINDS):
        kinds = ", ".join(key for key in volume if key != "name")
        yield f"the store is on a volume of kind {kinds}, which replicas do not share"
    for other in manifests.servers:
        if other.claim and server.claim and other.group == server.group and other.claim != server.claim:
            yield f"uses claim {server.claim}, but {other.name} of the same group uses {other.claim}"


@invariant(
    "no-claim-templates",
    lambda manifests: manifests.servers,
    "Remove volumeClaimTemplates: they give each replica a claim of its own.",
)
def no_claim_templates(_: Manifests, server: Server) -> Iterator[str]:
    """The servers' StatefulSet has no claim templates: one claim per pod means a takeover with an empty store."""
    for template in dig(server.workload, "spec.volumeClaimTemplates", []):
        yield f"claim template {objects.name(template)}"


@invariant("read-write-many", on_files, "Give the claim the access mode ReadWriteMany.")
def read_write_many(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    """The claim of the store can be mounted on several nodes at once."""
    if server.claim is None or manifests.group_size(server) < 2:
        return
    claim = manifests.get("PersistentVolumeClaim", server.claim)
    if claim is None:
        yield Unseen(f"the claim {server.claim} is not among these objects")
    elif dig(claim, "spec.volumeMode") == "Block":
        yield f"the claim {server.claim} asks for a block device, which cannot be mounted"
    elif "ReadWriteMany" not in (modes := dig(claim, "spec.accessModes", [])):
        yield f"the claim {server.claim} has access modes {modes}"
    else:
        yield from _for_one_node(manifests, claim)


def _for_one_node(manifests: Manifests, claim: Object) -> Iterator[str]:
    """Why the volume of a ReadWriteMany claim is none that several nodes can mount."""
    class_name = dig(claim, "spec.storageClassName") or _beta_class(claim)
    for each in manifests.of("StorageClass"):
        if objects.name(each) == class_name and each.get("provisioner") in _ONE_NODE_DRIVERS:
            yield f"the class {class_name} makes volumes for one node ({each['provisioner']}), whatever the claim asks"
    for each in _volumes(manifests, claim):
        kinds = [kind for kind in _ONE_NODE_SOURCES if dig(each, f"spec.{kind}")]
        if kinds != ["hostPath"] or dig(each, "spec.nodeAffinity"):
            yield from (f"the volume {objects.name(each)} is a {kind}, which other nodes do not have" for kind in kinds)


def _volumes(manifests: Manifests, claim: Object) -> list[Object]:
    """The volume that a claim is bound to, if it is among the objects."""
    name, bound = dig(claim, "spec.volumeName"), objects.name(claim)
    return [
        each
        for each in manifests.of("PersistentVolume")
        if objects.name(each) == name or dig(each, "spec.claimRef.name") == bound
    ]


def _directories(manifests: Manifests, server: Server) -> list[Object]:
    """The volumes of a server's claim that are a directory of whatever node the pod is on."""
    claim = manifests.get("PersistentVolumeClaim", server.claim) if server.claim else None
    return [each for each in _volumes(manifests, claim) if dig(each, "spec.hostPath")] if claim else []


def on_directories(manifests: Manifests) -> list[Server]:
    """The servers whose store is on such a volume."""
    return [server for server in on_files(manifests) if _directories(manifests, server)]


@invariant(
    "directory-on-every-node",
    on_directories,
    "Make sure that every node has one shared file system mounted there, or use a volume that the storage shares.",
    Severity.WARNING,
)
def directory_on_every_node(manifests: Manifests, server: Server) -> Iterator[str]:
    """The store is not on a directory of the nodes, of which nobody sees whether they share it."""
    if manifests.group_size(server) > 1:
        yield from (
            f"the volume {objects.name(each)} is a hostPath: servers on several nodes share it only if the nodes do"
            for each in _directories(manifests, server)
            if not dig(each, "spec.nodeAffinity")
        )


@invariant("same-store-for-all", on_files, "Remove subPathExpr, or use a subPath that is the same in every replica.")
def same_store_for_all(_: Manifests, server: Server) -> Iterator[str]:
    """The store directory is the same directory in every replica."""
    mount = server.store_mount or {}
    if "subPathExpr" in mount:
        yield f"the mount of {mount['name']} has subPathExpr {mount['subPathExpr']}, which differs from pod to pod"
    if server.differs(server.store_directory):
        yield f"the store directory {server.store_directory} differs from pod to pod"


@invariant("store-writable", on_files, "Mount the volume of the store without readOnly.")
def store_writable(_: Manifests, server: Server) -> Iterator[str]:
    """The volume of the store is mounted for writing."""
    claim = dig(server.store_volume or {}, "persistentVolumeClaim", {})
    if (server.store_mount or {}).get("readOnly") or claim.get("readOnly"):
        yield "the volume of the store is mounted read-only"


@invariant(
    "store-below-root", on_files, "Use a directory below the mount path, such as <mount>/store.", Severity.WARNING
)
def store_below_root(_: Manifests, server: Server) -> Iterator[str]:
    """The store directory lies below the volume's root, where an export has entries of its own (lost+found)."""
    mount = server.store_mount
    if mount is not None and "subPath" not in mount and str(mount["mountPath"]).rstrip("/") == server.store_directory:
        yield f"the store directory {server.store_directory} is the volume's root"


@invariant("locks-respected", mounting, "Remove or replace the option as said; nfsvers=4.1 and hard are right for NFS.")
def locks_respected(_: Manifests, mount: Mount) -> Iterator[str]:
    """No mount option makes locks local to a node, drops them, lets writes fail half-way, or keeps the mount away."""
    yield from (f"mount option {said}" for said in mount_options.problems(mount.options, mount.kind))


@invariant("nfs-version", mounting, "Add nfsvers=4.1 to the mount options.", Severity.WARNING)
def nfs_version(_: Manifests, mount: Mount) -> Iterator[str]:
    """A mount by the kernel's NFS client names its version: else a node may fall back to version 3 and its locks."""
    by_itself = "efs" in str(mount.item.get("provisioner", "")) and not mount.options  # it then writes vers=4.1 itself
    if mount.kind == mount_options.NFS and not by_itself and not mount_options.names_version(mount.options):
        yield "no NFS version among the mount options"


@invariant("claim-mode-of-class", claims, "List ReadWriteMany in accessModes.")
def claim_mode(_: Manifests, claim: Object) -> Iterator[str]:
    """Access modes are a list of modes that Kubernetes knows."""
    known = {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}
    modes = dig(claim, "spec.accessModes", [])
    if not isinstance(modes, list) or not modes or not all(isinstance(mode, str) and mode in known for mode in modes):
        yield f"accessModes is {modes}"


@invariant("claim-class-field", claims, "Use spec.storageClassName.", Severity.WARNING)
def claim_class_field(_: Manifests, claim: Object) -> Iterator[str]:
    """A claim names its class in spec.storageClassName, not in the beta annotation."""
    if _BETA_CLASS in dig(claim, "metadata.annotations", {}) and not dig(claim, "spec.storageClassName"):
        yield f"the class is named by the annotation {_BETA_CLASS}"


@invariant("claim-holds-a-slice", on_files, "Request at least as much as one slice of the store.", Severity.ADVICE)
def claim_holds_a_slice(manifests: Manifests, server: Server) -> Iterator[str | Unseen]:
    """The claim asks for at least one slice of the store (a back end that enforces sizes would stop the server)."""
    claim = manifests.get("PersistentVolumeClaim", server.claim) if server.claim else None
    if claim is None:
        if server.claim:
            yield Unseen(f"the claim {server.claim} is not among these objects")
        return
    asked = quantity(dig(claim, "spec.resources.requests.storage", 0))
    given = server.streaming.get("file_options.slice_max_bytes")
    slice_size = given if isinstance(given, int) and given > 0 else 64 * 1024**2
    if asked < slice_size:
        yield f"requests {dig(claim, 'spec.resources.requests.storage')}, one slice is {slice_size // 1024**2} MiB"


@invariant("claim-outlives-release", claims, "Annotate the claim with helm.sh/resource-policy: keep.", Severity.WARNING)
def claim_outlives_release(_: Manifests, claim: Object) -> Iterator[str]:
    """A claim that Helm manages stays when the release is uninstalled."""
    helm = dig(claim, "metadata.labels", {}).get("app.kubernetes.io/managed-by") == "Helm"
    if helm and dig(claim, "metadata.annotations", {}).get("helm.sh/resource-policy") != "keep":
        yield "helm uninstall deletes this claim, and with it the messages"


@invariant(
    "class-retains", lambda manifests: manifests.of("StorageClass"), "Set reclaimPolicy: Retain.", Severity.WARNING
)
def class_retains(manifests: Manifests, item: Object) -> Iterator[str]:
    """The StorageClass of a message store keeps the volume when its claim is deleted."""
    used = {
        dig(claim, "spec.storageClassName") or dig(claim, "metadata.annotations", {}).get(_BETA_CLASS)
        for claim in claims(manifests)
    }
    if (not used or objects.name(item) in used) and item.get("reclaimPolicy", "Delete") != "Retain":
        yield f"reclaimPolicy is {item.get('reclaimPolicy', 'Delete')}"


def _template_note(server: Server, name: str) -> str:
    templates = [objects.name(each) for each in dig(server.workload, "spec.volumeClaimTemplates", [])]
    return "each replica gets a claim of its own" if name in templates else "no volume has that name"
