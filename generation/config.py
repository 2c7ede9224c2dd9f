"""Settings of the generation half: the engine, its limits, how it decodes, how long a text may take."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GenerationConfig(BaseModel):
    """The section `generation` of the settings. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    quantization: Literal["nf4", "fp4", "none"] = "nf4"
    """4-bit data type of the weights, as bitsandbytes names it; `none` keeps them in `compute_dtype`."""
    double_quant: bool = True
    """Quantise the quantisation constants too: about 0.4 bits less per weight."""
    compute_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Data type of activations and of what is not quantised."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs. `auto` is CUDA where there is one."""
    threads: int = Field(default=0, ge=0, le=256)
    """Threads that one CPU engine computes with at most; it uses one where that is faster, as on busy cores. 0: as many
    as there are cores."""
    max_batch: int = Field(default=8, ge=1, le=512)
    """Texts that are decoded together."""
    max_queue: int = Field(default=16, ge=0)
    """Texts that may wait for a place in the batch; more are refused with `OverloadError`."""
    kv_bytes: int = Field(default=256 << 20, ge=1 << 20)
    """Memory for keys and values, shared evenly by the places of the batch; it bounds how long a text may get."""
    prefix_bytes: int = Field(default=64 << 20, ge=0)
    """Memory for the keys and values of prompt beginnings that repeat (system, examples)."""
    prefill_chunk_tokens: int = Field(default=256, ge=32)
    """About so many tokens of new prompts are read in one step at most, beside the next token of every other text;
    fewer where a step would take longer than 60 ms."""
    deadline_s: float = Field(default=20.0, gt=0)
    """Longest time for one text; what the task allows may be shorter."""
    retries: int = Field(default=2, ge=0, le=10)
    """How often a clause that the guard refuses is written again before the template ends the text."""
    temperature: float = Field(default=0.6, ge=0, le=2)
    """Sampling temperature where the task names none. 0 always takes the likeliest token."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Sample among the likeliest tokens that hold this much of the probability."""
    vocabulary: Literal["phrases", "words", "open"] = "phrases"
    """What text is decoded from. `phrases`: the model chooses, phrase by phrase, among what is true of the
    item; for small models. `words`: word by word, from a list of words plus the facts; false names, years and genres
    cannot be written, but other nonsense can. `open`: any word; only the guard stands between model and reader."""
    languages: tuple[str, ...] = ("en",)
    """Languages that the model writes well enough; texts in others are the templates'. With `phrases`, English and
    Chinese are written in any case."""
    max_chars: int = Field(default=600, ge=40)
    """Longest text of any kind but chat; each kind has a tighter limit of its own."""
    cache_bytes: int = Field(default=64 << 20, ge=0)
    """Memory for texts that can be served again, in all shards of the content cache together. 0 turns it off."""
    cache_shards: int = Field(default=1, ge=1, le=256)
    """Actors that share the content cache, by item."""
    prefetch_items: int = Field(default=0, ge=0, le=20)
    """So many of a returned list's first pitches are written ahead into the cache, while the writers have nothing else
    to do. 0 turns it off, which is best where ranking and writing share few cores."""
    prefetch_share: float = Field(default=0.25, gt=0, le=1)
    """Share of its time that a writer may spend on texts that are written ahead."""
    trust_remote_code: bool = False
    """Whether code that a Hugging Face repository carries may run. Leave it off for models that you do not know."""
