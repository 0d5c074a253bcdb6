from tierdrill.faults.kind import FaultKind
from tierdrill.faults.store_names import MODEL_STORES

KIND = FaultKind(
    kind="model-store-unreachable",
    target_kind="store",
    action="stop_model_store",
    undo="resume_model_store",
    does="Let a model store answer nobody any more.",
    cause="an outage of the object store or of the way there, an expired credential, a registry behind a rate limit",
    source="https://aws.amazon.com/message/41926/",
    visible="what runs serves on; a replica that starts where its weights are not cached waits for them",
    undone="the store answers again",
    proof="the kernel says that the store's process is stopped; gone when it gives its manifest",
    among=MODEL_STORES,
)
