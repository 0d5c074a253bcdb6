"""Slots and KV cache of a replica: who goes first where memory is short, and what becomes of who has to wait again."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.lab.lab_config import GpuConfig
from tierdrill.lab.node.gpu_errors import Settings, Tracked, state_document, write_json
from tierdrill.lab.replica.language_model import Model, tokenize
from tierdrill.lab.replica.replica_api import Ask
from tierdrill.lab.replica.replica_metrics import ReplicaMetrics
from tierdrill.lab.replica.serving_engine import Engine, GpuView

GPU = GpuConfig(0, "GPU-0", 80, "H100 (emulated)", "00000000:04:00.0")
MODEL = Model(1, 64)


class Rig(Engine):
    """An engine of four slots, on a GPU of whose KV cache somebody may take a share."""

    def __init__(self, folder: Path, decode_ms: float = 1.0) -> None:
        self.file, self.told = folder / "gpu-0.state", ReplicaMetrics("m", "m-0")
        self.take(0.0)
        gpu = GpuView(self.file, 0.0)
        super().__init__(MODEL, gpu, self.told, slots=4, prefill_ms_per_token=0.0, decode_ms_per_token=decode_ms)

    def take(self, share: float) -> None:
        write_json(self.file, state_document(GPU, Tracked(Settings(kv_cache_taken=share))))

    async def whole(self, rank: int, tokens: int, *, stream: bool = False) -> str:
        ask = Ask(tokenize("how are you"), tokens, stream)
        return " ".join([piece async for piece in self.answer(ask, rank)])

    def preemptions(self) -> float:
        told = (line.rpartition(" ") for line in self.told.render().decode().splitlines())
        return next(float(value) for name, _, value in told if name.startswith("vllm:num_preemptions_total"))


def test_where_memory_is_short_the_less_important_waits_again_and_still_answers_rightly(tmp_path: Path) -> None:
    async def scene() -> None:
        engine, ended = Rig(tmp_path), list[str]()

        async def one(name: str, rank: int, tokens: int, stream: bool) -> str:
            text = await engine.whole(rank, tokens, stream=stream)
            ended.append(name)
            return text

        batch = [asyncio.ensure_future(one(f"batch-{stream}", 3, 200, stream)) for stream in (False, True)]
        await asyncio.sleep(0)
        assert engine.running == 2
        engine.take(0.9)
        await one("customer", 1, 20, False)
        assert ended == ["customer"] and engine.preemptions() >= 2 and engine.running == 1
        engine.take(0.0)
        expected = await engine.whole(1, 200)
        assert await asyncio.gather(*batch) == [expected, expected]
        assert (engine.running, engine.waiting) == (0, 0)

    asyncio.run(scene())


def test_with_memory_for_all_nobody_is_preempted(tmp_path: Path) -> None:
    async def scene() -> None:
        engine = Rig(tmp_path)
        await asyncio.gather(*(engine.whole(rank, 20) for rank in (3, 3, 3, 3, 1, 2)))
        assert engine.preemptions() == 0

    asyncio.run(scene())


@settings(max_examples=20, deadline=None)
@given(asks=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5), st.booleans()), min_size=1, max_size=12))
def test_no_slot_is_lost_whoever_comes_and_goes(asks: list[tuple[int, int, bool]]) -> None:
    async def scene(folder: Path) -> None:
        engine = Rig(folder, decode_ms=0.2)
        engine.take(0.6)
        tasks = [asyncio.ensure_future(engine.whole(rank, tokens, stream=True)) for rank, tokens, _ in asks]
        await asyncio.sleep(0)
        assert engine.running == 1
        for task, (_, _, leaves) in zip(tasks, asks, strict=True):
            if leaves:
                task.cancel()
        await asyncio.sleep(0)
        engine.take(0.0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (engine.running, engine.waiting) == (0, 0)
        assert [task.cancelled() for task in tasks] == [leaves for _, _, leaves in asks]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scene(Path(folder)))
