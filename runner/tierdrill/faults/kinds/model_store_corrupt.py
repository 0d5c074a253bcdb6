from tierdrill.faults.kind import FaultKind, Parameter
from tierdrill.faults.store_names import MODEL_STORES

KIND = FaultKind(
    kind="model-store-corrupt",
    target_kind="store",
    action="corrupt_model_store",
    undo="mend_model_store",
    does="Let a model store give damaged weights of a `model`: one bit of each of its files is another one.",
    cause="a bad disk or controller under the store, an upload that was cut short, a cache that mixes two files",
    source="https://www.usenix.org/conference/fast-08/analysis-data-corruption-storage-stack",
    visible="what runs serves on; a replica that starts where its weights are not cached refuses those it is given",
    undone="the files are as they were published",
    proof="the model's files in the store have another SHA-256 than its manifest says; gone when all have it",
    settings=(Parameter("model", "the model's name, such as assistant", names="model"),),
    among=MODEL_STORES,
)
