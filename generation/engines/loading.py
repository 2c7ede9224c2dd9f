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
        OSError, ValueError: as transformers has it, when the model cannot be read or does not fit.
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
    model.set_attn_implementation(ATTENTION)
    return model, AutoTokenizer.from_pretrained(source, trust_remote_code=config.trust_remote_code)
