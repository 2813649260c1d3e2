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


_STS, _POD, _CONF, _NAMES = (
    "templates/statefulset.yaml",
    "templates/_pod.tpl",
    "templates/_config.tpl",
    "templates/_names.tpl",
)
_SERVICE, _CLIENT, _POLICY = "templates/service.yaml", "templates/service-client.yaml", "templates/networkpolicy.yaml"
_BUDGET, _CLAIM, _VOLUME = (
    f"templates/{name}.yaml" for name in ("poddisruptionbudget", "persistentvolumeclaim", "persistentvolume")
)
_PORTS, _ROLE, _JOB, _VALUES = (
    "templates/_ports.tpl",
    "templates/rollout-role.yaml",
    "templates/rollout-job.yaml",
    "values.yaml",
)

_STAN: Final = (
    (_STS, "serviceName: {{ include", "serviceName: x{{ include", "pods without names"),
    (
        _STS,
        "podManagementPolicy: {{ .Values.podManagementPolicy }}",
        "podManagementPolicy: OrderedReady",
        "start in order",
    ),
    (_STS, "replicas: {{ int64 .Values.replicas }}", "replicas: 3", "replicas ignored"),
    (
        _STS,
        'set $annotations "checksum/config"',
        'set $annotations "sum/config"',
        "another annotation for the checksum",
    ),
    (_STS, '(include "stan-ft.conf" . | sha256sum)', '"constant"', "configuration changes roll nothing"),
    (_STS, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "token mounted"),
    (_STS, "enableServiceLinks: false", "enableServiceLinks: true", "service links"),
    (_STS, "int64 .Values.terminationGracePeriodSeconds", "2", "no time to flush"),
    (_STS, "          livenessProbe:\n", "          readinessProbe:\n", "liveness became readiness"),
    (_STS, "          startupProbe:\n", "          livenessProbe:\n", "startup became liveness"),
    (_STS, "        - name: stan\n          image", "        - name: server\n          image", "container renamed"),
    (_STS, "- -sc\n", "- -c\n", "configuration read as the NATS part only"),
    (_STS, "/etc/stan-config/stan.conf", "/etc/stan-config/nats.conf", "another configuration file"),
    (
        _STS,
        "mountPath: {{ .Values.persistence.mountPath | quote }}",
        "mountPath: /data/other",
        "store beside the volume",
    ),
    (_STS, "subPath: {{ quote . }}", "subPathExpr: {{ . }}/$(POD_NAME)", "a store per pod"),
    (
        _STS,
        '          persistentVolumeClaim:\n            claimName: {{ include "stan-ft.claimName" . | quote }}',
        "          emptyDir: {}",
        "no claim",
    ),
    (_STS, "claimName: {{ include", "readOnly: true\n            claimName: {{ include", "claim read-only"),
    (_STS, "- name: config-volume\n          configMap", "- name: config\n          configMap", "volume renamed"),
    (_STS, 'name: {{ include "stan-ft.configMapName" . | quote }}', "name: stan-conf", "another ConfigMap"),
    (_STS, "imagePullPolicy: {{ .Values.image.pullPolicy }}", "imagePullPolicy: Always", "pull policy ignored"),
    (_STS, "          securityContext:\n", "          x-securityContext:\n", "unknown field"),
    (_STS, 'include "stan-ft.podSecurityContext" .', 'index (dict "a" "") "a"', "no security context of the pod"),
    (_STS, 'include "stan-ft.affinity" .', 'index (dict "a" "") "a"', "no affinity"),
    (_STS, 'include "stan-ft.tolerations" .', 'index (dict "a" "") "a"', "no tolerations"),
    (_STS, 'ternary "0444" "0440"', 'ternary "0440" "0400"', "secrets unreadable"),
    (_POD, "  port: monitor\n", "  port: client\n", "probe of the client port"),
    (_POD, "periodSeconds: {{ int64 .periodSeconds }}", "periodSeconds: 30", "slow probes"),
    (_POD, "failureThreshold: {{ int64 .failureThreshold }}", "failureThreshold: 30", "patient probes"),
    (
        _POD,
        "terminationGracePeriodSeconds: {{ int64 . }}",
        "terminationGracePeriodSeconds: 60",
        "a hung active is waited for",
    ),
    (_POD, "path: {{ .path | quote }}", "path: /streaming/serverz", "probes that block in a recovery"),
    (_POD, ".$(POD_NAMESPACE).svc.", ".", "short advertised name"),
    (_POD, "- name: POD_NAME\n  valueFrom:\n    fieldRef:\n      fieldPath: metadata.name\n", "", "no POD_NAME"),
    (
        _POD,
        '"topologyKey" .Values.antiAffinity.topologyKey',
        '"topologyKey" "topology.kubernetes.io/region"',
        "spread over regions",
    ),
    (
        _POD,
        'if eq .Values.antiAffinity.preset "hard"',
        'if eq .Values.antiAffinity.preset "strict"',
        "no hard anti-affinity",
    ),
    (_POD, '"effect" "NoExecute"', '"effect" "NoSchedule"', "node loss not noticed"),
    (_POD, '"node.kubernetes.io/unreachable"', '"node.kubernetes.io/unreached"', "unknown taint"),
    (_POD, "    - -R\n", "", "owner of the top directory only"),
    (_POD, '"NATS_STREAMING_ENCRYPTION_KEY"', '"NATS_ENCRYPTION_KEY"', "no encryption key"),
    (_POD, "secretKeyRef:", "configMapKeyRef:", "secrets from a ConfigMap"),
    (_POD, "path: /etc/stan-tls/cluster}", "path: /etc/stan-tls/routes}", "route certificates elsewhere"),
    (_SERVICE, "clusterIP: None", "clusterIP: 10.0.0.1", "no headless Service"),
    (_SERVICE, "publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "names of ready pods only"),
    (_SERVICE, "targetPort: {{ .name | quote }}", "targetPort: client", "every port leads to clients"),
    (_SERVICE, "appProtocol: {{ .appProtocol }}", "appProtocol: http", "another protocol"),
    (_SERVICE, 'include "stan-ft.selectorLabels" . | nindent 4', '"app: other" | nindent 4', "selects nothing"),
    (_CLIENT, "targetPort: client", "targetPort: monitor", "clients reach the monitor"),
    (
        _CLIENT,
        "    - name: client\n",
        "    - name: monitor\n      port: 8222\n    - name: client\n",
        "monitor published",
    ),
    (_CLIENT, "type: {{ .type }}", "type: NodePort", "a port of every node"),
    (_PORTS, "- name: cluster\n", "- name: route\n", "cluster port renamed"),
    (
        _PORTS,
        "port: {{ int64 .Values.ports.monitor }}",
        "port: {{ int64 .Values.ports.metrics }}",
        "monitor on the metrics port",
    ),
    (_BUDGET, "maxUnavailable: {{ include", "maxUnavailable: 3{{ include", "a drain takes them all"),
    (_BUDGET, "{{ .unhealthyPodEvictionPolicy }}", "Never", "unknown policy"),
    (_BUDGET, 'include "stan-ft.selectorLabels" $', '"app: other"', "budget of other pods"),
    (_CLAIM, "{{- toYaml .accessModes | nindent 4 }}", "- ReadWriteOnce", "one node only"),
    (_CLAIM, "if .keep", "if not .keep", "messages go with the release"),
    (_CLAIM, "storage: {{ .size | quote }}", "storage: 1Mi", "size ignored"),
    (_VOLUME, "persistentVolumeReclaimPolicy: Retain", "persistentVolumeReclaimPolicy: Delete", "volume deleted"),
    (_VOLUME, "mountOptions:\n    {{- toYaml . | nindent 4 }}", "mountOptions:\n    - nolock", "locks local to a node"),
    (_VOLUME, "claimRef:", "x-claimRef:", "unknown field"),
    (_CONF, "ft_group_name:", "ft_group_names:", "no FT group"),
    (_CONF, "store: {{ .Values.store.type }}", "store: memory", "memory store"),
    (_CONF, "dir: {{ quote .Values.store.dir }}", "dir: /data/stan", "store in the volume's root"),
    (
        _CONF,
        'if kindIs "string" .value }}{{ lower .value }}',
        'if kindIs "string" .value }}{{ quote .value }}',
        "sizes in quotes",
    ),
    (_CONF, "syncOnFlush: true", "syncOnFlush: false", "durable loses messages"),
    (_CONF, '"maxAge max_age duration"', '"maxAge max_ages duration"', "unknown key"),
    (_CONF, '"maxMsgs max_msgs int"', '"maxMsgs max_bytes int"', "a limit in the wrong place"),
    (_CONF, "until (int .Values.replicas)", "until 2", "incomplete mesh"),
    (
        _CONF,
        '{{ include "stan-ft.podDomain" $ }}:{{ int64 $.Values.ports.cluster }}',
        '{{ include "stan-ft.podDomain" $ }}:6223',
        "routes to a closed port",
    ),
    (_CONF, "http: {{ int64 .Values.ports.monitor }}", "http: 8223", "monitor elsewhere"),
    (_CONF, "cluster_advertise: $CLUSTER_ADVERTISE", "cluster_advertise: $ADVERTISE", "unknown variable"),
    (
        _CONF,
        "name: {{ .Values.nats.cluster.name | default",
        "nam: {{ .Values.nats.cluster.name | default",
        "no cluster name",
    ),
    (_CONF, "password: $ROUTE_PASSWORD", "password: secret", "a password in the ConfigMap"),
    (
        _CONF,
        '"/etc/stan-tls/client/%s" .certKey',
        '"/etc/stan-cert/client/%s" .certKey',
        "certificate that is not mounted",
    ),
    (_CONF, "verify: true", "verify: false", "client certificates unchecked"),
    (
        _NAMES,
        '"%s.%s.svc.%s" (include "stan-ft.fullname" .)',
        '"%s.%s.%s" (include "stan-ft.fullname" .)',
        "routes without svc",
    ),
    (_NAMES, "app: {{ include", "chart: a\napp: {{ include", "selector with the chart"),
    (_NAMES, 'include "stan-ft.name" $root)', 'include "stan-ft.name" $root | int)', "a name read as a number"),
    (_NAMES, '"%s-config"', '"%s-conf"', "ConfigMap renamed"),
    (_POLICY, "- port: cluster", "- port: monitor", "routes cut"),
    (_POLICY, "        - port: client\n", "        - port: monitor\n", "clients cut"),
    (_POLICY, "    - Ingress\n", "    - Egress\n", "no policy for what comes in"),
    (_ROLE, "      - get\n      - delete\n", "      - '*'\n", "every verb"),
    (_ROLE, '    resourceNames:\n      - {{ include "stan-ft.fullname" . | quote }}\n', "", "every StatefulSet"),
    (_JOB, "restartPolicy: Never", "restartPolicy: Always", "a Job that never ends"),
    (_VALUES, "  runAsUser: 10001", "  runAsUser: 0", "root"),
    (_VALUES, "  allowPrivilegeEscalation: false", "  allowPrivilegeEscalation: true", "privilege escalation"),
    (_VALUES, "tag: 0.16.0", "tag: 0.17.0", "exporter without STAN"),
    (_VALUES, "  readOnlyRootFilesystem: true", "  readOnlyRootFilesystem: false", "writable image"),
)

_CLASS, _CLAIMS, _DEPLOY, _OWN = (
    f"templates/{name}.yaml" for name in ("storageclass", "claims", "deployment", "own-volume")
)
_EFS: Final = (
    (_CLASS, "reclaimPolicy: {{ .reclaimPolicy }}", "reclaimPolicy: Delete", "volumes deleted"),
    (_CLASS, "mountOptions:\n  {{- toYaml . | nindent 2 }}", "mountOptions:\n  - nolock", "locks local to a node"),
    (_CLASS, "name: {{ .name | toYaml }}", "name: efs", "class renamed"),
    (
        _CLASS,
        'provisioner: {{ include "efs-provisioner.storageClassProvisioner" $ | toYaml }}',
        "provisioner: example.com/efs",
        "unknown provisioner",
    ),
    (
        _CLAIMS,
        '(list "ReadWriteMany") $claim.accessModes',
        '(list "ReadWriteMany") (list "ReadWriteOnce")',
        "one node only",
    ),
    (_CLAIMS, '"helm.sh/resource-policy" "keep"', '"helm.sh/resource-policy" "delete"', "claims go with the release"),
    (_CLAIMS, "storageClassName: {{ $.Values.storageClass.name | toYaml }}", "storageClassName: gp2", "another class"),
    (_DEPLOY, "type: Recreate", "type: Recreated", "unknown strategy"),
    (_DEPLOY, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "privilege escalation"),
    (_DEPLOY, 'drop: ["ALL"]', 'drop: ["NET_RAW"]', "capabilities kept"),
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
    ("templates/clusterrole.yaml", '"watch", "create", "delete"', '"watch", "create"', "volumes never deleted"),
    (
        "templates/clusterrolebinding.yaml",
        "namespace: {{ .Release.Namespace | quote }}",
        "namespace: default",
        "bound to default",
    ),
    (
        "templates/role.yaml",
        '    resourceNames: [{{ $lock | quote }}]\n    verbs: ["get", "update"]\n  # a',
        '    verbs: ["get", "update"]\n  # a',
        "every Endpoints object",
    ),
    ("templates/rolebinding.yaml", "kind: Role\n  name: {{", "kind: Role\n  name: x{{", "bound to nothing"),
    (
        _OWN,
        "persistentVolumeReclaimPolicy: Retain",
        "persistentVolumeReclaimPolicy: Delete",
        "the file system's root deleted",
    ),
    (
        "templates/own-claim.yaml",
        'accessModes: ["ReadWriteMany"]',
        'accessModes: ["ReadWriteSometimes"]',
        "unknown mode",
    ),
    ("templates/configmap.yaml", "provisioner.name: {{", "provisioner: {{", "key renamed"),
)

MUTANTS: Final = (
    *(Mutant("stan-ft", *each) for each in _STAN),
    *(Mutant("efs-provisioner", *each) for each in _EFS),
)
