"""Where the recording of a replayed stream is: beside the document that names it, or in the catalogue's root."""

from collections.abc import Sequence
from pathlib import Path

from tierdrill.documents.bounded_files import is_file
from tierdrill.documents.models.drill import Load, Stream


def recording_file(written: str, folders: Sequence[Path]) -> Path | None:
    """The file that is meant; None if there is none."""
    path = Path(written)
    candidates = [path] if path.is_absolute() else [folder / path for folder in folders]
    return next((candidate for candidate in candidates if is_file(candidate)), None)


def with_recordings(load: Load, folders: Sequence[Path]) -> Load:
    """The load with the whole path of every recording: whoever sends it works in another folder."""
    return load.model_copy(update={"streams": tuple(_found(stream, folders) for stream in load.streams)})


def _found(stream: Stream, folders: Sequence[Path]) -> Stream:
    file = recording_file(stream.shape.file, folders) if stream.shape.file is not None else None
    if file is None:
        return stream
    return stream.model_copy(update={"shape": stream.shape.model_copy(update={"file": str(file.resolve())})})
