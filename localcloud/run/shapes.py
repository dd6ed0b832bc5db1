"""The fields of a Knative Service and their types."""

from localcloud.shapes import ANYTHING

_TEXTS = {"*": str}
_METADATA = {
    **dict.fromkeys(
        ("name", "generateName", "namespace", "uid", "resourceVersion", "selfLink", "creationTimestamp"), str
    ),
    "generation": int,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "ownerReferences": ANYTHING,
    "finalizers": ANYTHING,
}
_PROBE = {
    **dict.fromkeys(
        ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold"),
        int,
    ),
    "httpGet": {"path": str, "port": int, "host": str, "scheme": str, "httpHeaders": ANYTHING},
    "tcpSocket": {"port": int, "host": str},
    "grpc": {"port": int, "service": str},
    "exec": ANYTHING,
}
_CONTAINER = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "workingDir": str,
    "env": [{"name": str, "value": str, "valueFrom": ANYTHING}],
    "envFrom": ANYTHING,
    "ports": [{"name": str, "containerPort": int, "protocol": str}],
    "resources": {"limits": _TEXTS, "requests": _TEXTS},
    "startupProbe": _PROBE,
    "livenessProbe": _PROBE,
    "volumeMounts": ANYTHING,
    "securityContext": ANYTHING,
    "imagePullPolicy": str,
    "terminationMessagePath": str,
    "terminationMessagePolicy": str,
}
SERVICE = {
    "apiVersion": str,
    "kind": str,
    "metadata": _METADATA,
    "spec": {
        "template": {
            "metadata": _METADATA,
            "spec": {
                "containers": [_CONTAINER],
                "containerConcurrency": int,
                "timeoutSeconds": int,
                "serviceAccountName": str,
                "nodeSelector": _TEXTS,
                "volumes": ANYTHING,
                "runtimeClassName": str,
                "enableServiceLinks": bool,
                "imagePullSecrets": ANYTHING,
            },
        },
        "traffic": [
            {"percent": int, "latestRevision": bool, "revisionName": str, "tag": str, "url": str},
        ],
    },
    "status": ANYTHING,
}
