"""Folders to the hub. Knows the hub's client; knows nothing of models."""

from __future__ import annotations

from pathlib import Path

from translora.errors import ModelError


def upload(folder: Path, name: str, private: bool | None = None, token: str | None = None) -> str:
    """Upload the files of `folder` to the model `name` of the hub, which is made where it is missing; its address.

    Raises `ModelError` where the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = HfApi(token=token)
    http_error: type[Exception] = HfHubHTTPError.__bases__[0]  # of the HTTP client in use
    try:
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload a translation model by translora")
    except HFValidationError as error:
        raise ModelError(f"{name}: no name of a model on the hub: use USER/MODEL") from error
    except (OfflineModeIsEnabled, http_error, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{name}: not uploaded ({reason}): check the network, the name, and that `hf auth login` was done"
        ) from error
    return str(address)
