"""Every reason that a condition or an Event may carry, each with the line that `docs/reference/reasons.md` shows.

Reasons are words for programs: once published they do not change. A message beside them says what happened, why, and
what to do. Long because it is one table.
"""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A reason and what it means."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """A reason is its word; the meaning comes along."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    # All kinds
    NOT_YET_OBSERVED = "NotYetObserved", "The operator has not looked at this yet."
    IN_ORDER = "InOrder", "Everything is as the spec wants it."
    DELETING = "Deleting", "The resource is being deleted; what it bought is being given back."
    INVALID = "Invalid", "The resource cannot be read; the message names the field."
    NOT_IMPLEMENTED = (
        "NotImplemented",
        "A field is set that this version does not act on. Remove it, or use a version that does.",
    )

    # What is bought
    CREDENTIALS_MISSING = (
        "CredentialsMissing",
        "There is no Secret with `apiKey`, or the installation's may not be used in this namespace.",
    )
    CREDENTIALS_REFUSED = "CredentialsRefused", "The provider refuses the key. Put a valid one into the Secret."
    CREDENTIAL_MISMATCH = (
        "CredentialMismatch",
        "The key is of another account than the one that bought this. Nothing is touched.",
    )
    PROVIDER_UNREACHABLE = "ProviderUnreachable", "The provider does not answer; it is tried again."
    PROVIDER_REFUSED = "ProviderRefused", "The provider refuses the request, in the words of the message."
    ORDER_NOT_SENT = "OrderNotSent", "The order never left the operator: nothing was bought. It is tried again."
    RATE_LIMITED = "RateLimited", "The provider asks to slow down; it is tried again."
    REGION_UNKNOWN = "RegionUnknown", "The provider has no such region. See `kubectl get gpuregions`."
    GPU_TYPE_UNAVAILABLE = "GPUTypeUnavailable", "The region does not have this GPU type. See `kubectl get gpuregions`."
    DRIVER_UNKNOWN = "DriverUnknown", "The region has no such driver. See `kubectl get gpuregions -o yaml`."
    OUT_OF_STOCK = "OutOfStock", "The provider has no such GPUs left; it is tried again."
    BUYING = "Buying", "The intent is written; the provider is asked next."
    LOOKING_BEFORE_BUYING = (
        "LookingBeforeBuying",
        "A request may have reached the provider; its lists are read before anything else is bought.",
    )
    ORDERS_UNANSWERED = (
        "OrdersUnanswered",
        "The provider answers one order after another with an error, and each is looked for. Ask its support.",
    )
    NOT_BOUGHT = "NotBought", "Nothing is bought yet, so there is nothing to be seen of it."
    PROVISIONING = "Provisioning", "The provider is making it."
    PROVISION_FAILED = "ProvisionFailed", "The provider says that it could not be made."
    BOUGHT = "Bought", "The provider has made it."
    DEGRADED = "Degraded", "The provider says that something of it does not work."
    DRIFTED = "Drifted", "The provider's object differs from the spec in the fields of the message."
    CONFIRMING_ABSENCE = (
        "ConfirmingAbsence",
        "The provider shows it no more; it is looked for once again before that is believed.",
    )
    DELETED_OUTSIDE = "DeletedOutside", "Somebody else is deleting it at the provider."
    SIZE_CHANGED_OUTSIDE = (
        "SizeChangedOutside",
        "Somebody else changed its size at the provider; the size of the spec is restored.",
    )
    STOPPED_BY_PROVIDER = (
        "StoppedByProvider",
        "The provider has stopped it. Ask its support.",
    )
    CREDENTIAL_UNREADABLE = "CredentialUnreadable", "The Secret with the API key could not be read; it is tried again."
    KUBECONFIG_UNREADABLE = (
        "KubeconfigUnreadable",
        "The Secret with the kubeconfig could not be read; it is tried again.",
    )
    NO_CREDIT = "NoCredit", "The provider wants payment first. Settle the account there."
    JOBS_SAVING = "JobsSaving", "Jobs that are being deleted are saving; the cluster is given back after that."
    BUYING_NEW = "BuyingNew", "A restored object leaves what its backup speaks of to its owner, and buys anew."
    VOLUME_IN_ANOTHER_REGION = (
        "VolumeInAnotherRegion",
        "The SharedVolume is of another region than the cluster, so it cannot be attached.",
    )
    VOLUME_NOT_IN_CLUSTER = (
        "VolumeNotInCluster",
        "The cluster's Kubernetes has neither the volume nor a storage class for it yet.",
    )
    SCALE_DOWN_WAITS = "ScaleDownWaits", "Nodes that are to go are held by jobs; they go as jobs end."
    NOT_MEASURED = "NotMeasured", "This is not measured."
    AS_WANTED = "AsWanted", "The provider's object is as the spec says."
    TESTS_PASSED = "TestsPassed", "The provider's acceptance tests let the cluster pass."
    TESTS_FAILED = (
        "AcceptanceTestsFailed",
        "The provider's acceptance tests failed. Ask its support, or delete the cluster and buy another.",
    )
    TESTS_SKIPPED = "TestsSkipped", "Every acceptance test was left out, as asked."
    TESTS_NOT_SHOWN = (
        "TestsNotShown",
        "Acceptance tests were asked for and do not show. Ask the provider, or remove `spec.acceptanceTests`.",
    )
    TESTS_NOT_ASKED_FOR = "TestsNotAskedFor", "No acceptance tests were asked for, and none show."
    PROVISIONING_OVERDUE = (
        "ProvisioningOverdue",
        "A stage of making the cluster takes longer than the installation allows. Ask the provider's support.",
    )
    CHANGING = "Changing", "The provider's object is being changed to what the spec says."
    NOT_TESTED_YET = "NotTestedYet", "The provider tests the cluster before it is Ready."
    PREDECESSOR_FOUND = (
        "PredecessorFound",
        "One that was bought for this resource before still exists. Set `spec.adoptionPolicy` to decide.",
    )
    DUPLICATE_FOUND = (
        "DuplicateFound",
        "The provider has more than one of this resource. Delete there what is too much.",
    )
    RESTORED = (
        "Restored",
        "The resource was restored from a backup of another object. Set `spec.adoptionPolicy` to decide.",
    )
    ALREADY_OWNED = "AlreadyOwned", "Another resource owns the provider's object: it bought it, or it is older."
    ADOPTED = "Adopted", "An existing object of the provider was taken over."
    ADOPTION_MISMATCH = (
        "AdoptionMismatch",
        "The object to adopt differs from the spec in a field that cannot be changed.",
    )
    NOTHING_TO_ADOPT = (
        "NothingToAdopt",
        "The API key does not show what `spec.adopt` names. It is taken over when it shows; nothing is bought.",
    )
    ADOPTION_AMBIGUOUS = (
        "AdoptionAmbiguous",
        "The provider has several of the name to adopt. Make the resource again with the id of one.",
    )
    ADOPTION_REFUSED = (
        "AdoptionRefused",
        "The object to adopt was bought for another resource, or by another installation of Tunesmith.",
    )
    WATCHED = "Watched", "An existing object of the provider is watched, and never changed."
    GONE = "Gone", "The provider no longer has it."
    ABSENCE_UNPROVEN = (
        "AbsenceUnproven",
        "Whether it still exists cannot be told. Mend the credential, or use the annotation `tunesmith.dev/abandon`.",
    )
    ABANDONED = "Abandoned", "A user let the resource go without proof that nothing bills."
    DELETED = "Deleted", "The provider confirmed that it is gone."
    RETAINED = "Retained", "It was kept at the provider, as `spec.deletionPolicy` says."
    DELETION_PROTECTED = (
        "DeletionProtected",
        "The annotation `tunesmith.dev/deletion-protection` holds the deletion. Remove it to let the resource go.",
    )
    NOT_GIVEN_BACK = (
        "NotGivenBack",
        "The provider was asked to delete it and has not; it is asked again. It may bill: see to it at the provider.",
    )
    PRICE_UNKNOWN = "PriceUnknown", "The installation knows no price for it."

    # GPUCluster
    SCHEDULED = "Scheduled", "The cluster is paid for ahead; the provider builds it when its time begins."
    START_IN_THE_PAST = (
        "StartInThePast",
        "The time that was to be paid for has begun or passed, so it cannot be bought. Make the resource again.",
    )
    RESERVATION_ENDS_IN_DAYS = "ReservationEndsInDays", "The paid time ends within seven days; save, extend or replace."
    RESERVATION_ENDS_IN_A_DAY = "ReservationEndsInADay", "The paid time ends within 24 hours; save, extend or replace."
    RESERVATION_ENDS_IN_AN_HOUR = (
        "ReservationEndsInAnHour",
        "The paid time ends within the hour; what is not saved is lost.",
    )
    RESERVATION_ENDED = "ReservationEnded", "The paid time is over, and the provider has ended the cluster."
    CHANGE_REFUSED = "ChangeRefused", "The provider refuses a change of the spec; the cluster goes on as it is."
    DRIVER_MISSING = "DriverMissing", "The provider wants another driver named. Set `spec.driver`."
    VOLUME_IN_ANOTHER_PARTITION = (
        "VolumeInAnotherPartition",
        "The volume lies in another part of the region than the GPUs. Make it with its first cluster.",
    )
    CONNECTING = "Connecting", "The operator is connecting to the cluster's own Kubernetes; nothing was seen of it yet."
    CLUSTER_UNREACHABLE = "ClusterUnreachable", "The cluster's Kubernetes does not answer."
    UNREACHABLE = (
        "Unreachable",
        "The cluster's Kubernetes has not answered for longer than the installation allows. See the provider.",
    )
    KUBECONFIG_REJECTED = (
        "KubeconfigRejected",
        "The cluster's Kubernetes does not accept the kubeconfig; the provider is asked for a newer one.",
    )
    ANOTHER_CLUSTER = (
        "AnotherCluster",
        "The kubeconfig leads to another Kubernetes than the one that was bought; nothing is run there.",
    )
    KUBECONFIG_MISSING = "KubeconfigMissing", "The provider has not given a kubeconfig yet."
    KUBECONFIG_REFUSED = "KubeconfigRefused", "The kubeconfig holds what is not allowed, such as `exec` or file paths."
    KUBECONFIG_WRITTEN = "KubeconfigWritten", "The Secret holds the kubeconfig."
    SECRET_NOT_OURS = (
        "SecretNotOurs",
        "A Secret of the wanted name exists and is not ours. Choose another in `spec.kubeconfigSecretName`.",
    )
    NODES_NOT_READY = "NodesNotReady", "Some nodes of the cluster are not Ready."
    NODES_READY = "NodesReady", "All nodes of the cluster are Ready."
    NODES_OVERDUE = (
        "NodesOverdue",
        "Nodes have not been Ready for longer than the installation allows; jobs use the others. Have them repaired.",
    )
    NODE_NOT_READY = "NodeNotReady", "The node is not Ready in the cluster's Kubernetes."
    NODE_NOT_JOINED = "NodeNotJoined", "The provider runs the node, but the cluster's Kubernetes does not have it."
    NODE_FAILED = "NodeFailed", "The provider says that the node has failed."
    NODE_ALARM = "NodeAlarm", "The node itself reports a fault of its kernel, its disk or its network."
    PROVIDER_ALERT = "ProviderAlert", "The provider's health checks say CRITICAL of the node."
    BLAMED_BY_JOBS = "BlamedByJobs", "Jobs failed on the node. Two jobs that do make it one to repair."
    NODES_UNDER_REPAIR = "NodesUnderRepair", "The provider repairs nodes; jobs use the others."
    NODE_REPAIR_ASKED = "NodeRepairAsked", "The provider was asked to repair a node; its jobs had left it."
    NODE_REPAIRED = "NodeRepaired", "A repair of a node has ended well."
    NODE_REPAIR_FAILED = "NodeRepairFailed", "A repair of a node has failed; another follows after the pause."
    REPAIR_PROPOSED = "RepairProposed", "A repair of a node waits for approval at the provider."
    NODES_PREEMPTED = (
        "NodesPreempted",
        "The provider takes preemptible nodes away; their jobs save and go on elsewhere.",
    )
    SCALING = "Scaling", "The provider is changing the number of nodes."
    SCALING_OVERDUE = (
        "ScalingOverdue",
        "The provider has not changed the number of nodes within the time that the installation allows. Ask it.",
    )
    HELD_BY_JOBS = "HeldByJobs", "Jobs hold GPUs of the cluster; it waits for them."
    WAITING_FOR_VOLUME = "WaitingForVolume", "The SharedVolume is not there, or not ready to be attached."
    VOLUME_IN_USE = "VolumeInUse", "Another cluster has the SharedVolume attached."
    VOLUME_OF_ANOTHER_ACCOUNT = (
        "VolumeOfAnotherAccount",
        "Volume and cluster have different keys or projects. Give both the same `credentialsRef` and `projectID`.",
    )
    IDLE = "Idle", "Nothing is known to use the cluster; `status.idleSince` says since when."
    IDLE_LONG = (
        "IdleLong",
        "Nothing has used the cluster for longer than the warning time. Delete it, or set `spec.idle`.",
    )
    CLUSTER_IN_USE = "ClusterInUse", "A job, a pod with GPUs or the keep-alive annotation uses the cluster."
    USE_UNKNOWN = (
        "UseUnknown",
        "Whether anything uses the cluster cannot be seen; the idle clock neither runs nor starts anew.",
    )
    KEEP_ALIVE_UNREADABLE = (
        "KeepAliveUnreadable",
        "The annotation `tunesmith.dev/keep-alive-until` is not a time, so the cluster is kept. Mend or remove it.",
    )
    RELEASING = "Releasing", "The cluster is given back, for the reason in `status.release`; the resource stays."
    RELEASED = "Released", "The cluster was given back and bills nothing; the message says what buys it again."
    RELEASE_WITHDRAWN = "ReleaseWithdrawn", "A release was taken back before anything was deleted."
    REACQUIRED = "Reacquired", "A released cluster is bought again."
    KEEPS_VANISHING = (
        "KeepsVanishing",
        "Clusters vanish soon after they were bought; the pause before the next grows. Find out who deletes them.",
    )
    RECREATED = "Recreated", "The cluster vanished and is bought again, as `spec.recreatePolicy` says."
    OUTSIDE_SCHEDULE = "OutsideSchedule", "It is outside the hours of `spec.schedule`, so there is no cluster."
    HOURS_OVER = "HoursOver", "The hours of `spec.schedule` are over; the cluster goes when its jobs have ended."
    SCHEDULE_INVALID = "ScheduleInvalid", "A cron line or the time zone of `spec.schedule` cannot be read."
    ORPHAN_FOUND = (
        "OrphanFound",
        "Something bills at the provider and no resource answers for it. See `tunesmith orphans`; adopt or delete it.",
    )
    ORPHAN_DELETED = "OrphanDeleted", "A cluster that no resource answers for was deleted, as `orphans.mode` says."
    ORPHAN_NOT_DELETED = (
        "OrphanNotDeleted",
        "A cluster that no resource answers for is to be deleted, and the provider did not do it. It is tried again.",
    )
    NO_BUDGET = "NoBudget", "No budget is set."
    WITHIN_BUDGET = "WithinBudget", "Less than 80 % of the budget is spent."
    BUDGET_NEARLY_SPENT = "BudgetNearlySpent", "80 % of the budget is spent. Raise it, or expect its end."
    BUDGET_SPENT = "BudgetSpent", "The budget is spent; `spec.budget.action` says what follows. Raise it to go on."
    BUDGET_TOO_SMALL = (
        "BudgetTooSmall",
        "The first hour of what is bought or added, or what is paid at once, costs more than is left of the budget.",
    )

    # SharedVolume
    WAITING_FOR_CLUSTER = "WaitingForCluster", "The volume is made with the first cluster that names it."
    ELECTED = "Elected", "The cluster of the message makes the volume with itself."
    IN_USE = "InUse", "A cluster has the volume attached."
    NOT_IN_USE = "NotInUse", "No cluster has the volume attached."
    RESIZING = "Resizing", "The provider is growing the volume."
    GROWTH_AT_LIMIT = (
        "GrowthAtLimit",
        "The volume is full enough to grow, but as large as `spec.growth.maxTiB` allows. Raise it, or clear it.",
    )
    ACCESS_REVOKED = (
        "AccessRevoked",
        "The provider has withdrawn access to the volume. See the account's credit, or ask the provider's support.",
    )

    # FineTuneJob
    MODEL_UNKNOWN = "ModelUnknown", "The catalogue has no such model. See `kubectl get catalogmodels`."
    WEIGHTS_UNKNOWN = (
        "WeightsUnknown",
        "Where the model's weights are is not known. Set `spec.weightsPath`, or use another model.",
    )
    BATCH_SIZE_OUT_OF_RANGE = "BatchSizeOutOfRange", "The model does not allow this batch size for the method."
    BATCH_SIZE_UNKNOWN = "BatchSizeUnknown", "No table of limits knows the model; set `spec.training.batchSize`."
    CONTEXT_LENGTH_UNKNOWN = (
        "ContextLengthUnknown",
        "No table of limits knows the model; set `spec.training.contextLength`.",
    )
    GPUS_DO_NOT_DIVIDE = "GPUsDoNotDivide", "The GPUs cannot be shared evenly among pods."
    CONTEXT_TOO_LONG = "ContextTooLong", "The model does not allow this context length for the method."
    DOES_NOT_FIT = (
        "DoesNotFit",
        "Not even one row fits into a GPU's memory; the message names the changes that would make it fit.",
    )
    NEEDS_CONTEXT_PARALLELISM = (
        "NeedsContextParallelism",
        "The provider spreads each sequence of this model over all GPUs, which is not built. Take a smaller model.",
    )
    RANK_TOO_HIGH = "RankTooHigh", "The model does not allow an adapter of this rank."
    EARLIER_JOB_NOT_FOUND = "EarlierJobNotFound", "There is no FineTuneJob of the name to continue from."
    EARLIER_JOB_NOT_FINISHED = (
        "EarlierJobNotFinished",
        "The job to continue from has no result yet; this one waits for it.",
    )
    EARLIER_JOB_ELSEWHERE = "EarlierJobElsewhere", "The job to continue from keeps its results on another storage."
    BASE_MODEL_DIFFERS = "BaseModelDiffers", "The job to continue from was trained on another base model."
    TUNING_DIFFERS = (
        "TuningDiffers",
        "The job to continue from was tuned otherwise: type, rank, alpha or target modules differ.",
    )
    CHECKPOINT_NOT_FOUND = (
        "CheckpointNotFound",
        "The job to continue from has no such checkpoint that is known; name its directory.",
    )
    IMAGE_NOT_ALLOWED = "ImageNotAllowed", "The image matches nothing on the installation's list."
    STORAGE_MISMATCH = "StorageMismatch", "The job's SharedVolume is not the one of the cluster."
    CLUSTER_NOT_FOUND = "ClusterNotFound", "The GPUCluster does not exist."
    SLURM_CLUSTER = "SlurmCluster", "The GPUCluster runs Slurm; jobs need one of `clusterType` 'Kubernetes'."
    CLUSTER_WATCHED = (
        "ClusterWatched",
        "The GPUCluster is only watched; jobs need one of `managementPolicy` 'Manage'.",
    )
    CLUSTER_REQUESTED = "ClusterRequested", "The job's own GPUCluster is being made from its template."
    CLUSTER_RELEASED = "ClusterReleased", "The GPUCluster was given back, or is being; the message says what buys it."
    CLUSTER_LOST = (
        "ClusterLost",
        "The provider has the job's cluster no more. The job waits for another: see the GPUCluster's message.",
    )
    CLUSTER_DELETING = "ClusterDeleting", "The GPUCluster is being deleted."
    CLUSTER_READY = "ClusterReady", "The GPUCluster takes pods."
    LOCAL_CLUSTER = "LocalCluster", "The job runs in the operator's own cluster."
    CLUSTER_NOT_READY = "ClusterNotReady", "The GPUCluster is not ready to take jobs."
    ACCEPTED = "Accepted", "The job is within the model's limits."
    DRY_RUN = "DryRun", "The plan is in the status; nothing is made, as `spec.dryRun` says."
    DATASET_NOT_FOUND = (
        "DatasetNotFound",
        "The dataset's ConfigMap or its key does not exist; the job is Stalled until it does.",
    )
    DATASET_CHANGED = "DatasetChanged", "The dataset's ConfigMap is not what was checked when the job began."
    DATASET_TOO_LARGE = "DatasetTooLarge", "ConfigMaps cannot carry so much data; put it on the storage."
    DATASET_CHECKED = "DatasetChecked", "The dataset was read and can be used."
    SOURCE_SECRET_NOT_FOUND = (
        "SourceSecretNotFound",
        "A Secret that opens a source of weights or data, or its key, does not exist; the job waits for it.",
    )
    OUTBOUND_SETTINGS_MISSING = (
        "OutboundSettingsMissing",
        "The Secret or ConfigMap that the chart's `outbound` names is not in the release's namespace; the job waits.",
    )
    WEIGHTS_GATED = (
        "WeightsGated",
        "The Hub gives the weights only with a token: name the repository by `spec.model.huggingFace` with one.",
    )
    PREPARING = "Preparing", "A pod without GPUs is started that fetches weights and data and checks them."
    PREPARING_AGAIN = "PreparingAgain", "Fetching or checking failed in a way that may pass; it is tried again."
    FETCHING = "Fetching", "Weights and data are brought to the storage."
    CHECKING = "Checking", "The data is being checked."
    QUEUED = "Queued", "The job waits for GPUs."
    POOL_TOO_SMALL = "PoolTooSmall", "The job asks for more GPUs than the cluster will ever have."
    POOL_UNKNOWN = "PoolUnknown", "The pool's nodes, pods or jobs cannot be seen, so nothing is granted."
    ADMISSION_RETURNED = "AdmissionReturned", "The granted nodes can no longer give it; the job asks again."
    ADMITTED = "Admitted", "GPUs are held for the job."
    PODS_NOT_MADE = "PodsNotMade", "The attempt's pods are not made yet."
    PODS_STARTING = "PodsStarting", "The pods are being started."
    PODS_RUNNING = "PodsRunning", "All pods run."
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "The image cannot be pulled. After ten minutes the job holds no GPUs and is Stalled until it can be.",
    )
    CONTAINER_NOT_CONFIGURED = (
        "ContainerNotConfigured",
        "A pod's container cannot be made from its settings, in Kubernetes' words in the message. Mend what they name.",
    )
    TRAINING = "Training", "The model is being trained."
    PROGRESS_UNKNOWN = "ProgressUnknown", "The trainer's log cannot be read."
    SAVING = "Saving", "The trainer writes a checkpoint before it stops."
    RESTARTING = "Restarting", "The attempt failed; the next one goes on from the newest complete checkpoint."
    MODEL_NOT_FINE_TUNED = (
        "ModelNotFineTuned",
        "The catalogue has the model for inference only; the message says what to do.",
    )
    ARCHITECTURE_NOT_TRAINED = (
        "ArchitectureNotTrained",
        "Models of this architecture cannot be trained; the message says why. Take another model.",
    )
    DROPOUT_ON_EXPERTS = (
        "DropoutOnExperts",
        "Experts cannot be adapted with a dropout. Set it to 0, or adapt the attention only.",
    )
    BASE_IS_QUANTIZED = (
        "BaseIsQuantized",
        "The model's weights are quantised already and cannot be put into four bits. Leave `baseQuantization` out.",
    )
    TRAINER_NOTE = "TrainerNote", "The trainer wants a person to know something, such as a jump of the loss."
    NODE_LOST = "NodeLost", "A node of the attempt is gone or not Ready."
    POD_FAILED = "PodFailed", "A pod of the attempt failed."
    OUT_OF_MEMORY = "OutOfMemory", "The trainer ran out of memory."
    GPUS_MISSING = (
        "GPUsMissing",
        "Fewer GPUs can be used than were bought, or a pod was given GPUs and found none.",
    )
    UNCLASSIFIED = "Unclassified", "The attempt failed in a way that no class names."
    USAGE = "Usage", "The trainer's command line was wrong."
    USER_ERROR_DATA = "UserErrorData", "The dataset is missing, broken, or has nothing to train on."
    USER_ERROR_MODEL = "UserErrorModel", "The model's files are missing, or cannot be trained so."
    USER_ERROR_LIMITS = "UserErrorLimits", "A value is beyond what the model or the world allows."
    USER_ERROR_CREDENTIALS = "UserErrorCredentials", "A source refused the credentials given for it."
    USER_ERROR_CONFIGURATION = "UserErrorConfiguration", "The trainer refused its configuration."
    DIVERGED = "Diverged", "The loss became NaN or infinite; the same again would too."
    STALL = "Stall", "The attempt made no step for too long, by the trainer's word or by its silence."
    NO_GPUS = (
        "NoGPUs",
        "A container was given GPUs and saw fewer, or one of them failed: the node or its driver is broken.",
    )
    INFRASTRUCTURE = "Infrastructure", "Storage, network or a peer process failed."
    PREEMPTED = "Preempted", "The attempt had to make room; it goes on from its checkpoint, uncounted."
    SUPERSEDED = "Superseded", "A newer attempt of the job exists on the storage."
    END_MESSAGE_LOST = "EndMessageLost", "The trainer ended well but its message was lost; its result is looked for."
    PODS_LOST = "PodsLost", "The attempt's pods are gone."
    POD_DELETED = "PodDeleted", "A pod of the attempt was taken away."
    JOB_DELETED = "JobDeleted", "The attempt's Job was deleted by somebody else."
    RESTARTS_EXHAUSTED = "RestartsExhausted", "The job failed more often than `spec.recovery` allows."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The job ran longer than `spec.activeDeadlineSeconds`."
    NOT_YET = "NotYet", "This is looked at when what comes before it holds."
    NOT_ADMITTED = "NotAdmitted", "No GPUs are held for the job, so it has no pods."
    NOT_ENDED = "NotEnded", "The job has neither succeeded nor failed yet."
    ENDED = "Ended", "The job has ended: this is over, or nobody looks at it any more."
    PULL_SECRET_UNUSABLE = (
        "PullSecretUnusable",
        "A Secret of `spec.imagePullSecretRefs` does not exist, or is not of type `kubernetes.io/dockerconfigjson`.",
    )
    SUCCEEDED = "Succeeded", "The training is complete and its result was read again."
    FAILED = "Failed", "The job failed; the condition `Failed` says why."

    # CatalogModel, GPURegion
    CATALOGUED = "Catalogued", "The row can be used by jobs."
    REFRESHED = "Refreshed", "The provider was asked and has answered."
