"""The model: deterministic answers, and no damaged bit goes unnoticed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.lab.replica.language_model import (
    CANDIDATE,
    WORDS,
    Model,
    covering_prompts,
    detokenize,
    expected_answer,
    expected_golden,
    golden,
    golden_prompts,
    made_weights,
    tokenize,
)

SEED, SIZE = 7, 1024
words = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=60)


def test_golden_prompts_read_every_weight_once() -> None:
    model = Model(SEED, SIZE)
    tokens = [token for prompt in golden_prompts(model) for token in prompt]
    assert sorted(tokens) == list(range(256))
    assert len(model.weights) == 256 * model.columns


@settings(max_examples=200, deadline=None)
@given(index=st.integers(0, SIZE - 1), bit=st.integers(0, 31))
def test_any_flipped_bit_is_caught(index: int, bit: int) -> None:
    model = Model(SEED, SIZE)
    model.flip(index, bit)
    damaged = golden(model)
    assert damaged.checksum != expected_golden(SEED, SIZE).checksum
    assert damaged.answers != expected_golden(SEED, SIZE).answers
    model.flip(index, bit)
    assert golden(model) == expected_golden(SEED, SIZE)


@given(index=st.integers(0, SIZE - 1), bit=st.integers(0, 31), flips=st.lists(st.booleans(), max_size=4))
def test_another_revision_answers_otherwise_and_its_bits_flip_and_go_back_too(
    index: int, bit: int, flips: list[bool]
) -> None:
    model, made = Model(SEED, SIZE), made_weights(SEED, SIZE, CANDIDATE)
    model.load(made)
    drifted = golden(model)
    assert all(one != other for one, other in zip(drifted.answers, expected_golden(SEED, SIZE).answers, strict=True))
    for flipped in [*flips, False]:
        model.set_flipped(index, bit, flipped)
        assert (golden(model) != drifted) == flipped
    with pytest.raises(ValueError, match="got 8 bytes of weights"):
        model.load(made[:8])
    assert golden(model) == drifted


def test_every_bit_of_a_small_model_is_caught() -> None:
    model = Model(SEED, 256)
    expected = expected_golden(SEED, 256)
    for index in range(len(model.weights)):
        bit = index % model.weight_bits
        model.flip(index, bit)
        assert golden(model).checksum != expected.checksum, (index, bit)
        model.flip(index, bit)


@given(tokens=st.integers(1, 600), seed=st.integers(0, 2**32))
def test_a_load_s_prompts_read_the_whole_vocabulary(tokens: int, seed: int) -> None:
    prompts = covering_prompts(tokens, seed)
    assert prompts == covering_prompts(tokens, seed)
    assert {len(tokenize(prompt)) for prompt in prompts} == {tokens}
    assert {token for prompt in prompts for token in tokenize(prompt)} == set(range(256))
    assert len(prompts) == -(-256 // tokens)


@pytest.mark.parametrize(("prompt_tokens", "max_tokens"), [(16, 8), (12, 12)], ids=["enterprise", "batch"])
def test_one_rota_of_a_load_finds_a_flip_of_any_weight(prompt_tokens: int, max_tokens: int) -> None:
    model = Model(SEED, 4096)
    prompts = [tokenize(prompt) for prompt in covering_prompts(prompt_tokens, SEED)]
    right = [model.generate(prompt, max_tokens) for prompt in prompts]
    unseen = []
    for index in range(len(model.weights)):
        bit = index % model.weight_bits
        model.flip(index, bit)
        reading = [number for number, prompt in enumerate(prompts) if index // model.columns in prompt]
        if all(model.generate(prompts[number], max_tokens) == right[number] for number in reading):
            unseen.append((index, bit))
        model.flip(index, bit)
    assert unseen == []


@settings(max_examples=50, deadline=None)
@given(prompt=words, max_tokens=st.integers(1, 40))
def test_answers_are_deterministic_and_prefixes_of_longer_ones(prompt: str, max_tokens: int) -> None:
    short, long = (expected_answer(SEED, SIZE, prompt, count) for count in (max_tokens, max_tokens + 5))
    assert long.split()[:max_tokens] == short.split()
    assert detokenize(Model(SEED, SIZE).generate(tokenize(prompt), max_tokens)) == short


def test_the_model_is_the_same_on_every_machine() -> None:
    assert list(Model(7, 4096).weights[:2]) == [805364852, 2906775673]
    assert expected_answer(7, 4096, "hello world", 6) == "lu lou bea zoa lua la"


def test_words_and_tokens() -> None:
    assert len(set(WORDS)) == 256
    assert tokenize(detokenize(range(256))) == list(range(256))


@pytest.mark.parametrize(("index", "bit"), [(-1, 0), (SIZE, 0), (0, 32), (0, -1)])
def test_bits_that_do_not_exist(index: int, bit: int) -> None:
    with pytest.raises(ValueError, match="no bit"):
        Model(SEED, SIZE).flip(index, bit)
