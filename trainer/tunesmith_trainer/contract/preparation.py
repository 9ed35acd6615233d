"""The configuration file of a preparation: what is fetched, and how the rows are made ready. No GPU is needed for it.

Secrets are never in the file. They come by environment, under the names that `secret_variable` gives.
"""

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tunesmith_trainer.contract.outcome import SFT, ContinueFrom, DataFile, Method, Model, Tuning
from tunesmith_trainer.contract.strict import AbsolutePath, Strict

# The Hub's own rule: an owner and a name, or a name alone; no two dots or dashes in a row, so never a path upwards.
Repository = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$", max_length=200)
]
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=255)]
WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$", max_length=4096)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]

Role = Literal["training", "validation"]
Fetched = Literal["model", "training", "validation"]
Secret = Literal["TOKEN", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"]


def secret_variable(of: Fetched, secret: Secret) -> str:
    """Name of the environment variable that carries a source's secret, such as TUNESMITH_MODEL_TOKEN."""
    return f"TUNESMITH_{of.upper()}_{secret}"


class HubModel(Strict):
    """A model repository of the Hugging Face Hub, or of a mirror that speaks its protocol."""

    repo: Repository
    revision: Revision | None = Field(
        default=None, description="Branch, tag or commit; absent: the main branch. The commit it means is reported."
    )
    endpoint: WebAddress | None = Field(default=None, description="A mirror's address; absent: https://huggingface.co.")


class FetchModel(Strict):
    """Where the base model comes from. Only safetensors, tokenizer and configuration files are taken."""

    type: Literal["HuggingFace"]
    hugging_face: HubModel = Field(alias="huggingFace")
    max_parameters: int | None = Field(
        default=None, ge=1, description="Larger models are refused, before their weights are fetched where possible."
    )


class HubDataset(Strict):
    """A dataset repository of the Hub: its JSONL or Parquet files."""

    repo: Repository
    revision: Revision | None = Field(default=None, description="Branch, tag or commit; absent: the main branch.")
    subset: Name | None = Field(default=None, description="The repository's 'config'; absent: its default.")
    split: Name | None = Field(
        default=None, description="Absent: train for the training rows, validation (or test) for the validation rows."
    )
    endpoint: WebAddress | None = Field(default=None, description="A mirror's address; absent: https://huggingface.co.")


class WebFile(Strict):
    """A file by http(s)."""

    url: WebAddress
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="What the file's bytes must hash to."
    )


class StoredObject(Strict):
    """An object of an S3-compatible store."""

    endpoint: WebAddress
    bucket: Name
    key: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class FetchDataset(Strict):
    """Where one dataset file comes from; the member named like the type is given, and no other."""

    type: Literal["HuggingFace", "HTTP", "S3"]
    hugging_face: HubDataset | None = Field(default=None, alias="huggingFace")
    http: WebFile | None = None
    s3: StoredObject | None = None

    @model_validator(mode="after")
    def the_member_of_the_type(self) -> Self:
        """A member of another type would be ignored in silence."""
        members = {"HuggingFace": self.hugging_face, "HTTP": self.http, "S3": self.s3}
        given = [name for name, member in members.items() if member is not None]
        if given != [self.type]:
            raise ValueError(f"type is {self.type}, so exactly its member must be given, not {given or 'none'}")
        return self


class FetchDatasets(Strict):
    """The dataset files that are fetched."""

    training: FetchDataset | None = None
    validation: FetchDataset | None = None


class Fetch(Strict):
    """What is brought to the storage; each part lands in a directory that is named by its content or its source."""

    model: FetchModel | None = None
    datasets: FetchDatasets = FetchDatasets()


class PreparedData(Strict):
    """What is learnt, as in a training configuration; a path is absent exactly where fetch brings the file."""

    training: DataFile | None = None
    validation: DataFile | None = None
    train_on_inputs: Literal["Auto", "Always", "Never"] = "Auto"
    on_unstable_template: Literal["Refuse", "TrainWhole"] = "Refuse"


class PreparedTraining(Strict):
    """The numbers of the training that decide what becomes of the rows, and how many steps they make."""

    epochs: int = Field(ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    global_batch: int = Field(ge=1, description="Sequences in one step of all processes.")
    context_length: int = Field(ge=8, description="Tokens; longer rows are cut.")
    packing: bool = True


class PreparationStorage(Strict):
    """Where the job lives on the shared storage."""

    root: AbsolutePath = Field(description="Mount point of the storage in the pod; weights/ and datasets/ lie below.")
    job_path: AbsolutePath = Field(description="<root>/<job uid>.")
    attempt: int = Field(default=1, ge=1, description="Number of this preparation; only said, nothing is fenced by it.")

    @model_validator(mode="after")
    def laid_out_as_agreed(self) -> Self:
        """The same rule as in a training configuration."""
        path = PurePosixPath(self.job_path)
        if PurePosixPath(self.root) not in path.parents or ".." in path.parts:
            raise ValueError(f"'{self.job_path}' does not lie on the storage '{self.root}'")
        return self


class PrepareConfiguration(Strict):
    """One preparation of one job, whole: `tunesmith-trainer prepare` and `fetch` read it."""

    api_version: Literal["trainer.tunesmith.dev/v1"]
    fetch: Fetch | None = Field(default=None, description="Absent: everything lies on the storage already.")
    model: Model | None = Field(default=None, description="Absent exactly when fetch.model is given.")
    data: PreparedData = PreparedData()
    method: Method = SFT(type="SFT")
    tuning: Tuning | None = Field(
        default=None,
        description="What of the model will move, looked at while no GPU is held. Absent, it is not; needed with "
        "continueFrom.",
    )
    continue_from: ContinueFrom | None = None
    training: PreparedTraining
    storage: PreparationStorage
    heartbeat_seconds: float = Field(default=30, gt=0)
    stall_after_seconds: float = Field(default=1800, gt=0)

    @model_validator(mode="after")
    def each_part_comes_from_one_place(self) -> Self:
        """Two places contradict each other; none leaves nothing to prepare."""
        fetch = self.fetch or Fetch()
        if (self.model is None) == (fetch.model is None):
            raise ValueError("give exactly one of model and fetch.model")
        if (self.data.training is None) == (fetch.datasets.training is None):
            raise ValueError("give exactly one of data.training and fetch.datasets.training")
        if self.data.validation is not None and fetch.datasets.validation is not None:
            raise ValueError("give at most one of data.validation and fetch.datasets.validation")
        return self

    @model_validator(mode="after")
    def what_is_continued_is_compared(self) -> Self:
        """Without the tuning nothing could be held against what is continued."""
        if self.continue_from is not None and self.tuning is None:
            raise ValueError("give tuning together with continueFrom")
        return self
