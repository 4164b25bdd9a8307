"""Clips: the right frames of videos of all kinds, of folders of frames, and of drawn films; faults in one
sentence."""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition

from zoo.data.clips.module import ClipFolder
from zoo.data.clips.sets import MovingDigits, MovingMNIST, SpriteClips
from zoo.data.clips.world import ClipWorld
from zoo.drawing.sheets import strip
from zoo.errors import UserError
from zoo.files import films
from zoo.files.films import look, read_frames, shown_as
from zoo.files.pictures import write_picture

SIDE = 48
CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"g": "9", "bf": "2"}),
    ".mov": ("mpeg4", {"g": "7"}),
    ".avi": ("mpeg4", {"g": "9", "bf": "2"}),
    ".mkv": ("libx264", {"g": "9", "bf": "2"}),
    ".webm": ("libvpx-vp9", {"g": "9", "deadline": "realtime", "cpu-used": "8"}),
    ".gif": ("gif", {}),
    "h264.avi": ("libx264", {"g": "9", "bf": "3", "b_strategy": "0"}),
    "open.avi": ("libx264", {"g": "9", "x264-params": "open-gop=1:b-adapt=0:bframes=5:b-pyramid=normal"}),
}


def numbered(number: int, side: int = SIDE) -> np.ndarray:
    """A picture that says its number in bars of black and white, which no codec blurs away."""
    bars = np.array([[number >> bit & 1 for bit in range(8)]], np.uint8) * 255
    return np.repeat(np.kron(bars, np.ones((side, side // 8), np.uint8))[:, :, None], 3, 2)


def number_of(picture: Any) -> int:
    """The number that a picture (C, H, W) or (H, W, C) says; black and white of any scale."""
    values = np.asarray(picture, np.float32)
    plane = values.mean(0) if values.shape[0] in (1, 3) else values.mean(2)
    bars = plane.reshape(plane.shape[0], 8, -1).mean((0, 2))
    assert np.abs(bars - np.round(bars / 255) * 255).max() < 60 or values.min() < 0
    return int((bars > (0 if values.min() < 0 else 128)) @ (1 << np.arange(8)))


def write_pictures(
    path: Path,
    codec: str,
    pictures: Sequence[np.ndarray],
    ticks: Sequence[int] | None = None,
    base: Fraction = Fraction(1, 25),
    form: str = "yuv420p",
    settings: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> None:
    """A video of pictures, at these multiples of ``base`` if they are given."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=25, options=settings or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = form
        if ticks is not None:
            stream.codec_context.time_base = base
        for number, values in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_video(
    path: Path,
    count: int = 30,
    times: Sequence[int] | None = None,
    first: int = 0,
    options: dict[str, str] | None = None,
    side: int = SIDE,
) -> Path:
    """A video whose frame ``n`` says ``first + n``; ``times`` are its timestamps in milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec, settings = CODECS.get(path.name) or CODECS[path.suffix]
    form = "rgb8" if codec == "gif" else "yuv420p"
    pictures = [numbered(first + number, side) for number in range(count)]
    write_pictures(path, codec, pictures, times, Fraction(1, 1000), form, settings, options)
    return path


def write_frames(
    folder: Path, numbers: Sequence[int], name: str = "frame_{:04d}.png", side: int = SIDE
) -> Path:
    """A folder of frames that say their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        values = torch.from_numpy(numbered(number, side)).permute(2, 0, 1).float() / 127.5 - 1
        write_picture(folder / name.format(number), values)
    return folder


def numbers_of(data: ClipFolder, split: Any) -> list[list[int]]:
    """What the frames of each clip of a split say."""
    return [
        [number_of(frame) for frame in torch.cat([clip["past"], clip["future"]])]
        for clip in map(data.split(split).__getitem__, range(len(data.split(split))))
    ]


# ------------------------------------------------------------------------------------------- the right frames


@pytest.mark.parametrize("name", [*(f"film{s}" for s in CODECS if s[0] == "."), "h264.avi", "open.avi"])
def test_any_frames_of_every_container(tmp_path: Path, name: str) -> None:
    video = look(write_video(tmp_path / name))
    assert video.length == 30
    singles = [[number] for number in np.random.default_rng(0).permutation(30).tolist()]
    for wanted in (*singles, [8, 9, 10], [17, 20, 23], list(range(30))):
        assert [number_of(frame) for frame in read_frames(video, wanted)] == wanted


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_frames_of_an_unsteady_rate(tmp_path: Path, suffix: str) -> None:
    times = np.cumsum([0, *np.random.default_rng(0).integers(10, 400, 29)]).tolist()
    video = look(write_video(tmp_path / f"film{suffix}", times=times))
    assert video.length == 30
    for wanted in ([0, 1], [13, 14, 15], [26, 29]):
        assert [number_of(frame) for frame in read_frames(video, wanted)] == wanted


def test_a_video_that_does_not_begin_at_zero(tmp_path: Path) -> None:
    video = look(write_video(tmp_path / "film.mkv", times=range(5000, 6200, 40)))
    assert [number_of(frame) for frame in read_frames(video, [0, 12, 29])] == [0, 12, 29]


@pytest.mark.parametrize("name", ["film.mp4", "h264.avi"])
def test_few_frames_are_decoded_to_read_a_late_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    video = look(write_video(tmp_path / name, count=90))
    shown, seen = films._shown, []

    def counted(path: Path, start: int | None) -> Any:
        for frame in shown(path, start):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(films, "_shown", counted)
    assert [number_of(frame) for frame in read_frames(video, [80])] == [80]
    assert 1 <= len(seen) <= 9  # no more than from one key frame to the next


def test_samples_do_not_depend_on_what_was_read_before(tmp_path: Path) -> None:
    """Going on with an open decoder and beginning anew give the very same pixels, in any order."""
    for name, options in (("few.mp4", {"g": "300", "bf": "2"}), ("open.mkv", {"g": "12", "bf": "2"})):
        path = tmp_path / "train" / name
        path.parent.mkdir(exist_ok=True)
        random = np.random.default_rng(0)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options=options | {"x264-params": "open-gop=1"})
            stream.width = stream.height = SIDE
            stream.pix_fmt = "yuv420p"
            still = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            for number in range(60):
                values = np.roll(still, number, 1)
                values[:8, :8] = random.integers(0, 256, (8, 8, 3))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
            container.mux(stream.encode())
    data = ClipFolder(str(tmp_path), past=2, future=1, hop=2, size=None)
    train = data.split("train")

    def fresh(index: int) -> torch.Tensor:
        films._kept.open = None
        return train.load(index)["film"]

    alone = [fresh(index) for index in range(len(train))]
    assert len({film.numpy().tobytes() for film in alone}) == len(train) == 2 * 29
    orders = [list(range(len(train))), list(range(0, len(train), 3)), list(range(len(train)))[::-1]]
    orders += [np.random.default_rng(seed).permutation(len(train)).tolist() for seed in range(2)]
    for order in orders:
        for index in order:
            assert torch.equal(train.load(index)["film"], alone[index]), (order[:5], index)


def test_the_next_clip_goes_on_from_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = look(write_video(tmp_path / "film.gif", count=40))  # no key frame but the first is sought
    opened: list[Path] = []
    shown = films._shown
    monkeypatch.setattr(films, "_shown", lambda path, start: opened.append(path) or shown(path, start))
    for first in range(0, 40, 4):
        assert [number_of(frame) for frame in read_frames(video, [first, first + 2])] == [first, first + 2]
    assert len(opened) == 1
    assert [number_of(frame) for frame in read_frames(video, [38])] == [38] and len(opened) == 2  # back
    first, second = read_frames(video, [0, 5, 9]), read_frames(video, [3, 7, 8])  # two at a time
    read = [(number_of(a), number_of(b)) for a, b in zip(first, second, strict=True)]
    assert read == [(0, 3), (5, 7), (9, 8)]


def test_beyond_the_next_key_frame_it_begins_anew_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = look(write_video(tmp_path / "film.mp4", count=60))  # a key frame in nine at least
    starts: list[int | None] = []
    shown = films._shown
    monkeypatch.setattr(films, "_shown", lambda path, start: starts.append(start) or shown(path, start))
    for number in (0, 2, 49, 51, 50):
        assert [number_of(frame) for frame in read_frames(video, [number])] == [number]
    assert len(starts) == 3 and starts[0] is None and starts[1] == starts[2] is not None


def test_another_process_neither_uses_nor_closes_what_was_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = look(write_video(tmp_path / "film.gif", count=12))
    list(read_frames(video, [0, 1]))
    last: Any = films._kept.open
    monkeypatch.setattr(films.os, "getpid", lambda: -1)
    assert [number_of(frame) for frame in read_frames(video, [4])] == [4]
    assert films._kept.open is not None and films._kept.open.frames is not last.frames
    assert films._inherited.pop() is last
    assert last.frames.gi_frame is not None, "it was closed"


def test_no_frame_is_left_to_the_garbage_collector(tmp_path: Path) -> None:
    """It may run in a forked worker, where freeing a frame waits for threads of the parent."""
    video = look(write_video(tmp_path / "film.mp4", 12))
    gc.freeze()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        list(read_frames(video, range(12)))
        gc.collect()
        assert not [left for left in gc.garbage if isinstance(left, av.VideoFrame)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()


def test_a_worker_does_not_touch_what_was_open_before_it(tmp_path: Path) -> None:
    write_video(tmp_path / "train" / "film.mp4", 60)
    data = ClipFolder(str(tmp_path), past=1, future=1, size=16, load_size=0, batch_size=5, seed=3)
    train = data.split("train")
    cut = [train.load(index)["film"] for index in range(3)]
    assert films._kept.open is not None
    data.num_workers = 2
    batches = list(data.train_dataloader())
    assert len(batches) == 6
    cut.append(train.load(3)["film"])  # goes on here with what was open before the fork
    assert [number_of(film[0]) for film in cut] == [0, 2, 4, 6]


def box(data: bytes, name: bytes, after: int = 0) -> int:
    """Where a box of an MP4 begins."""
    return data.index(name, after) - 4


def trim(path: Path, *parts: tuple[int, int]) -> None:
    """Give an MP4 of 25 frames per second an edit list of (first frame, number of frames)."""
    data = bytearray(path.read_bytes())
    scale = int.from_bytes(data[(at := box(data, b"mdhd") + 20) : at + 4], "big")
    begin = int.from_bytes(data[(at := box(data, b"elst") + 20) : at + 4], "big")  # of the only entry
    edits = [(count * 40, begin + first * scale // 25, 1 << 16) for first, count in parts]  # milliseconds
    place = box(data, b"elst") + 12
    data[place : place + 16] = struct.pack(">I", len(edits)) + b"".join(struct.pack(">3I", *e) for e in edits)
    for name in (b"moov", b"trak", b"edts", b"elst"):  # at the end of the file, so that nothing else moves
        place = box(data, name)
        size = int.from_bytes(data[place : place + 4], "big") + 12 * (len(edits) - 1)
        data[place : place + 4] = size.to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize("parts", [[(12, 10)], [(0, 30)], [(29, 1)], [(5, 3), (5, 3)]])
def test_an_edit_list_leaves_frames_out(tmp_path: Path, parts: list[tuple[int, int]]) -> None:
    path = write_video(tmp_path / "film.mp4")
    trim(path, *parts)
    kept = [number for first, count in parts for number in range(first, first + count)]
    video = look(path)
    assert video.length == len(kept)
    assert [number_of(frame) for frame in read_frames(video, range(len(kept)))] == kept
    for number in np.random.default_rng(0).permutation(len(kept)).tolist():
        assert [number_of(frame) for frame in read_frames(video, [number])] == [kept[number]]


@pytest.mark.parametrize("signs", product((-1, 1), (-1, 1)))
@pytest.mark.parametrize("turned", [False, True])
def test_a_display_matrix_turns_and_mirrors(tmp_path: Path, signs: tuple[int, int], turned: bool) -> None:
    path = tmp_path / "film.mov"
    corners = np.kron(np.random.default_rng(0).integers(0, 256, (2, 3, 3)), np.ones((16, 16, 1)))
    write_pictures(path, "libx264", [corners.astype(np.uint8)], settings={"aspect": "32/27"})
    stored = next(read_frames(look(path), [0]))
    assert stored.shape == (32, 48, 3)
    a, b, c, d = (0, signs[0], signs[1], 0) if turned else (signs[0], 0, 0, signs[1])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 20] = struct.pack(">5i", a << 16, b << 16, 0, c << 16, d << 16)
    path.write_bytes(data)
    shown = next(read_frames(look(path), [0]))
    places = {(b * x + d * y, a * x + c * y): stored[y, x] for y in range(32) for x in range(48)}
    top, left = (min(axis) for axis in zip(*places, strict=True))
    assert shown.shape == ((48, 32, 3) if turned else stored.shape)
    assert shown_as(path).aspect == (Fraction(27, 32) if turned else Fraction(32, 27))
    assert all((shown[y - top, x - left] == value).all() for (y, x), value in places.items())


def test_a_cover_is_not_the_film(tmp_path: Path) -> None:
    for name, disposition in (("a.mkv", None), ("b.mkv", Disposition.default), ("c.mp4", None)):
        with av.open(str(tmp_path / name), "w") as container:
            streams: list[Any] = [container.add_stream(codec, rate=25) for codec in ("mjpeg", "libx264")]
            for stream, form in zip(streams, ("yuvj420p", "yuv420p"), strict=True):
                stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, form
            if disposition is not None:
                streams[0].disposition = disposition
            for stream, numbers in zip(streams, ([99], range(5)), strict=True):
                for number in numbers:
                    frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())
        video = look(tmp_path / name)
        assert [number_of(frame) for frame in read_frames(video, range(video.length))] == [0, 1, 2, 3, 4]


def test_an_avi_with_gaps_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    write_pictures(path, "mpeg4", [numbered(number) for number in range(5)], [0, 1, 2, 52, 53])
    video = look(path)
    assert [number_of(frame) for frame in read_frames(video, range(video.length))] == [0, 1, 2, 3, 4]


def test_exact_colours(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (20, 3))
    path = tmp_path / "film.mp4"
    write_pictures(path, "libx264", [np.full((32, 32, 3), colour, np.uint8) for colour in random])
    with av.open(str(path)) as container:
        planes = [frame.to_ndarray().astype(float) for frame in container.decode(video=0)]
    for frame, plane in zip(read_frames(look(path), range(20), exact=True), planes, strict=True):
        y, cb, cr = (plane[16, 16] - 16) / 219, (plane[36, 8] - 128) / 224, (plane[44, 8] - 128) / 224
        r, b = y + 1.402 * cr, y + 1.772 * cb  # ITU-R BT.601
        g = (y - 0.299 * r - 0.114 * b) / 0.587
        assert np.abs(frame[16, 16] - np.clip(np.array([r, g, b]) * 255, 0, 255)).max() < 0.6


def test_folders_of_frames_go_by_number(tmp_path: Path) -> None:
    video = look(write_frames(tmp_path / "film", range(7, 15, 2), "f{}.png"))  # f7, f9, f11, f13
    assert video.length == 4
    assert [number_of(frame) for frame in read_frames(video, [0, 1, 2, 3])] == [7, 9, 11, 13]


# ---------------------------------------------------------------------------------------------- clips of them


def test_clips_are_past_and_future(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_video(tmp_path / part / "film.mp4", 12)
        write_frames(tmp_path / part / "frames", range(100, 107))
    data = ClipFolder(str(tmp_path), past=2, future=1, stride=2, size=SIDE, batch_size=2)
    assert numbers_of(data, "test") == [[0, 2, 4], [6, 8, 10], [100, 102, 104]]  # clips do not overlap
    assert data.split("val") is None
    clip = data.split("test")[1]
    assert clip["past"].shape == (2, 3, SIDE, SIDE) and clip["future"].shape == (1, 3, SIDE, SIDE)
    assert clip["past"].dtype == torch.float32 and clip["past"].min() >= -1 and clip["past"].max() <= 1
    dense = ClipFolder(str(tmp_path), past=2, future=1, hop=1, size=SIDE)
    assert numbers_of(dense, "test")[:2] == [[0, 1, 2], [1, 2, 3]] and len(dense.split("test")) == 10 + 5
    assert next(iter(data.train_dataloader()))["future"].shape == (2, 1, 3, SIDE, SIDE)


def test_whole_videos_are_held_out(tmp_path: Path) -> None:
    for number in range(4):
        write_video(tmp_path / f"{number}.mp4", 5, first=10 * number)
    data = ClipFolder(str(tmp_path), size=SIDE, hold_out=3)
    found = {split: [clip[0] // 10 for clip in numbers_of(data, split)] for split in ("test", "val")}
    assert found == {"test": [0, 3], "val": [1]}
    assert data.split("train").files() == [tmp_path / "2.mp4"]
    everything = ClipFolder(str(tmp_path), size=SIDE, hold_out=0)
    assert len(everything.split("train")) == 4 and everything.split("test") is None


def test_the_end_of_a_single_video_is_held_out(tmp_path: Path) -> None:
    data = ClipFolder(
        str(write_frames(tmp_path / "film", range(30))), past=1, future=1, size=SIDE, mirror=False, hold_out=5
    )
    assert numbers_of(data, "val") == [[18, 19], [20, 21], [22, 23]]
    assert numbers_of(data, "test") == [[24, 25], [26, 27], [28, 29]]
    assert [part[1:] for part in data.split("train").parts] == [(0, 18)]


def test_ucf101_goes_by_its_lists(tmp_path: Path) -> None:
    for name in ("v_Golf_g01_c01", "v_Golf_g08_c01", "v_Golf_g09_c01"):
        write_video(tmp_path / "UCF-101" / "Golf" / f"{name}.avi", 5)
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text("Golf/v_Golf_g08_c01.avi 1\r\nGolf/v_Golf_g09_c01.avi 1\r\n")
    (lists / "testlist01.txt").write_text("Golf/v_Golf_g01_c01.avi\n")
    data = ClipFolder(str(tmp_path))
    assert [p.name for p in data.split("train").files()] == ["v_Golf_g08_c01.avi", "v_Golf_g09_c01.avi"]
    assert [p.name for p in data.split("test").files()] == ["v_Golf_g01_c01.avi"]
    (lists / "testlist01.txt").write_text("Golf/v_Golf_g02_c01.avi\n")
    with pytest.raises(UserError, match=r"testlist01\.txt names 1 videos .* \(Golf/v_Golf_g02_c01\.avi\)"):
        ClipFolder(str(tmp_path)).split("test")


def test_kth_goes_by_its_persons(tmp_path: Path) -> None:
    for person in (1, 11, 22):
        write_video(tmp_path / "boxing" / f"person{person:02d}_boxing_d1_uncomp.avi", 5)
    data = ClipFolder(str(tmp_path))
    found = [data.split(split).files()[0].name[:8] for split in ("train", "val", "test")]
    assert found == ["person11", "person01", "person22"]


def test_a_worker_gives_the_same_clips(tmp_path: Path) -> None:
    write_video(tmp_path / "train" / "film.mp4", 24)
    batches = []
    for workers in (0, 1):
        data = ClipFolder(str(tmp_path), size=16, load_size=24, batch_size=2, num_workers=workers, seed=3)
        batches.append(torch.cat([batch["past"] for batch in data.train_dataloader()]))
    assert torch.equal(*batches)


# ------------------------------------------------------------------------------------------------ preparation


def test_the_shorter_side_is_resized_and_the_centre_cut(tmp_path: Path) -> None:
    folder = tmp_path / "film"
    folder.mkdir()
    picture = torch.zeros(3, 40, 80)
    picture[0, :, 20:60] = 1  # the middle square
    for number in range(20):
        write_picture(folder / f"{number}.png", picture)
    clip = ClipFolder(str(folder), past=1, future=1, size=20).split("test")[0]
    assert clip["past"].shape == (1, 3, 20, 20) and (clip["past"][0, 0, :, 1:-1] > 0.99).all()
    whole = ClipFolder(str(folder), past=1, future=1, size=None).split("test")[0]
    assert torch.allclose(whole["past"][0], picture, atol=1 / 127)
    grey = ClipFolder(str(folder), past=1, future=1, size=None, channels=1).split("test")[0]
    assert grey["past"].shape == (1, 1, 40, 80)
    expected = 2 * 0.299 * 255 / 255 + (1 - 0.299) * 2 * 128 / 255 - 1
    assert grey["past"][0, 0, 20, 40] == pytest.approx(expected, abs=1 / 127)


def moving_film(tmp_path: Path) -> ClipFolder:
    """Still, but for a corner."""
    folder = tmp_path / "film"
    folder.mkdir()
    random = np.random.default_rng(0)
    still = random.integers(0, 256, (3, 32, 32))
    for number in range(20):
        values = still.copy()
        values[:, :16, :16] = 255 * (number % 2)
        write_picture(folder / f"{number}.png", torch.from_numpy(values).float() / 127.5 - 1)
    return ClipFolder(str(folder), past=2, future=1, size=8, load_size=0, moving=0.5, mirror=False)


def test_training_cuts_where_something_moves(tmp_path: Path) -> None:
    data = moving_film(tmp_path)
    train = data.split("train")
    film = train.load(0)["film"]
    assert film.shape == (3, 3, 32, 32) and film.dtype == torch.uint8

    def moved() -> list[bool]:
        clips = [train[(epoch, 0)] for epoch in range(40)]
        return [bool((clip["past"][1] != clip["past"][0]).any()) for clip in clips]

    assert sum(moved()) > 35  # four places in ten show a part of the corner
    train.moving = 0.0
    assert sum(moved()) < 30
    train.moving = 10.0  # more than can be: the place that moves most
    assert all(moved())


def test_past_and_future_are_cut_and_mirrored_alike(tmp_path: Path) -> None:
    folder = tmp_path / "film"
    folder.mkdir()
    picture = torch.rand(3, 24, 32) * 2 - 1
    for number in range(20):
        write_picture(folder / f"{number}.png", picture)
    train = ClipFolder(str(folder), past=2, future=2, size=16, load_size=24).split("train")
    clips = [train[(epoch, 0)] for epoch in range(30)]
    for clip in clips:
        assert (torch.cat([clip["past"], clip["future"]]) == clip["past"][0]).all()
    exact = train.load(0)["film"][0].float() / 127.5 - 1
    windows = exact.unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4).reshape(-1, 3, 16, 16)
    seen = set()
    for clip in clips:
        for mirrored in (False, True):
            frame = clip["past"][0].flip(-1) if mirrored else clip["past"][0]
            hits = ((windows - frame).abs().amax((1, 2, 3)) < 1e-5).nonzero().flatten().tolist()
            seen |= {(hit, mirrored) for hit in hits}
    assert len(seen) > 15 and {mirrored for _, mirrored in seen} == {False, True}
    again = train[(3, 0)]
    assert torch.equal(again["past"], clips[3]["past"])


def test_a_description_names_files_and_settings(tmp_path: Path) -> None:
    write_frames(tmp_path / "film", range(40))
    one = ClipFolder(str(tmp_path), size=16).describe()
    assert one["contract"] == "clips" and one["name"] == tmp_path.name and one["research_only"] is True
    assert one["preprocessing"]["hop"] == 5 and one["preprocessing"]["load_size"] == 16
    write_frames(tmp_path / "film", [40])
    assert ClipFolder(str(tmp_path), size=16).describe()["fingerprint"] != one["fingerprint"]


# ----------------------------------------------------------------------------------------------------- faults


def empty(root: Path) -> str:
    (root / "film.mp4").touch()
    return r"film\.mp4 is empty; replace it"


def text(root: Path) -> str:
    (root / "film.mp4").write_text("#EXTM3U\nhttp://example.org/x.mp4\n")
    return r"film\.mp4 is no video \(neither MP4, .*\); replace it"


def cut_head(root: Path) -> str:
    path = write_video(root / "film.mp4")  # its index stands at the end
    path.write_bytes(path.read_bytes()[:-1500])
    return r"film\.mp4 cannot be read as a video \(.*\); it is damaged, replace it"


def sound(root: Path) -> str:
    with av.open(str(root / "film.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return r"film\.mp4 holds no video stream"


def too_few(root: Path) -> str:
    write_video(root / "film.mp4", 4)
    return r"1 videos of the train split are shorter than a clip of 5 frames \(.*film\.mp4 has 4\); lower"


def hole(root: Path) -> str:
    write_frames(root / "film", [1, 2, 3, 5, 6])
    return r"film has a gap: after frame_0003\.png comes frame_0005\.png"


def no_number(root: Path) -> str:
    write_frames(root / "film", [1, 2])
    (root / "film" / "frame_0002.png").rename(root / "film" / "last.png")
    return r"last\.png has no number"


def twice(root: Path) -> str:
    write_frames(root / "film", [1, 2])
    write_frames(root / "film", [1], "frame_{}.png")
    return r"frame_1\.png and frame_0001\.png have the same number|frame_0001\.png and frame_1\.png"


def two_videos(root: Path) -> str:
    write_frames(root / "film", [1, 2])
    write_frames(root / "film", [1, 2], "other{}.png")
    return r"film holds frames of 2 videos \(frame_, other\)"


def nothing(root: Path) -> str:
    return r"has no videos for training; expected train/"


LOOKS = [empty, text, cut_head, sound, too_few, hole, no_number, twice, two_videos, nothing]


@pytest.mark.parametrize("damage", LOOKS, ids=lambda f: f.__name__)
def test_faults_that_a_look_finds(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    train = tmp_path / "train"
    train.mkdir()
    expected = damage(train)
    with pytest.raises(UserError, match=expected) as caught:
        ClipFolder(str(tmp_path)).split("train")
    assert "\n" not in str(caught.value)


def cut_tail(root: Path) -> str:
    path = write_video(root / "film.mp4", options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-600])
    return r"film\.mp4 (is truncated|cannot be)"


def cut_avi(root: Path) -> str:
    path = write_video(root / "film.avi", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return r"film\.avi (is truncated: its header says 60 frames|cannot be)"


def scrambled(root: Path) -> str:
    path = write_video(root / "film.mp4", options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = np.random.default_rng(0).bytes(len(data) - start)
    path.write_bytes(data)
    return r"film\.mp4 cannot be"


def mixed_sizes(root: Path) -> str:
    write_frames(root / "film", range(4))
    write_frames(root / "film", [4], side=40)
    return r"frame_0004\.png is 40 x 40 pixels of 3 channels but frame_0000\.png is 48 x 48 pixels"


def cut_picture(root: Path) -> str:
    path = write_frames(root / "film", range(5)) / "frame_0002.png"
    path.write_bytes(path.read_bytes()[:60])
    return r"frame_0002\.png"


@pytest.mark.parametrize(
    "damage", [cut_tail, cut_avi, scrambled, mixed_sizes, cut_picture], ids=lambda f: f.__name__
)
def test_faults_that_decoding_finds(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    expected = damage(tmp_path / "train")
    with pytest.raises(UserError, match=expected) as caught:
        train = ClipFolder(str(tmp_path), hop=1).split("train")
        for index in range(len(train)):
            train.load(index)
    assert "\n" not in str(caught.value)


def test_short_videos_can_be_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path / "train" / "short", range(3))
    write_frames(tmp_path / "train" / "long", range(5))
    train = ClipFolder(str(tmp_path), skip_short=True).split("train")
    assert [part.video.path.name for part in train.parts] == ["long"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"past": 0}, "past"),
        ({"future": 0}, "future"),
        ({"stride": 0}, "stride"),
        ({"hop": 0}, "hop"),
        ({"size": 0}, "size"),
        ({"size": 64, "load_size": 32}, "load_size"),
        ({"crop": "corner"}, "crop"),
        ({"crop": "centre", "moving": 0.1}, "moving"),
        ({"channels": 2}, "channels"),
        ({"hold_out": 2}, "hold_out"),
        ({"fold": 4}, "fold"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=rf"data\.{key}"):
        ClipFolder(str(tmp_path), **options)


def test_a_cut_larger_than_the_frames_is_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "film", range(50))
    with pytest.raises(UserError, match=r"film is 48 x 48 pixels, smaller than data\.size 64"):
        ClipFolder(str(tmp_path), load_size=0).split("train")[0]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*nowhere; set data\.root"):
        ClipFolder(str(tmp_path / "nowhere")).split("train")


def test_check_looks_at_every_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "train" / "a.mp4", 10)
    write_frames(tmp_path / "train" / "b", range(6))
    write_frames(tmp_path / "train" / "c", [1, 2, 4])
    scrambled(tmp_path / "val")
    (tmp_path / "test").mkdir()
    empty(tmp_path / "test")
    assert ClipFolder.recognises(tmp_path)
    found = ClipFolder.check(tmp_path)
    assert found.samples == {"train": 2, "val": 0, "test": 0}
    faults = sorted(Path(fault.file).name for fault in found.errors)
    assert faults == ["c", "film.mp4", "film.mp4"] and all(f.file in f.text for f in found.errors)
    assert {(fact.path.name, fact.size, fact.low, fact.channels) for fact in found.facts if not fact.low} >= {
        ("b", (48, 48), 0, 3)
    }
    assert found.class_path == "zoo.data.clips.ClipFolder" and found.arguments["size"] == 48


def test_other_folders_are_not_taken_for_clips(tmp_path: Path) -> None:
    write_frames(tmp_path / "cats", range(3), "cat{}.png")
    assert not ClipFolder.recognises(tmp_path)
    (tmp_path / "none").mkdir()
    assert not ClipFolder.recognises(tmp_path / "none")
    write_frames(tmp_path / "films" / "cat", range(3))
    assert ClipFolder.recognises(tmp_path / "films")


# ------------------------------------------------------------------------------------------------ drawn clips


@pytest.mark.parametrize(("kind", "channels"), [("digits", 1), ("scenes", 3), ("walk", 3)])
def test_drawn_clips(kind: Any, channels: int) -> None:
    data = ClipWorld(kind, past=2, future=3, size=32, train_length=4, eval_length=2, batch_size=2)
    batch = next(iter(data.train_dataloader()))
    assert batch["past"].shape == (2, 2, channels, 32, 32)
    assert batch["future"].shape == (2, 3, channels, 32, 32)
    assert batch["past"].min() >= -1 and batch["past"].max() <= 1
    films = [data.split(split).load(i)["film"] for split in ("train", "val", "test") for i in range(2)]
    assert films[0].dtype == torch.uint8
    assert len({film.numpy().tobytes() for film in films}) == 6  # no film is in two splits
    described = data.describe()
    assert described["research_only"] is False and kind in described["name"]
    assert described["fingerprint"] != ClipWorld(kind, size=32, world=1).describe()["fingerprint"]


@pytest.mark.parametrize(
    ("options", "key"), [({"kind": "cars"}, "kind"), ({"size": 8}, "size"), ({"past": 0}, "past")]
)
def test_mistakes_about_drawn_clips_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=rf"data\.{key}"):
        ClipWorld(**options)


def test_drawn_clips_take_no_memory() -> None:
    train = ClipWorld("digits", size=32, train_length=1000).split("train")
    train[(0, 1)]
    assert not train._cached


def write_idx(root: Path, part: str, pictures: np.ndarray) -> None:
    head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in pictures.shape)
    (root / f"{part}-images-idx3-ubyte").write_bytes(head + pictures.tobytes())
    labels = bytes([0, 0, 8, 1]) + len(pictures).to_bytes(4, "big") + bytes(len(pictures))
    (root / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def test_moving_digits_keep_the_digits_of_splits_apart(tmp_path: Path) -> None:
    shades = np.repeat([10, 20], [5, 10_000]).astype(np.uint8)  # training, validation
    write_idx(tmp_path, "train", np.ones((10_005, 28, 28), np.uint8) * shades[:, None, None])
    write_idx(tmp_path, "t10k", np.full((5, 28, 28), 30, np.uint8))
    data = MovingDigits(str(tmp_path), train_length=5, eval_length=5)
    for split, shade in (("train", 10), ("val", 20), ("test", 30)):
        for index in range(5):
            film = data.split(split).load(index)["film"]
            assert film.shape == (20, 1, 64, 64) and film.unique().tolist() == [0, shade]
            assert film.bool().sum() <= 20 * 2 * 28 * 28
    assert data.split("test")[0]["future"].shape == (10, 1, 64, 64)
    assert data.describe()["contract"] == "clips"
    with pytest.raises(UserError, match=r"data\.count"):
        MovingDigits(str(tmp_path), count=0)


def sequences(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Thirty sequences in place of 10,000, in the form of the published file."""
    monkeypatch.setattr(MovingMNIST, "SHAPE", (20, 30, 64, 64))
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 64, 64), np.uint8)
    np.save(root / "mnist_test_seq.npy", values)
    return values


def test_the_published_sequences_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = sequences(tmp_path, monkeypatch)
    data = MovingMNIST(str(tmp_path), past=4, future=5, batch_size=2)
    for split, first, count in (("train", 0, 24), ("val", 24, 3), ("test", 27, 3)):
        clips = data.split(split)
        assert len(clips) == count
        for index in (0, count - 1):
            film = torch.from_numpy(values[:9, first + index, None])
            assert torch.equal(clips.load(index)["film"], film)
            torch.testing.assert_close(clips[index]["past"], film[:4].float() / 127.5 - 1)
            torch.testing.assert_close(clips[index]["future"], film[4:].float() / 127.5 - 1)
    batch = next(iter(data.train_dataloader()))
    assert batch["past"].shape == (2, 4, 1, 64, 64) and batch["future"].shape == (2, 5, 1, 64, 64)
    said = data.describe()
    assert said["contract"] == "clips" and said["name"].startswith("sequences of") and said["research_only"]


def test_the_published_protocol_draws_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = sequences(tmp_path, monkeypatch)
    write_idx(tmp_path, "train", np.full((10_005, 28, 28), 200, np.uint8))
    write_idx(tmp_path, "t10k", np.full((5, 28, 28), 30, np.uint8))
    data = MovingMNIST(str(tmp_path), mnist=str(tmp_path))
    assert torch.equal(
        data.split("train").load(3)["film"], MovingDigits(str(tmp_path)).dataset("train").load(3)["film"]
    )
    assert len(data.split("val")) == 1000 and len(data.split("test")) == 30
    assert torch.equal(data.split("test").load(29)["film"], torch.from_numpy(values[:, 29, None]))
    divided = MovingMNIST(str(tmp_path)).describe()
    assert divided["fingerprint"] in data.describe()["fingerprint"] != divided["fingerprint"]


@pytest.mark.parametrize("fault", ["gone", "cut", "shape", "kind", "pickle", "text"])
def test_a_faulty_file_of_sequences_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    values, path = sequences(tmp_path, monkeypatch), tmp_path / "mnist_test_seq.npy"
    if fault == "gone":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif fault == "text":
        path.write_text("404 not found")
    else:
        other = {"shape": values.swapaxes(0, 1), "kind": values.astype(np.int16), "pickle": np.array([None])}
        np.save(path, other[fault], allow_pickle=True)
    said = {"shape": r"holds \(30, 20, 64, 64\) of uint8 where", "kind": "of int16 where Moving MNIST is"}
    with pytest.raises(UserError, match=said.get(fault, "zoo data get moving_mnist")) as caught:
        MovingMNIST(str(tmp_path)).split("train")
    assert "\n" not in str(caught.value) and "mnist_test_seq.npy" in str(caught.value)
    with pytest.raises(UserError, match=r"data\.past and data\.future are 10 and 11 frames"):
        MovingMNIST(str(tmp_path), future=11)


# --------------------------------------------------------------------------------------------------- pictures


def test_strips_and_films_show_every_frame() -> None:
    data = ClipWorld("digits", past=2, future=3, size=32, eval_length=3)
    samples = [data.split("test")[index] for index in range(3)]
    sheet = data.sheet(samples)
    assert sheet.shape[0] == 3 and sheet.min() >= -1 and sheet.max() <= 1
    large = samples[2]["future"][1, 0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    windows = sheet[0, -66:-2, -(3 * 66) + 66 : -(3 * 66) + 66 + 64]
    assert torch.allclose(windows, large)  # the last row, its second frame
    film = data.film(samples)
    assert film.shape[:2] == (5, 3) and not torch.equal(film[0], film[1])
    assert torch.allclose(
        film[3, 0, 2:66, 2:66], samples[0]["future"][1, 0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    )


def test_a_long_strip_is_thinned_out_and_keeps_both_ends() -> None:
    film = torch.linspace(-1, 1, 40)[None, :, None, None, None].expand(1, 40, 1, 64, 64)
    row = strip({"a": film}, most=5)
    shown = row[0, 34, -5 * 66 :].reshape(5, 66)[:, 30]
    assert (
        torch.allclose(shown, film[0, [0, 10, 20, 29, 39], 0, 0, 0], atol=0.03)
        and shown[0] == -1
        and shown[4] == 1
    )
    two = strip({"real": film, "generated": film}, most=5)
    assert two.shape[1] == 2 * row.shape[1] and (two[:, :, :60] < 0).any()  # the titles


# -------------------------------------------------------------------------------------------------- real sets


def test_the_video_clips(zoo_data: Path) -> None:
    data = ClipFolder(str(zoo_data / "video_clips"), hold_out=0, stride=2, size=64)
    train = data.split("train")
    assert {part.video.path.stem: part.video.length for part in train.parts} == {
        "bigbuckbunny": 132,
        "bikes": 250,
        "carphone_distorted": 120,
        "carphone_pristine": 120,
    }
    clip = train[(0, 40)]
    assert clip["past"].shape == (4, 3, 64, 64) and clip["past"].std() > 0.1


def test_camvid_is_one_drive(zoo_data: Path) -> None:
    data = ClipFolder(str(zoo_data / "camvid" / "val"), size=None, hop=1)
    assert data.split("train").parts[0].video.length == 101
    assert data.split("test")[0]["past"].shape == (4, 3, 180, 240)


def test_moving_mnist(zoo_data: Path) -> None:
    data = MovingDigits(str(zoo_data / "mnist"), train_length=10, eval_length=10)
    clip = data.split("test")[3]
    assert clip["past"].shape == clip["future"].shape == (10, 1, 64, 64)
    assert clip["past"].min() == -1 and clip["past"].max() > 0.9
    described = data.describe()
    assert described["name"] == "moving digits of MNIST" and described["licence"] == "CC BY-SA 3.0"


def test_sprites_in_action(zoo_data: Path) -> None:
    data = SpriteClips(str(zoo_data / "sprites"), batch_size=4)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [9000, 1332, 1332]
    batch = next(iter(data.train_dataloader()))
    assert batch["past"].shape == batch["future"].shape == (4, 4, 3, 64, 64)
    assert batch["identity"].shape == (4, 4) and batch["action"].shape == (4,)
    assert not torch.equal(batch["past"][0, 0], batch["past"][0, 1])
    test = data.split("test")
    shown = [data.split(name).load(i)["identity"] for name in ("train", "test") for i in (0, 9)]
    assert len({tuple(kinds.tolist()) for kinds in shown}) == 4  # four characters
    assert torch.equal(test.load(0)["identity"], test.load(8)["identity"])
    assert [int(test.load(i)["action"]) for i in range(10)] == [*range(9), 0]
    assert data.describe()["contract"] == "clips" and data.describe()["research_only"] is False


def test_sprites_have_eight_frames(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.past and data\.future are 8 and 1 frames"):
        SpriteClips(str(tmp_path), past=8, future=1)
    with pytest.raises(UserError, match=r"data\.size is 8"):
        SpriteClips(str(tmp_path), size=8)


def test_a_relative_name_with_a_colon_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "2024-01-01T13:28:35.mp4", 5)
    video = look(Path("2024-01-01T13:28:35.mp4"))
    assert [number_of(frame) for frame in read_frames(video, range(5))] == [*range(5)]
