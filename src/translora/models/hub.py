"""Models of the hub: from disk where they are there, else over the network, else one clear line at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from translora.errors import ModelError, reason_of
from translora.io import console
from translora.io.network import require_network
from translora.models.files import missing_weights

_MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.spm", "*.txt"]
_PICKLED_FILES = "pytorch_model*.bin"
"""The files to take of a model without safetensors."""
_IN_FOLDERS = ["*/*"]
"""Other forms of a model, such as ONNX, lie in folders of their own."""


def fetch_model(name: str, revision: str = "") -> Path:
    """The folder of a hub model on disk; missing files are downloaded, code never.

    Raises `ModelError` where the hub does not have it or cannot be reached.
    """
    folder, whole = _on_disk(name, revision)
    lacks = _lacking(folder) if folder else []
    if folder and whole and not lacks:
        return folder
    missing = f"model {name} is not whole on disk (no {lacks[0]})" if lacks else f"model {name} is not on disk"
    try:
        require_network(missing, ModelError)
    except ModelError as error:
        if folder is None or lacks:
            raise
        console.notice(f"model {name}: some of its small files are not on disk, and the hub cannot be asked: {error}")
        return folder
    return _download(name, revision)


def _on_disk(name: str, revision: str) -> tuple[Path | None, bool]:
    """The folder of a hub model in the hub's cache, and whether it is whole as far as the hub's own list tells."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _errors_named(name, revision):
        try:
            folder = snapshot_download(
                name,
                revision=revision or None,
                local_files_only=True,
                allow_patterns=_MODEL_FILES,
                ignore_patterns=_IN_FOLDERS,
            )
        except LocalEntryNotFoundError as error:
            partial = getattr(error, "snapshot_path", None)
            return Path(partial) if partial else None, False
    return Path(folder), True


def _lacking(folder: Path) -> list[str]:
    """The files without which the model in `folder` cannot be loaded, as after an interrupted download."""
    return [*([] if (folder / "config.json").exists() else ["config.json"]), *missing_weights(folder)]


def _download(name: str, revision: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    with _errors_named(name, revision):
        listed = HfApi().model_info(name, revision=revision or None).siblings or []
        files = [file.rfilename for file in listed if "/" not in file.rfilename]
        wanted = [file for file in files if any(fnmatch(file, pattern) for pattern in _MODEL_FILES)]
        if not any(file.endswith(".safetensors") for file in files):
            wanted += [file for file in files if fnmatch(file, _PICKLED_FILES)]
        if "config.json" not in wanted:
            raise ModelError(f"model {name}: the hub has no config.json of it: it is not a model of transformers")
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))


@contextmanager
def _errors_named(name: str, revision: str) -> Iterator[None]:
    """Turn errors of `huggingface_hub` and its HTTP client into one line."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    http_error: type[Exception] = HfHubHTTPError.__bases__[0]  # of the HTTP client in use
    try:
        yield
    except HFValidationError as error:
        raise ModelError(f"model {name}: neither a folder nor a name that the hub could have") from error
    except GatedRepoError as error:
        raise ModelError(f"model {name}: its terms must be accepted on the hub first, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"model {name}: the hub has no public model of that name: check the spelling") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"model {name}: the hub has no revision {revision!r} of it") from error
    except (http_error, LocalEntryNotFoundError, OSError) as error:
        reason = reason_of(error)
        raise ModelError(f"model {name}: the download failed ({reason}): try again, it goes on from there") from error
