"""Ways to break the charts, one small change each; a test suite that is worth its time finds every one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """One change of one file of a chart: the text that goes, the text that comes, and what that breaks."""

    chart: str
    file: str
    old: str
    new: str
    breaks: str

    @property
    def label(self) -> str:
        """The mutant in words."""
        return f"{self.chart}/{self.file}: {self.breaks}"


_STAN: Final = (
    ("templates/statefulset.yaml", "serviceName: {{ include", "serviceName: x{{ include", "pods without names"),
    ("templates/statefulset.yaml", "replicas: {{ int64 .Values.replicas }}", "replicas: 3", "replicas ignored"),
    (
        "templates/_pod.tpl",
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true",
        "token mounted",
    ),
    ("templates/_pod.tpl", "enableServiceLinks: false", "enableServiceLinks: true", "service links"),
    ("templates/_pod.tpl", "- -sc\n", "- -c\n", "configuration read as the NATS part only"),
    ("templates/_pod.tpl", "/etc/stan-config/stan.conf", "/etc/stan-config/nats.conf", "another configuration file"),
    (
        "templates/_pod.tpl",
        "mountPath: {{ .Values.persistence.mountPath | quote }}",
        "mountPath: /data/other",
        "store beside the volume",
    ),
    ("templates/_pod.tpl", "subPath: {{ quote . }}", "subPathExpr: {{ . }}/$(POD_NAME)", "a store per pod"),
    (
        "templates/_pod.tpl",
        "claimName: {{ include",
        "readOnly: true\n            claimName: {{ include",
        "claim read-only",
    ),
    (
        "templates/_pod.tpl",
        "imagePullPolicy: {{ .Values.image.pullPolicy }}",
        "imagePullPolicy: Always",
        "pull policy ignored",
    ),
    ("templates/rollout.yaml", "          securityContext:\n", "          x-securityContext:\n", "unknown field"),
    ("templates/_pod.tpl", 'include "stan-ft.affinity" .', 'index (dict "a" "") "a"', "no affinity"),
    ("templates/_pod.tpl", 'include "stan-ft.tolerations" .', 'index (dict "a" "") "a"', "no tolerations"),
    ("templates/_pod.tpl", 'ternary "0444" "0440"', 'ternary "0440" "0400"', "secrets unreadable"),
    ("values.yaml", "  port: monitor\n", "  port: client\n", "probe of the client port"),
    ("templates/_pod.tpl", ".$(POD_NAMESPACE).svc.", ".", "short advertised name"),
    (
        "templates/_pod.tpl",
        "- name: POD_NAME\n  valueFrom:\n    fieldRef:\n      fieldPath: metadata.name\n",
        "",
        "no POD_NAME",
    ),
    ("templates/_pod.tpl", '"effect" "NoExecute"', '"effect" "NoSchedule"', "node loss not noticed"),
    ("templates/_pod.tpl", '"node.kubernetes.io/unreachable"', '"node.kubernetes.io/unreached"', "unknown taint"),
    ("templates/_pod.tpl", "    - -R\n", "", "owner of the top directory only"),
    ("templates/_pod.tpl", '"NATS_STREAMING_ENCRYPTION_KEY"', '"NATS_ENCRYPTION_KEY"', "no encryption key"),
    ("templates/_pod.tpl", "secretKeyRef:", "configMapKeyRef:", "secrets from a ConfigMap"),
    (
        "templates/_pod.tpl",
        "path: /etc/stan-tls/cluster,",
        "path: /etc/stan-tls/routes,",
        "route certificates elsewhere",
    ),
    ("templates/services.yaml", "clusterIP: None", "clusterIP: 10.0.0.1", "no headless Service"),
    (
        "templates/services.yaml",
        "publishNotReadyAddresses: true",
        "publishNotReadyAddresses: false",
        "names of ready pods only",
    ),
    ("templates/services.yaml", "targetPort: {{ .name | quote }}", "targetPort: client", "every port leads to clients"),
    ("templates/services.yaml", "appProtocol: {{ .appProtocol }}", "appProtocol: http", "another protocol"),
    (
        "templates/services.yaml",
        'include "stan-ft.selectorLabels" . | nindent 4',
        '"app: other" | nindent 4',
        "selects nothing",
    ),
    ("templates/services.yaml", "targetPort: client", "targetPort: monitor", "clients reach the monitor"),
    (
        "templates/services.yaml",
        "    - name: client\n",
        "    - name: monitor\n      port: 8222\n    - name: client\n",
        "monitor published",
    ),
    ("templates/_names.tpl", "- name: cluster\n", "- name: route\n", "cluster port renamed"),
    ("templates/_validate.tpl", 'include "stan-ft.selectorLabels" $', '"app: other"', "budget of other pods"),
    ("templates/persistence.yaml", "{{- toYaml .accessModes | nindent 4 }}", "- ReadWriteOnce", "one node only"),
    ("templates/persistence.yaml", "storage: {{ .size | quote }}", "storage: 1Mi", "size ignored"),
    (
        "templates/persistence.yaml",
        "persistentVolumeReclaimPolicy: Retain",
        "persistentVolumeReclaimPolicy: Delete",
        "volume deleted",
    ),
    (
        "templates/persistence.yaml",
        "mountOptions:\n    {{- toYaml . | nindent 4 }}",
        "mountOptions:\n    - nolock",
        "locks local to a node",
    ),
    ("templates/persistence.yaml", "claimRef:", "x-claimRef:", "unknown field"),
    ("templates/_config.tpl", "ft_group_name:", "ft_group_names:", "no FT group"),
    ("templates/_config.tpl", "store: {{ .Values.store.type }}", "store: memory", "memory store"),
    ("templates/_config.tpl", "until (int .Values.replicas)", "until 2", "incomplete mesh"),
    (
        "templates/_config.tpl",
        "cluster_advertise: $CLUSTER_ADVERTISE",
        "cluster_advertise: $ADVERTISE",
        "unknown variable",
    ),
    ("templates/_config.tpl", 'deny: ["_STAN.ft.>"]', "deny: []", "forged heartbeats"),
    ("templates/_config.tpl", "password: $ROUTE_PASSWORD", "password: secret", "a password in the ConfigMap"),
    (
        "templates/_config.tpl",
        '"/etc/stan-tls/client/%s" .certKey',
        '"/etc/stan-cert/client/%s" .certKey',
        "certificate that is not mounted",
    ),
    (
        "templates/_names.tpl",
        '"%s.%s.svc.%s" (include "stan-ft.fullname" .)',
        '"%s.%s.%s" (include "stan-ft.fullname" .)',
        "routes without svc",
    ),
    ("templates/_names.tpl", "app: {{ include", "chart: a\napp: {{ include", "selector with the chart"),
    (
        "templates/_helpers.tpl",
        'include "stan-ft.name" $root)',
        'include "stan-ft.name" $root | int)',
        "a name read as a number",
    ),
    ("templates/networkpolicy.yaml", "    - Ingress\n", "    - Egress\n", "no policy for what comes in"),
    ("templates/rollout-rights.yaml", "      - get\n      - delete\n", "      - '*'\n", "every verb"),
    (
        "templates/rollout-rights.yaml",
        '    resourceNames:\n      - {{ include "stan-ft.fullname" . | quote }}\n',
        "",
        "every StatefulSet",
    ),
    ("templates/rollout.yaml", "restartPolicy: Never", "restartPolicy: Always", "a Job that never ends"),
    ("values.yaml", "  runAsUser: 10001", "  runAsUser: 0", "root"),
    ("values.yaml", "  allowPrivilegeEscalation: false", "  allowPrivilegeEscalation: true", "privilege escalation"),
    ("values.yaml", "tag: 0.16.0", "tag: 0.17.0", "exporter without STAN"),
    ("values.yaml", "  readOnlyRootFilesystem: true", "  readOnlyRootFilesystem: false", "writable image"),
    (
        "templates/statefulset.yaml",
        "podManagementPolicy: {{ .Values.statefulSet.podManagementPolicy }}",
        "podManagementPolicy: OrderedReady",
        "start in order",
    ),
    ("templates/_pod.tpl", "int64 .Values.podTemplate.terminationGracePeriodSeconds", "2", "no time to flush"),
    ("templates/_pod.tpl", "name: stan\n{{ include", "name: server\n{{ include", "container renamed"),
    (
        "templates/_pod.tpl",
        "metadata.annotations['stan-ft/stan.conf']",
        "metadata.annotations['stan-ft/other']",
        "no configuration in the pods",
    ),
    (
        "templates/_pod.tpl",
        'set $annotations "stan-ft/stan.conf" .written',
        'set $annotations "stan-ft/stan.conf" ""',
        "an empty configuration",
    ),
    (
        "templates/_pod.tpl",
        'claimName: {{ include "stan-ft.claimName" . | quote }}',
        "claimName: other",
        "another claim",
    ),
    (
        "templates/_pod.tpl",
        '"topologyKey" .Values.podTemplate.antiAffinity.topologyKey',
        '"topologyKey" "region"',
        "spread over regions",
    ),
    (
        "templates/_pod.tpl",
        'if eq .Values.podTemplate.antiAffinity.preset "hard"',
        'if eq .Values.podTemplate.antiAffinity.preset "firm"',
        "no hard anti-affinity",
    ),
    ("templates/_pod.tpl", "0.88", "1.2", "Go collects after the limit"),
    (
        "templates/_pod.tpl",
        'set $probe.httpGet "path" "/"',
        'set $probe.httpGet "path" "/healthz"',
        "probes that an old server does not answer",
    ),
    ("templates/services.yaml", "type: {{ .Values.service.type }}", "type: NodePort", "a port of every node"),
    (
        "templates/poddisruptionbudget.yaml",
        "unhealthyPodEvictionPolicy: AlwaysAllow",
        "unhealthyPodEvictionPolicy: IfHealthyBudget",
        "a broken server holds a drain up",
    ),
    ("templates/persistence.yaml", "(not (empty .keep))", "(empty .keep)", "messages go with the release"),
    (
        "templates/_config.tpl",
        '(eq $fullname "stan" | ternary "store" $fullname)',
        '"store"',
        "two releases in one store",
    ),
    ("templates/_config.tpl", "sync_on_flush: true", "sync_on_flush: false", "durable loses messages"),
    ("templates/_config.tpl", "read_buffer_size: 0", "read_buffer_size: 1", "durable reads ahead"),
    (
        "templates/_config.tpl",
        "{{- $value -}}\n{{- else if or (and (has",
        "{{- quote $value -}}\n{{- else if or (and (has",
        "variables in quotes",
    ),
    ("templates/_config.tpl", "{{- lower $value -}}", "{{- quote $value -}}", "sizes in quotes"),
    (
        "templates/_config.tpl",
        "int64 $.Values.config.cluster.port",
        "int64 $.Values.config.port",
        "routes to the client port",
    ),
    (
        "templates/_config.tpl",
        'include "stan-ft.config.spell" (list . "streaming" $mine.streaming "config.streaming")',
        'include "stan-ft.config.spell" (list . "nothing" $mine.streaming "config.streaming")',
        "other spellings are lost",
    ),
    (
        "templates/_config.tpl",
        "{{- $_ := unset $map $key -}}",
        "",
        "keys that are there twice",
    ),
    (
        "templates/_config.tpl",
        '{{- include "stan-ft.lay" (list (get $map .) $value) -}}',
        "{{- $_ := set $map . $value -}}",
        "a block in another spelling in the place of the chart's",
    ),
    ("templates/_validate.tpl", "range .twice | default list | uniq", "range list", "two values of one key"),
    (
        "templates/_validate.tpl",
        'list (get $pod "volumes") "name"',
        'list list "name"',
        "two volumes of one name",
    ),
    ("templates/_validate.tpl", '(list $containers "name")', '(list list "name")', "two containers of one name"),
    (
        "templates/_validate.tpl",
        '(list (get $container "volumeMounts") "mountPath")',
        '(list list "mountPath")',
        "two volumes at one place",
    ),
    ("templates/_validate.tpl", '"spec.ordinals"', "", "pods of other numbers than the routes"),
    ("templates/_validate.tpl", '(eq $policy "Default")', "false", "peers without names"),
    ("templates/_validate.tpl", '"fencing.port" $fencing', '"fencing.port" ""', "the supervisor's port taken"),
    (
        "templates/_validate.tpl",
        '(hasSuffix "%" $away | ternary 100 (int .Values.replicas))',
        "1000",
        "a drain that takes every server",
    ),
    ("templates/rollout.yaml", "      memory: 16Mi\n", "      memory: 32Mi\n", "a Job above a small memory limit"),
    ("templates/networkpolicy.yaml", "- port: {{ int64 $.conf.cluster.port }}", "- port: 1", "routes cut"),
    ("templates/networkpolicy.yaml", "- port: {{ int64 $.conf.port }}", "- port: 2", "clients cut"),
    (
        "templates/_names.tpl",
        'printf "%s-stan" .Release.Name',
        'printf "%s" .Release.Name',
        "the name of the release alone",
    ),
    (
        "templates/_names.tpl",
        "app.kubernetes.io/component: server",
        "app.kubernetes.io/component: other",
        "selectors of nobody",
    ),
    ("templates/_helpers.tpl", "{{- $_ := unset $below $key -}}", "", "null removes nothing"),
)

_CLASS, _CLAIMS, _DEPLOY, _OWN, _RBAC = (
    f"templates/{name}.yaml" for name in ("storageclass", "claims", "deployment", "own-volume", "rbac")
)
_EFS: Final = (
    (_CLASS, "reclaimPolicy: {{ .reclaimPolicy }}", "reclaimPolicy: Delete", "volumes deleted"),
    (_CLASS, "mountOptions:\n  {{- toYaml . | nindent 2 }}", "mountOptions:\n  - nolock", "locks local to a node"),
    (_CLASS, '"name" .name "namespace" "-"', '"name" "efs" "namespace" "-"', "class renamed"),
    (
        _CLASS,
        'provisioner: {{ include "efs-provisioner.storageClassProvisioner" $ | quote }}',
        "provisioner: example.com/efs",
        "unknown provisioner",
    ),
    (
        _CLAIMS,
        "{{- toYaml .accessModes | nindent 4 }}\n  storageClassName",
        "- ReadWriteOnce\n  storageClassName",
        "one node only",
    ),
    (_CLAIMS, '"helm.sh/resource-policy" "keep"', '"helm.sh/resource-policy" "delete"', "claims go with the release"),
    (
        _CLAIMS,
        "storageClassName: {{ $root.Values.storageClass.name | quote }}\n  {{- with .volumeName }}",
        "storageClassName: gp2\n  {{- with .volumeName }}",
        "another class",
    ),
    (_DEPLOY, "type: Recreate", "type: Recreated", "unknown strategy"),
    ("values.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "privilege escalation"),
    ("values.yaml", "- ALL\n", "- NET_RAW\n", "capabilities kept"),
    (
        _DEPLOY,
        "automountServiceAccountToken: true",
        "automountServiceAccountToken: false",
        "controller without its token",
    ),
    (
        _DEPLOY,
        '"PROVISIONER_NAME" "provisioner.name")\n',
        '"PROVISIONER" "provisioner.name")\n',
        "controller without a name",
    ),
    (_RBAC, '"watch", "create", "delete"', '"watch", "create"', "volumes never deleted"),
    (
        _RBAC,
        "namespace: {{ $root.Release.Namespace | quote }}",
        "namespace: default",
        "bound to default",
    ),
    (
        _RBAC,
        '    resourceNames: [{{ quote $lock }}]\n    verbs: ["get", "update"]\n  # a',
        '    verbs: ["get", "update"]\n  # a',
        "every Endpoints object",
    ),
    (_RBAC, "  name: {{ index . 2 | quote }}", "  name: x{{ index . 2 }}", "bound to nothing"),
    (
        _OWN,
        "persistentVolumeReclaimPolicy: Retain",
        "persistentVolumeReclaimPolicy: Delete",
        "the file system's root deleted",
    ),
    (
        _OWN,
        '- ReadWriteMany\n  storageClassName: ""\n  volumeName',
        '- ReadWriteSometimes\n  storageClassName: ""\n  volumeName',
        "unknown mode",
    ),
    ("templates/configmap.yaml", "provisioner.name: {{", "provisioner: {{", "key renamed"),
)

MUTANTS: Final = (
    *(Mutant("stan-ft", *each) for each in _STAN),
    *(Mutant("efs-provisioner", *each) for each in _EFS),
)
