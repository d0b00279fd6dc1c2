"""Requests drawn from the server's own OpenAPI description; each answer is one that it names."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.serve.client import Served, get
from video_gc.serve.service import Service

schemathesis = pytest.importorskip("schemathesis", reason="pip install 'video_gc[dev]'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predict"),
        ("POST", "/features"),
        ("GET", "/health"),
        ("GET", "/contract"),
        ("GET", "/metrics"),
    ],
)
def test_every_answer_is_described(
    served: Served, service: Service, method: str, path: str
) -> None:
    address = served()
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")

    @settings(
        max_examples=100,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method].as_strategy())
    def run(case) -> None:  # type: ignore[no-untyped-def]
        drawn_bytes_are_no_video = schemathesis.checks.positive_data_acceptance
        case.call_and_validate(excluded_checks=[drawn_bytes_are_no_video])

    run()
    assert get(f"{address}/health").json() == {"status": "ok", "decoders": service.decoders.count}
