"""Score checkpoints or folders of pictures against real pictures; every score is stored with its protocol.

SUBJECT is a checkpoint, weights of `zoo list checkpoints`, a recipe (its newest checkpoint), or a folder of
pictures; several give one table. Protocols: fid-tf, fid-clean, kid, is, prdc, fd-dinov2, METRIC-NETWORK as in
fd-mnist, kid-effnet-lite0, prdc-resnet50, or artefacts; docs/metrics says what each fixes. `zoo eval
--selftest` shows how far such numbers may be off, `zoo eval --bench` times them beside torch-fidelity.
"""

from __future__ import annotations

import argparse

from zoo.bounds import whole
from zoo.errors import UsageError
from zoo.files.writing import require_writable
from zoo.use.paths import given_path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="what to score")
    parser.add_argument(
        "--against",
        metavar="DATA|DIR",
        help="real pictures: a folder, a recipe or a data class (default: the checkpoint's own data)",
    )
    parser.add_argument("--protocol", nargs="+", metavar="P", help="how to score (default: fid-tf)")
    parser.add_argument(
        "--split", choices=("train", "val", "test"), help="split (train for models of noise, else test)"
    )
    parser.add_argument(
        "--samples", type=whole(1), help="pictures to make (default: as many as real ones, at most 10,000)"
    )
    parser.add_argument("--real-samples", type=whole(1), help="real pictures, drawn by seed (default: all)")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed (default: 0)")
    parser.add_argument("--root", help="the folder to use in place of the data's own root")
    parser.add_argument("--weights", help="a file of weights for the feature network")
    parser.add_argument("--device", help="device of the networks (default: cuda if there is one)")
    parser.add_argument("-o", "--out", type=given_path, help="folder whose eval.json records the scores")
    parser.add_argument("--selftest", action="store_true", help="show how far the numbers may be off")
    parser.add_argument(
        "--floor", action="store_true", help="score random halves of the real pictures too (fd, kid)"
    )
    parser.add_argument(
        "--halvings", type=whole(2), default=100, metavar="N", help="for --floor, --selftest (100)"
    )
    parser.add_argument("--bench", action="store_true", help="compare their speed with torch-fidelity's")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Score, test the scores, or time them."""
    if args.out:
        require_writable(args.out / "eval.json")
    if args.selftest and args.bench:
        raise UsageError("--selftest and --bench exclude each other; give one.")
    if args.selftest or args.bench:
        if args.subjects:
            raise UsageError("--selftest and --bench take no SUBJECT; choose real pictures with --against.")
        if args.bench:
            from zoo.commands.eval import speed

            return speed.run(args)
        from zoo.commands.eval import selftest

        return selftest.run(args)
    if not args.subjects:
        raise UsageError("Name what to score: a checkpoint, a recipe or a folder of pictures.")
    from zoo.commands.eval import score

    return score.run(args)
