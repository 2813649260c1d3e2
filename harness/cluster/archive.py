"""Container images written without a container engine: one layer, in the format that "docker load" reads."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_EPOCH = "1970-01-01T00:00:00Z"  # fixed, so that equal content gives equal bytes


@dataclass(frozen=True)
class ImageSpec:
    """An image: its name with tag, and its files as path in the image -> file on this machine or link target."""

    name: str
    files: dict[str, Path]
    links: dict[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


def write_archive(specs: Sequence[ImageSpec], target: Path) -> None:
    """Write all images into one archive for "docker load", "kind load image-archive" or "ctr images import"."""
    manifest = []
    with tarfile.open(target, "w") as archive:
        for spec in specs:
            layer = _layer(spec)
            digest = hashlib.sha256(layer).hexdigest()
            config = json.dumps(_config(spec, digest), sort_keys=True).encode()
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(archive, config_name, config)
            _add(archive, f"{digest}/layer.tar", layer)
            manifest.append({"Config": config_name, "RepoTags": [spec.name], "Layers": [f"{digest}/layer.tar"]})
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _config(spec: ImageSpec, layer_digest: str) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": _EPOCH,
        "config": {
            "Env": list(spec.environment),
            "Entrypoint": list(spec.entrypoint) or None,
            "Cmd": list(spec.command) or None,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created": _EPOCH, "created_by": "stan-ft"}],
    }


def _layer(spec: ImageSpec) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        seen: set[str] = set()
        for directory in spec.directories:
            _parents(layer, f"{directory}/x", seen)
        for path in sorted({**spec.files, **spec.links}):
            _parents(layer, path, seen)
            name = path.lstrip("/")
            if path in spec.links:
                link = tarfile.TarInfo(name)
                link.type, link.linkname, link.mode = tarfile.SYMTYPE, spec.links[path], 0o777
                layer.addfile(link)
            else:
                content = spec.files[path].read_bytes()
                _add(layer, name, content, 0o755 if spec.files[path].stat().st_mode & 0o100 else 0o644)
    return buffer.getvalue()


def _parents(layer: tarfile.TarFile, path: str, seen: set[str]) -> None:
    for parent in reversed(Path(path.lstrip("/")).parents):
        name = str(parent)
        if name != "." and name not in seen:
            seen.add(name)
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            layer.addfile(info)


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))
