"""Loading a transformers model with bitsandbytes weights, placed by accelerate's device map."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from generation.config import GenerationConfig
from generation.engines.slots import ATTENTION


def load(source: str, config: GenerationConfig) -> tuple[Any, Any]:
    """A model in evaluation mode and its tokenizer.

    Args:
        source: a folder or a Hugging Face id.
        config: quantisation, data type and device.

    Raises:
        OSError, ValueError: as transformers has it, when the model cannot be read or does not fit; or see `check`.
    """
    dtype = getattr(torch, config.compute_dtype)
    cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    quantization = None
    if config.quantization != "none":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=config.quantization,
            bnb_4bit_use_double_quant=config.double_quant,
            bnb_4bit_compute_dtype=dtype,
        )
    # bitsandbytes looks for an optional kernel of the hub and says so loudly when it is not there
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            device_map="auto" if cuda else "cpu",
            quantization_config=quantization,
            trust_remote_code=config.trust_remote_code,
        ).eval()
    model.requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=config.trust_remote_code)
    check(model.config.get_text_config(decoder=True), tokenizer)
    model.set_attn_implementation(ATTENTION)
    return model, tokenizer


def check(config: Any, tokenizer: Any) -> None:
    """Whether the attention here (`slots.attend`) and the prompts fit a model: nothing may silently be left out.

    Raises:
        ValueError: its attention has a sliding window or soft caps, or its chat template takes no system message.
    """
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and window < config.max_position_embeddings:
        raise ValueError("its attention has a sliding window, which this engine does not compute")
    if getattr(config, "attn_logit_softcapping", None):
        raise ValueError("its attention has soft caps, which this engine does not compute")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]
    try:
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever a template raises
        raise ValueError(f"its chat template takes no system message: {error}") from error
    if "Be brief." not in rendered:
        raise ValueError("its chat template leaves out the system message")
