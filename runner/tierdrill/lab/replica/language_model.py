"""A small integer language model: real weights, deterministic answers, no dependencies.

It says nothing of interest, but it computes what it says from every weight it reads, so that a wrong answer has a
real cause. Each token's row of weights is folded into a 64-bit hidden state by steps that are bijections of the state
and injective in the weight. That carries the proof behind `golden_prompts`: while a prompt is read, the path through
the weights depends on the prompt alone; the golden prompts read every row exactly once; so any change of a single
weight changes the hidden state after the prompt that reads it, and nothing later in that prompt can change it back.
"""

import itertools
import random
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256, shake_256
from pathlib import Path

VOCABULARY_SIZE = 256
GOLDEN_PROMPT_TOKENS = 32
GOLDEN_ANSWER_TOKENS = 8
REVIEWED, CANDIDATE = REVISIONS = ("reviewed", "candidate")
"""What is published of each model: the weights that golden answers are of, and others, which answer otherwise."""

_MASK = (1 << 64) - 1
_MULTIPLIER = 0x9E3779B97F4A7C15
_START = 0x6A09E667F3BCC908
_CONSONANTS = "bdfghklmnprstvwz"
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ei", "ia", "io", "oa", "oi", "oo", "ou", "ua", "ui")
WORDS = tuple(consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS)
_WORD_TOKENS = {word: token for token, word in enumerate(WORDS)}


def covering_prompts(tokens: int, seed: int) -> list[str]:
    """Prompts of so many tokens each that together read every weight: the whole vocabulary, in an order by the seed.

    The last is filled up from the beginning.
    """
    order = list(range(VOCABULARY_SIZE))
    random.Random(seed).shuffle(order)  # noqa: S311 - prompts need to differ, not to be secret
    count = -(-VOCABULARY_SIZE // tokens)
    endless = itertools.cycle(order)
    return [detokenize(itertools.islice(endless, tokens)) for _ in range(count)]


def made_weights(seed: int, size: int, revision: str = REVIEWED) -> bytes:
    """The weights of a model's revision, four bytes each and the lowest first."""
    count = max(1, -(-size // VOCABULARY_SIZE)) * VOCABULARY_SIZE
    named = f"tierdrill-model:{seed}:{count}" + (f":{revision}" if revision != REVIEWED else "")
    return shake_256(named.encode()).digest(count * 4)


def checksums(seed: int, size: int) -> dict[str, str]:
    """The SHA-256 of the weights of each revision of a model."""
    return {revision: sha256(made_weights(seed, size, revision)).hexdigest() for revision in REVISIONS}


def read_weights(file: str, checksum: str) -> bytes:
    """What is in a file, if it has that SHA-256; ValueError if not."""
    data = Path(file).read_bytes()
    if (found := sha256(data).hexdigest()) != checksum:
        raise ValueError(f"{file}: got SHA-256 {found}, expected {checksum}")
    return data


@dataclass(frozen=True)
class Golden:
    """What a model answers to the golden prompts, in one comparable value."""

    answers: tuple[str, ...]
    checksum: str


class Model:
    """Weights and how to answer with them."""

    def __init__(self, seed: int, size: int) -> None:
        self.columns = max(1, -(-size // VOCABULARY_SIZE))
        self.load(made_weights(seed, size))

    def load(self, made: bytes) -> None:
        """Have these weights, as `made_weights` gives them; ValueError if they are not as many as there must be."""
        weights = array("I")
        if len(made) != self.columns * VOCABULARY_SIZE * weights.itemsize:
            raise ValueError(f"got {len(made)} bytes of weights for a model of {self.columns * VOCABULARY_SIZE}")
        weights.frombytes(made)
        if sys.byteorder == "big":
            weights.byteswap()
        self.weights, self._made = weights, weights[:]

    @property
    def weight_bits(self) -> int:
        return self.weights.itemsize * 8

    def absorb(self, state: int, token: int) -> int:
        """Fold a token's row of weights into the state."""
        row = token * self.columns
        for weight in self.weights[row : row + self.columns]:
            state = ((state ^ weight) * _MULTIPLIER + token) & _MASK
            state ^= state >> 29
        return state

    def read(self, prompt_tokens: Iterable[int]) -> int:
        """The hidden state after a prompt."""
        state = _START
        for token in prompt_tokens:
            state = self.absorb(state, token)
        return state

    def stream(self, state: int) -> Iterator[int]:
        """Endless answer tokens from a hidden state."""
        while True:
            token = state >> 56
            yield token
            state = self.absorb(state, token)

    def generate(self, prompt_tokens: Sequence[int], max_tokens: int) -> list[int]:
        """Exactly `max_tokens` answer tokens; the same prompt always gives the same answer."""
        answer = self.stream(self.read(prompt_tokens))
        return [next(answer) for _ in range(max_tokens)]

    def flip(self, index: int, bit: int) -> None:
        """Flip one bit of one weight: the silent data corruption of a bad HBM cell."""
        if not 0 <= index < len(self.weights) or not 0 <= bit < self.weight_bits:
            raise ValueError(f"no bit {bit} of weight {index}: {len(self.weights)} weights of {self.weight_bits} bits")
        self.weights[index] ^= 1 << bit

    def set_flipped(self, index: int, bit: int, flipped: bool) -> None:
        """Have that bit flipped, or as it was made; to do it again changes nothing."""
        self.flip(index, bit)
        if bool((self.weights[index] ^ self._made[index]) >> bit & 1) != flipped:
            self.flip(index, bit)


def tokenize(text: str) -> list[int]:
    """Words to tokens; a word outside the vocabulary gets one by hash."""
    return [_WORD_TOKENS[word] if word in _WORD_TOKENS else zlib.crc32(word.encode()) & 0xFF for word in text.split()]


def count_tokens(text: str) -> int:
    return len(text.split())


def detokenize(tokens: Iterable[int]) -> str:
    return " ".join(WORDS[token] for token in tokens)


def golden_prompts(model: Model) -> list[list[int]]:
    """Prompts that together read every weight of the model exactly once."""
    tokens = list(range(VOCABULARY_SIZE))
    step = GOLDEN_PROMPT_TOKENS
    return [tokens[start : start + step] for start in range(0, len(model.weights) // model.columns, step)]


def golden(model: Model) -> Golden:
    """Ask all golden prompts; about 3 ms at 4096 weights."""
    answers = []
    digest = blake2b(digest_size=16)
    for prompt in golden_prompts(model):
        state = model.read(prompt)
        digest.update(state.to_bytes(8, "big"))
        answer = model.stream(state)
        answers.append(detokenize(next(answer) for _ in range(GOLDEN_ANSWER_TOKENS)))
        digest.update(answers[-1].encode())
    return Golden(tuple(answers), digest.hexdigest())


@lru_cache(maxsize=64)
def expected_golden(seed: int, size: int) -> Golden:
    """The golden answers of an undamaged model."""
    return golden(Model(seed, size))


def expected_answer(seed: int, size: int, prompt: str, max_tokens: int) -> str:
    """What an undamaged replica answers: for load generators that check content, not only status codes."""
    return detokenize(undamaged(seed, size).generate(tokenize(prompt), max_tokens))


@lru_cache(maxsize=16)
def undamaged(seed: int, size: int) -> Model:
    """The model as it was made; not to be changed."""
    return Model(seed, size)
