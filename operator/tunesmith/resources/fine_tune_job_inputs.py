"""What a FineTuneJob starts from: the model, the method, what of the model is tuned, and the data."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from tunesmith.resources.references import ConfigMapKeyReference, NameReference, SecretKeyReference
from tunesmith.resources.schema import (
    SHA256,
    URL,
    Flag,
    Line,
    ListOf,
    ModelID,
    NonNegativeDecimal,
    Part,
    PositiveDecimal,
    RatioBelowOne,
    Rule,
    StoragePath,
    Word,
    at_most_one,
    between,
    doc,
    items,
    union,
)

Revision = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
Repository = Annotated[
    str, StringConstraints(min_length=3, max_length=200, pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
]
ObjectKey = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Bucket = Annotated[str, StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]


class ModelType(StrEnum):
    """Where the base model is named."""

    CATALOG = "Catalog"
    HUGGING_FACE = "HuggingFace"
    PATH = "Path"


class CatalogReference(Part):
    """A model of the catalogue."""

    name: Annotated[
        ModelID, doc("A CatalogModel by its object name, or by the provider's id; see `kubectl get catalogmodels`.")
    ]


class HubModel(Part):
    """A model of the Hugging Face Hub."""

    repo: Annotated[Repository, doc("The repository, such as 'Qwen/Qwen3-0.6B'.")]
    revision: Annotated[Revision, doc("Branch, tag or commit; resolved once, when the job starts.")] = "main"
    token_secret_ref: Annotated[SecretKeyReference | None, doc("Access token, for gated repositories.")] = None


class BaseModelSource(Part):
    """The base model."""

    type: Annotated[
        ModelType,
        doc(
            "'Catalog' for a model of the provider's table, 'HuggingFace' for "
            "one of the Hub, 'Path' for one on the storage."
        ),
    ]
    catalog: Annotated[CatalogReference | None, doc("The catalogue's model.")] = None
    hugging_face: Annotated[
        HubModel | None,
        doc("A causal language model under 100 billion parameters, with safetensors and without code of its own."),
    ] = None
    path: Annotated[
        StoragePath | None, doc("Directory on the job's storage with weights, configuration and tokenizer.")
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = union(ModelType, needed=("Catalog", "HuggingFace", "Path"))


class MethodType(StrEnum):
    """What the model learns from."""

    SFT = "SFT"
    DPO = "DPO"


class TrainOnInputs(StrEnum):
    """Whether the prompt is learned too."""

    AUTO = "Auto"
    ALWAYS = "Always"
    NEVER = "Never"


class SFT(Part):
    """Supervised fine-tuning: the model learns to say what the examples say."""

    train_on_inputs: Annotated[
        TrainOnInputs,
        doc(
            "Whether prompts are learned besides answers. 'Auto': not for chats "
            "and prompt/completion rows, but for plain text."
        ),
    ] = TrainOnInputs.AUTO


class DPO(Part):
    """Direct preference optimization and its relatives: the model learns to prefer the chosen answer.

    Plain DPO by default; LN-DPO with `normalizeLogratiosByLength`; DPO+NLL with `rpoAlpha`; SimPO with `simpoGamma`.
    """

    beta: Annotated[
        PositiveDecimal | None,
        doc(
            "How closely the tuned model stays to its base, in quotes; 0.05 to 0.9 is usual, 2 to 5 with length "
            "normalization. Absent: 0.1, or 2 with length normalization (SimPO has it)."
        ),
    ] = None
    normalize_logratios_by_length: Annotated[
        Flag,
        doc("LN-DPO: divide log-ratios by the answer's length, so that long answers weigh no more than short ones."),
    ] = False
    rpo_alpha: Annotated[
        NonNegativeDecimal | None,
        doc("DPO+NLL: weight of the likelihood of the chosen answer, in quotes; 0 or absent is off."),
    ] = None
    simpo_gamma: Annotated[
        NonNegativeDecimal | None,
        doc(
            "SimPO: the margin by which the chosen answer must win; above 0 no "
            "reference model is used and length is normalized."
        ),
    ] = None
    reference_free: Annotated[Flag, doc("Compare with a uniform model in place of the base model.")] = False

    rules: ClassVar[tuple[Rule, ...]] = (
        at_most_one("rpoAlpha", "simpoGamma", attributes=("rpo_alpha", "simpo_gamma")),
    )


class Method(Part):
    """How the model is tuned: by examples or by preferences."""

    type: Annotated[MethodType, doc("'SFT' learns from examples, 'DPO' from pairs of a better and a worse answer.")] = (
        MethodType.SFT
    )
    sft: Annotated[SFT | None, doc("Settings of supervised fine-tuning. Absent: their defaults.")] = None
    dpo: Annotated[
        DPO | None, doc("Settings of preference optimization (DPO, LN-DPO, DPO+NLL, SimPO). Absent: their defaults.")
    ] = None

    rules: ClassVar[tuple[Rule, ...]] = union(MethodType, optional=("SFT", "DPO"))

    @property
    def train_on_inputs(self) -> TrainOnInputs:
        """Whether prompts are learned, with the default filled in."""
        return (self.sft or SFT()).train_on_inputs


class TuningType(StrEnum):
    """How much of the model changes."""

    LORA = "LoRA"
    FULL = "Full"


class BaseQuantization(StrEnum):
    """How the frozen base is held in memory."""

    NONE = "None"
    NF4 = "NF4"


class LoRA(Part):
    """A low-rank adapter beside the frozen model."""

    rank: Annotated[Annotated[int, between(1, 512)], doc("Rank of the adapter; the model's limit holds, often 64.")] = 8
    alpha: Annotated[Annotated[int, between(1, 4096)] | None, doc("Scale of the adapter. Absent: twice the rank.")] = (
        None
    )
    dropout: Annotated[
        RatioBelowOne, doc("Share of the adapter's inputs that is dropped while training, in quotes.")
    ] = Decimal("0")
    target_modules: Annotated[
        tuple[Word, ...],
        doc("Which modules are adapted, by name, or 'attention'. Absent: all linear layers and experts, not the head."),
        items(64),
        ListOf("set"),
    ] = ()
    base_quantization: Annotated[
        BaseQuantization, doc("'NF4' holds the frozen model in four bits (QLoRA): less memory, slower.")
    ] = BaseQuantization.NONE

    @property
    def scale_alpha(self) -> int:
        """Alpha, with the default filled in."""
        return self.alpha if self.alpha is not None else 2 * self.rank


class Tuning(Part):
    """How much of the model changes."""

    type: Annotated[TuningType, doc("'LoRA' trains a small adapter, 'Full' every weight.")] = TuningType.LORA
    lora: Annotated[LoRA | None, doc("Settings of the adapter. Absent: their defaults.")] = None

    rules: ClassVar[tuple[Rule, ...]] = union(TuningType, optional=("LoRA",))

    @property
    def adapter(self) -> LoRA:
        """The adapter's settings, with the defaults filled in."""
        return self.lora or LoRA()


