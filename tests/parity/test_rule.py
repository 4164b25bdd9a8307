from __future__ import annotations

import pytest
import torch
from parity import rule
from torch import Tensor

CHECK = rule.load("rule_check")


def matches(tensor: Tensor, entry: dict) -> None:
    assert list(tensor.shape) == entry["shape"]
    flat = tensor.double().flatten()
    first = torch.tensor(entry["first"], dtype=torch.float64)
    torch.testing.assert_close(flat[: len(first)], first, rtol=1e-7, atol=1e-10)  # printed with 8 digits
    torch.testing.assert_close(float(flat.mean()), entry["mean"], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(
        float(flat.std()) if len(flat) > 1 else 0.0, entry["std"], rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("key", CHECK["weights"])
def test_weights_follow_from_their_names(key: str) -> None:
    matches(rule.state(CHECK["network"], CHECK["seed_prefix"] + "G.")[key], CHECK["weights"][key])


@pytest.mark.parametrize("name", CHECK["inputs"])
def test_inputs_follow_from_their_names(name: str) -> None:
    matches(rule.given(name, CHECK["inputs"][name], CHECK["seed_prefix"]), CHECK["input_values"][name])


def test_a_summary_refuses_a_wrong_value() -> None:
    x = torch.arange(10, dtype=torch.float64)
    summary = {
        "shape": [10],
        "mean": 4.5,
        "std": float(x.std()),
        "abs_mean": 4.5,
        "points": 2,
        "values": [0.0, 9.0],
    }
    rule.assert_summary(x, summary)
    with pytest.raises(AssertionError):
        rule.assert_summary(x * (1 + 1e-5), summary)
