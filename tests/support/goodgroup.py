"""The manifests of one group of two servers that keeps every invariant, to change one thing at a time."""

GOOD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: stan-config}
data:
  stan.conf: |
    http: 8222
    cluster {
      name: stan
      port: 6222
      routes [
        nats://stan-0.stan.messaging.svc.cluster.local:6222
        nats://stan-1.stan.messaging.svc.cluster.local:6222
      ]
      cluster_advertise: $CLUSTER_ADVERTISE
    }
    streaming {
      id: test-cluster
      store: file
      dir: /data/stan/store
      ft_group_name: test-cluster
      file_options { slice_max_bytes: 64mb, auto_sync: "1m" }
      store_limits { max_age: 1h, channels { "foo.*": { max_msgs: 5 } } }
    }
---
apiVersion: v1
kind: Service
metadata: {name: stan, labels: {app: stan, kind: headless}}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: stan}
  ports:
    - {name: client, port: 4222, targetPort: client}
    - {name: cluster, port: 6222, targetPort: cluster}
    - {name: monitor, port: 8222, targetPort: monitor}
    - {name: metrics, port: 7777, targetPort: metrics}
---
apiVersion: v1
kind: Service
metadata: {name: stan-client}
spec:
  selector: {app: stan}
  ports: [{name: client, port: 4222, targetPort: client}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: efs
  labels: {app.kubernetes.io/managed-by: Helm}
  annotations: {helm.sh/resource-policy: keep}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: aws-efs
  resources: {requests: {storage: 1Gi}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: aws-efs}
provisioner: synadia.com/aws-efs
reclaimPolicy: Retain
mountOptions: [nfsvers=4.1, hard]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: stan}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: stan}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: stan}
spec:
  podSelector: {matchLabels: {app: stan}}
  policyTypes: [Ingress]
  ingress: [{ports: [{port: client}, {port: cluster}]}]
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: stan}
spec: {selector: {matchLabels: {app: stan, kind: headless}}, endpoints: [{port: metrics}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stan}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: lock}
rules: [{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [lock], verbs: [get, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lock}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lock}
subjects: [{kind: ServiceAccount, name: stan, namespace: messaging}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: stan}
spec:
  replicas: 2
  serviceName: stan
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: stan}}
  template:
    metadata:
      labels: {app: stan}
      annotations: {checksum/config: abc}
    spec:
      serviceAccountName: stan
      terminationGracePeriodSeconds: 30
      securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: stan}}}
      containers:
        - name: stan
          image: nats-streaming:0.25.6
          args: [-sc, /etc/stan-config/stan.conf]
          env:
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: CLUSTER_ADVERTISE, value: $(POD_NAME).stan.messaging.svc}
          securityContext: &hardened
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          ports:
            - {name: client, containerPort: 4222}
            - {name: cluster, containerPort: 6222}
            - {name: monitor, containerPort: 8222}
          startupProbe: {httpGet: {path: /healthz, port: monitor}, periodSeconds: 1, failureThreshold: 120}
          livenessProbe:
            httpGet: {path: /healthz, port: monitor}
            periodSeconds: 2
            failureThreshold: 3
            terminationGracePeriodSeconds: 1
          readinessProbe: {httpGet: {path: /healthz, port: 8222}}
          volumeMounts:
            - {name: config-volume, mountPath: /etc/stan-config}
            - {name: efs, mountPath: /data/stan}
        - name: metrics
          image: natsio/prometheus-nats-exporter:0.16.0
          args: [-channelz, -serverz, "http://localhost:8222"]
          securityContext: *hardened
          ports: [{name: metrics, containerPort: 7777}]
      volumes:
        - {name: config-volume, configMap: {name: stan-config}}
        - {name: efs, persistentVolumeClaim: {claimName: efs}}
"""
