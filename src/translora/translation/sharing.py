"""Models as they are given to others: a folder with all that belongs to one, and its way to the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from translora.config import Config
from translora.errors import ModelError, reason_of
from translora.io.files import write_text
from translora.models.load import LoadedModel, model_folder, quiet_transformers
from translora.models.shortlist import SHORTLIST, copy_shortlist
from translora.runs.card import model_card
from translora.runs.folder import Run
from translora.translation.exported import ExportedModel

_ADAPTER_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "translora.json",
    SHORTLIST,
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "*.model",
    "*.spm",
)
"""What belongs to an adapter, its tokenizer included, if it has one of its own."""


def write_model(
    folder: Path, loaded: LoadedModel | ExportedModel, config: Config, adapter: Path | None, run: Run | None
) -> None:
    """Write into `folder` what `Translator.save_pretrained` says; `adapter` is the folder of an adapter, if it is one.

    Raises `ModelError` where the adapter is no longer there.
    """
    if isinstance(loaded, ExportedModel):
        for file in Path(loaded.name).iterdir():
            shutil.copyfile(file, folder / file.name)
        return
    if adapter:
        files = [file for pattern in _ADAPTER_FILES for file in adapter.glob(pattern)]
        if not files:
            raise ModelError(f"{adapter}: the adapter is no longer there: load it again")
        for file in files:
            shutil.copyfile(file, folder / file.name)
    else:
        with quiet_transformers():
            loaded.model.save_pretrained(folder)
            loaded.tokenizer.save_pretrained(folder)
        copy_shortlist(model_folder(config.model, config.revision), folder)
    write_text(folder / "README.md", model_card(config, adapter is not None, run))


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
        reason = reason_of(error)
        raise ModelError(
            f"{name}: not uploaded ({reason}): check the network, the name, and that `hf auth login` was done"
        ) from error
    return str(address)
