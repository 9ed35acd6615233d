"""Repositories of the Hugging Face Hub, or of a mirror that speaks its protocol: commits, files and their hashes.

By three of its addresses, asked for with our own client: the Hub's library downloads without checking hashes, and
whether it may go online is a switch of the whole process, which stays off for everything else that the trainer does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.transfer import Conditions, Expected
from tunesmith_trainer.fetch.web import Asked, Web, WebSource

THE_HUB = "https://huggingface.co"


class _LargeFile(BaseModel):
    sha256: str
    size: int


class _Sibling(BaseModel):
    rfilename: str
    size: int | None = None
    blob_id: str | None = Field(default=None, alias="blobId")
    lfs: _LargeFile | None = None


class _Counted(BaseModel):
    total: int | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sha: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    siblings: list[_Sibling]
    safetensors: _Counted | None = None


@dataclass(frozen=True)
class RepositoryAt:
    """A repository at a commit."""

    kind: Literal["model", "dataset"]
    repo: str
    commit: str
    files: Mapping[str, Expected]
    parameters: int | None  # as the Hub counts them; mirrors may not


@dataclass(frozen=True)
class Hub:
    """One endpoint of the Hub under one token."""

    web: Web
    endpoint: str
    token: str | None = field(repr=False)
    conditions: Conditions

    def at(self, kind: Literal["model", "dataset"], repo: str, revision: str | None) -> RepositoryAt:
        """The commit that a revision means, and its files.

        Raises:
            TrainerError: of class credentials when the repository is gated or private; of class model or data when it
                or the revision does not exist.
        """
        url = f"{self.endpoint}/api/{kind}s/{repo}/revision/{quote(revision or 'main', safe='')}?blobs=true"
        asked = self._asked(kind, repo, revision)
        try:
            answer = _Answer.model_validate(self.web.json(url, self.token, asked, self.conditions))
        except ValidationError as error:
            raise TrainerError(
                ErrorClass.INFRASTRUCTURE, f"{asked.name}: {self.endpoint} does not answer as the Hub does."
            ) from error
        files = {sibling.rfilename: _expected(sibling) for sibling in answer.siblings if _within(sibling.rfilename)}
        return RepositoryAt(
            kind, repo, answer.sha, files, answer.safetensors.total if answer.safetensors is not None else None
        )

    def file(self, repository: RepositoryAt, name: str) -> WebSource:
        """A file of the repository as a source; its commit makes its content immutable."""
        prefix = "datasets/" if repository.kind == "dataset" else ""
        url = f"{self.endpoint}/{prefix}{repository.repo}/resolve/{repository.commit}/{quote(name)}"
        asked = self._asked(repository.kind, repository.repo, repository.commit)
        return WebSource(
            self.web,
            url,
            self.token,
            Asked(f"'{name}' of {asked.name}", asked.error_class, asked.when_refused),
            immutable=True,
        )

    def text(self, repository: RepositoryAt, name: str) -> str:
        """A small text file of the repository."""
        source = self.file(repository, name)
        return self.web.text(source.url, self.token, source.asked, self.conditions)

    def _asked(self, kind: str, repo: str, revision: str | None) -> Asked:
        given = "The token given may not read it" if self.token else "No token was given"
        return Asked(
            f"The {kind} repository '{repo}'" + (f" at '{revision}'" if revision else ""),
            ErrorClass.MODEL if kind == "model" else ErrorClass.DATA,
            f"{given}: the repository is gated, private, or its name is wrong. Accept its conditions on the Hub with "
            "the account that the token belongs to, and give a token that may read it.",
        )


def _expected(sibling: _Sibling) -> Expected:
    if sibling.lfs is not None:
        return Expected(size_bytes=sibling.lfs.size, sha256=sibling.lfs.sha256)
    return Expected(size_bytes=sibling.size, git_sha1=sibling.blob_id if sibling.size is not None else None)


def _within(name: str) -> bool:
    """Whether a file's name stays in the directory it is put into."""
    return not name.startswith("/") and ".." not in name.split("/")


def is_commit(revision: str | None) -> bool:
    """Whether a revision names a commit, and not a branch or tag that may move."""
    return revision is not None and len(revision) == 40 and all(digit in "0123456789abcdef" for digit in revision)


def endpoint_of(given: str | None) -> str:
    """The address to ask, without a slash at its end."""
    return (given or THE_HUB).rstrip("/")
