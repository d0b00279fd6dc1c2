"""What makes two cells one, and what does not."""

from dataclasses import asdict, replace

from video_gc.ablate.cell_name import cell_hash, cell_name, options_hash
from video_gc.data.config import DataConfig
from video_gc.models.build import ModelConfig
from video_gc.models.context import ContextConfig
from video_gc.train.options import TrainConfig


def with_context(**options: object) -> TrainConfig:
    return TrainConfig(model=ModelConfig(context=ContextConfig(**options)))


def test_places_names_seeds_and_the_machine_do_not_count() -> None:
    one = TrainConfig(data=DataConfig(kind="folder", root="a"))
    other = TrainConfig(
        name="x", runs="y", seed=3, data=DataConfig(kind="folder", root="b", workers=7)
    )
    assert cell_hash(one) == cell_hash(other)
    assert cell_name(one).endswith("_s0")
    assert cell_name(other) == f"{cell_name(one)[:-3]}_s3"


def test_weights_count_by_their_name_not_by_their_folder() -> None:
    hashes = [
        cell_hash(TrainConfig(model=ModelConfig(weights=weights)))
        for weights in ("a/best.ckpt", "b/best.ckpt", "a/last.ckpt", "slow_r50")
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_checkpoints_of_two_runs_are_not_the_same_weights() -> None:
    one, other, moved = (
        cell_hash(TrainConfig(model=ModelConfig(weights=f"{run}/checkpoints/best.ckpt")))
        for run in ("runs/gc", "runs/plain", "elsewhere/gc")
    )
    assert one != other
    assert one == moved


def test_what_is_trained_counts() -> None:
    plain = TrainConfig()
    changed = [
        replace(plain, epochs=plain.epochs + 1),
        TrainConfig(model=ModelConfig(width=0.5)),
        TrainConfig(data=DataConfig(flip=0.0)),
        *(with_context(kind=kind) for kind in ("gc", "snl", "nl", "dnl", "cc", "se")),
        with_context(kind="gc", options={"reduction": 8}),
        with_context(kind="gc", place="after_1x1"),
        with_context(kind="gc", after=["res4.*"]),
    ]
    assert len({cell_hash(config) for config in (plain, *changed)}) == 1 + len(changed)


def test_a_default_that_is_written_out_is_none() -> None:
    assert cell_hash(with_context(kind="gc", options={"fusion": "add"})) == cell_hash(
        with_context(kind="gc")
    )


def test_heads_and_slow_frames_by_default_count_as_not_given() -> None:
    def hashed(**options: str | None) -> str:
        return cell_hash(TrainConfig(model=ModelConfig(**options)))  # type: ignore[arg-type]

    assert hashed(head_pool="adaptive") == hashed()
    assert hashed(head_pool="published", weights="slow_r50") == hashed(weights="slow_r50")
    assert hashed(head_pool="adaptive", weights="slow_r50") != hashed(weights="slow_r50")
    linear = hashed(backbone="slowfast_linear")
    assert hashed(backbone="slowfast_linear", slow_frames="strided") == linear
    assert hashed(backbone="slowfast_linear", slow_frames="spread") != linear


def test_without_blocks_their_placement_does_not_count() -> None:
    assert cell_hash(with_context(kind="none", after=["all"])) == cell_hash(TrainConfig())


def test_a_run_of_a_version_with_fewer_options_is_the_same_cell() -> None:
    older = asdict(with_context(kind="gc"))
    del older["ema"], older["model"]["dropout"], older["model"]["more_context"], older["norm"]
    assert options_hash(older) == cell_hash(with_context(kind="gc"))


def test_more_blocks_count_by_what_is_no_default() -> None:
    def with_more(*more: ContextConfig) -> TrainConfig:
        return TrainConfig(model=ModelConfig(more_context=list(more)))

    written = with_more(ContextConfig(kind="nl", after=["res3.1"]))
    older = asdict(written)
    del older["model"]["more_context"][0]["place"]
    assert options_hash(older) == cell_hash(written)
    others = [
        TrainConfig(),
        with_more(ContextConfig(kind="nl", after=["res3.3"])),
        with_more(ContextConfig(kind="nl", after=["res3.1"], place="after_1x1")),
        with_more(ContextConfig(kind="gc", after=["res3.1"])),
    ]
    assert len({cell_hash(config) for config in (written, *others)}) == 5
    assert cell_hash(with_more(ContextConfig())) == cell_hash(TrainConfig())