class DatasetType(StrEnum):
    """Where rows come from."""

    PATH = "Path"
    HUGGING_FACE = "HuggingFace"
    HTTP = "HTTP"
    S3 = "S3"
    CONFIG_MAP = "ConfigMap"


class HubDataset(Part):
    """A dataset of the Hugging Face Hub."""

    repo: Annotated[Repository, doc("The repository of the dataset.")]
    revision: Annotated[Revision, doc("Branch, tag or commit; resolved once.")] = "main"
    subset: Annotated[Line | None, doc("Name of the configuration, where there are several.")] = None
    split: Annotated[Word, doc("Which split to read.")] = "train"
    token_secret_ref: Annotated[SecretKeyReference | None, doc("Access token, for gated datasets.")] = None


class HTTPFile(Part):
    """A file behind a URL."""

    url: Annotated[URL, doc("Where the file lies; no user name in it.")]
    sha256: Annotated[SHA256, doc("What it must hash to.")]


class S3Object(Part):
    """An object of an S3 bucket."""

    endpoint: Annotated[URL | None, doc("The endpoint, for stores other than AWS.")] = None
    bucket: Annotated[Bucket, doc("The bucket.")]
    key: Annotated[ObjectKey, doc("The object's key.")]
    credentials_secret_ref: Annotated[
        NameReference | None, doc("Secret with `accessKeyID` and `secretAccessKey`. Absent: public.")
    ] = None


class DatasetSource(Part):
    """Rows of JSONL or Parquet: text, chats, instructions, preferences, or tokens."""

    type: Annotated[DatasetType, doc("Where the rows are.")]
    path: Annotated[StoragePath | None, doc("File on the job's storage: .jsonl, .jsonl.gz or .parquet.")] = None
    hugging_face: Annotated[HubDataset | None, doc("A dataset of the Hugging Face Hub.")] = None
    http: Annotated[HTTPFile | None, doc("A file behind a URL.")] = None
    s3: Annotated[S3Object | None, doc("An object of an S3 bucket.")] = None
    config_map: Annotated[ConfigMapKeyReference | None, doc("JSONL in a ConfigMap, for small sets.")] = None

    rules: ClassVar[tuple[Rule, ...]] = union(DatasetType, needed=("Path", "HuggingFace", "HTTP", "S3", "ConfigMap"))


class OnUnstableTemplate(StrEnum):
    """What to do when a chat template does not let prompts be told from answers."""

    REFUSE = "Refuse"
    TRAIN_WHOLE = "TrainWhole"


class Dataset(Part):
    """What is learned, and what is kept aside to measure it."""

    training: Annotated[DatasetSource, doc("The rows to learn.")]
    validation: Annotated[
        DatasetSource | None, doc("Rows that are not learned; the loss on them is `evaluationLoss`.")
    ] = None
    on_unstable_template: Annotated[
        OnUnstableTemplate,
        doc(
            "When the model's chat template rewrites earlier turns: refuse such rows, or learn them whole, prompts too."
        ),
    ] = OnUnstableTemplate.REFUSE
