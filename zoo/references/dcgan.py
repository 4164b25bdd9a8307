"""DCGAN in PyTorch's examples (https://github.com/pytorch/examples, ``dcgan``), a port of dcgan.torch.

Both players are one ``nn.Sequential`` named ``main``, with kernels of 4 x 4; a transposed convolution
projects the noise, a map of 1 x 1, and the discriminator ends in a convolution and a sigmoid.
"""

from __future__ import annotations

import re

from zoo.errors import UserError
from zoo.references.matching import Match, State


def recognise(state: State) -> Match:
    """Recognise a player, of any width, noise and power-of-two size.

    Raises:
        UserError: The names are not those of this program.
    """
    numbers = sorted({int(found[1]) for key in state if (found := re.match(r"main\.(\d+)\.", key))})
    if len(numbers) < 4 or any(not key.startswith("main.") for key in state):
        raise UserError(
            f"The weights start with {next(iter(state), 'nothing')}, which names no network that DCGAN can "
            "convert; give netG or netD of PyTorch's examples/dcgan."
        )
    first, last = state[f"main.{numbers[0]}.weight"], state[f"main.{numbers[-1]}.weight"]
    if numbers[1] == 1:  # batch norm follows the projection at once
        weights = {"project.weight": first.permute(1, 2, 3, 0).reshape(-1, len(first))}
        for key in state:
            at, _, rest = key.removeprefix("main.").partition(".")
            if int(at):
                weights[f"norm.{rest}" if at == "1" else f"layers.{int(at) - 3}.{rest}"] = state[key]
        arguments = {"latent_dim": len(first), "width": len(last), "channels": last.shape[1]}
        player = "generator"
    else:
        weights = {"blocks.0.0.weight": first, "last.weight": last.flatten(1)}
        for key in state:
            at, _, rest = key.removeprefix("main.").partition(".")
            if numbers[0] < int(at) < numbers[-1]:
                block, place = divmod(int(at) - 2, 3)
                weights[f"blocks.{block + 1}.{place}.{rest}"] = state[key]
        arguments = {"width": len(first), "channels": first.shape[1]}
        player = "discriminator"
    size = 4 * 2 ** (len(numbers) // 2)  # a norm follows each convolution but one
    return Match(player, {"kernel": 4, "noise": "gaussian", "size": size} | arguments, weights)
