import torch

from video_gc.analysis.measure import machine, measure


def test_the_peak_is_what_a_call_holds_at_once() -> None:
    def call() -> None:
        first = torch.ones(16 << 20)  # 64 MiB
        del first
        second = torch.ones(24 << 20)  # 96 MiB
        del second

    call()
    cost = measure(call, torch.device("cpu"), seconds=0)
    assert 90 < cost.peak_mib < 130
    assert cost.seconds > 0
    assert cost.runs >= 1


def test_a_machine_has_a_processor_and_versions() -> None:
    about = machine(torch.device("cpu"))
    assert about["torch"] == torch.__version__.split("+")[0] or about["torch"] in torch.__version__
    assert about["processor"]
    assert about["memory"].endswith(" GiB")
